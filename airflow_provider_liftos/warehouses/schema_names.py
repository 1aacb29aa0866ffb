"""Whether an engine takes the names of our schemas; asked before anything is sent."""

from __future__ import annotations

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.warehouses.contract import Layout

_SHOWN = 40


def check_schemas(
    layout: Layout,
    longest: int,
    unit: str = "characters",
    *,
    refused: str = "",
    lower: bool = False,
) -> None:
    """Refuse what the engine would cut, keep under another name, or choke on.

    ``unit`` is characters or bytes; ``refused`` are characters that the engine does not take, and
    ``lower`` says that it keeps names in lower case, so that others would not be found again.

    Raises:
        ConfigurationError: a name is none that the engine keeps.
    """
    for name in (layout.schema, layout.audit_schema):
        kept = layout.capabilities.kept(name)
        size = len(kept.encode()) if unit == "bytes" else len(kept)
        if not name:
            why = "has no name"
        elif size > longest:
            why = f"is longer than {longest} {unit}"
        elif found := [char for char in name if not char.isprintable() or char in refused]:
            why = f"holds the character {_shown(found[0])}"
        elif lower and name != name.lower():
            why = f"is kept as {_cut(name.lower())!r}: write it so"
        else:
            continue
        raise ConfigurationError(
            f"schema {_cut(name)!r} {why}, by the rules of {layout.capabilities.name}"
        )


def _cut(name: str) -> str:
    return name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"


def _shown(char: str) -> str:
    return "NUL" if char == "\x00" else repr(char)
