"""Credentials as older tools keep them, as connections: a file per organization, or variables.

``<folder>/<org_id>/tiktok.json`` holds the fields of one connection, by our names or by those of
the variables (``TIKTOK_ACCESS_TOKEN``). Nothing outside the folder is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.platforms import discover

_LARGEST = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_PLACEHOLDER = re.compile(r"your_\w+")
_STANDARD = ("host", "login", "password", "schema")
_ALSO = ("host", "api_version", "account_ids", "account_id", "is_mock")

_WAREHOUSES: Mapping[str, Mapping[str, str]] = {
    "snowflake": {
        "account": "account", "username": "login", "password": "password",
        "warehouse": "warehouse", "database": "database", "schema": "schema", "role": "role",
    },
    "databricks": {"host": "host", "token": "password", "cluster_id": "cluster_id"},
}  # fmt: skip
"""Where Airflow's own providers keep what the files call by these names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A connection to be. ``source`` says where it is from; ``notes`` what a person should know."""

    conn_id: str
    conn_type: str
    org_id: str
    source: str
    fields: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def parts(self) -> dict[str, Any]:
        """Of an Airflow connection."""
        extra = {name: value for name, value in self.fields.items() if name not in _STANDARD}
        if self.conn_type not in _WAREHOUSES:
            extra["org_id"] = self.org_id
        standard = {name: self.fields.get(name) for name in _STANDARD}
        return {"conn_type": self.conn_type, **standard, "extra": extra}


def in_folder(folder: str | Path) -> list[Found]:
    """What lies in a folder of credentials, by organization.

    Raises:
        ConfigurationError: it is not there, or something in it leads out of it, is no JSON, or is
            too large; then nothing of it is to be imported.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigurationError(f"{root} is no folder")
    found = []
    for home in sorted(root.iterdir()):
        if home.is_symlink() or home.is_dir():
            _inside(root, home)
        if not home.is_dir() or home.name.startswith("."):
            continue
        if not _NAME.fullmatch(home.name):
            raise ConfigurationError(
                f"{home.name!r} is no name of an organization",
                hint="It becomes part of a connection's name: letters, digits, '_', '.' and '-'.",
            )
        found += [_of_file(root, path, home.name) for path in sorted(home.glob("*.json"))]
    return [one for one in found if one is not None]


def in_environment(environment: Mapping[str, str]) -> list[Found]:
    """What variables such as ``TIKTOK_ACCESS_TOKEN`` hold, for the organization ``default``."""
    found = []
    for name in (*(platform.name for platform in discover()), *_WAREHOUSES):
        prefix = f"{name.upper()}_"
        given = {
            variable.removeprefix(prefix).lower(): value
            for variable, value in environment.items()
            if variable.startswith(prefix)
        }
        made = _made(name, given, "default", "the environment", quiet=True)
        if made is not None and made.fields:
            found.append(made)
    return found


def _of_file(root: Path, path: Path, org_id: str) -> Found | None:
    real = _inside(root, path)
    if not real.is_file() or real.stat().st_size > _LARGEST:
        raise ConfigurationError(f"{path} is no file of at most {_LARGEST} bytes")
    try:
        given = json.loads(real.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"{path} is no JSON ({type(error).__name__})") from None
    if not isinstance(given, dict):
        raise ConfigurationError(f"{path} is no JSON object")
    made = _made(path.stem, given, org_id, str(path))
    if made is None:
        return None
    readable = real.stat().st_mode & 0o077
    notes = ("other users of this machine can read that file",) if readable else ()
    return Found(**{**_parts(made), "notes": made.notes + notes})


def _inside(root: Path, path: Path) -> Path:
    """Where a path really is; a link out of the folder could pass on any file of the machine."""
    real = path.resolve()
    if not real.is_relative_to(root.resolve()):
        raise ConfigurationError(f"{path} leads out of {root}; nothing was imported")
    return real


def _made(
    name: str, given: Mapping[str, Any], org_id: str, source: str, *, quiet: bool = False
) -> Found | None:
    platform = next((one for one in discover() if one.name == name), None)
    if platform is None and name not in _WAREHOUSES:
        return None
    prefix = f"{name}_"
    plain = {str(key).lower().removeprefix(prefix): value for key, value in given.items()}
    notes: list[str] = []
    kept = dict(_filled(plain, notes))
    if platform is not None:
        kept, unknown = _of_platform(platform, kept)
    else:
        kept, unknown = _renamed(_WAREHOUSES[name], kept)
    if unknown and not quiet:
        notes.append(f"not known, and left out: {', '.join(sorted(unknown))}")
    return Found(
        conn_id=f"liftos_{name}_{org_id}",
        conn_type=platform.conn_type if platform else name,
        org_id=org_id,
        source=source,
        fields=kept,
        notes=tuple(notes),
    )


def _filled(given: Mapping[str, Any], notes: list[str]) -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        if isinstance(value, str) and _PLACEHOLDER.fullmatch(value):
            notes.append(f"{name} is still the example's")
        elif value not in (None, ""):
            yield name, value


def _of_platform(
    platform: Platform, given: Mapping[str, Any]
) -> tuple[dict[str, Any], Iterator[str] | set[str]]:
    """Known fields by their own names, and names that nobody knows."""
    if {"private_key", "client_email"} <= given.keys():  # a service account's key, as it came
        return {"keyfile_dict": json.dumps(dict(given))}, set()
    adopted = platform.adopt(given)
    known = {field.name for field in platform.conn_fields} | set(_ALSO)
    kept = {name: value for name, value in adopted.items() if name in known}
    return kept, adopted.keys() - known


def _renamed(names: Mapping[str, str], given: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    kept = {names[name]: value for name, value in given.items() if name in names}
    return kept, given.keys() - names.keys()


def _parts(found: Found) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Found.__slots__}
