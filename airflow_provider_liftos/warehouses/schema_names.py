"""Whether an engine takes the names of our schemas; asked before anything is sent."""

from __future__ import annotations

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.warehouses.contract import Layout

_SHOWN = 40


def check_schemas(layout: Layout, longest: int, unit: str = "characters") -> None:
    """Refuse what the engine would cut or choke on; ``unit`` is characters or bytes.

    Raises:
        ConfigurationError: a name is too long, or holds the character NUL.
    """
    for name in (layout.schema, layout.audit_schema):
        shown = repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")
        size = len(name.encode()) if unit == "bytes" else len(name)
        if size > longest:
            raise ConfigurationError(f"schema {shown} is longer than {longest} {unit}")
        if "\x00" in name:
            raise ConfigurationError(f"schema {shown} holds the character NUL")
