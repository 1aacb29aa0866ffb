"""``airflow liftos configure``: connections made of a YAML configuration and the environment."""

from __future__ import annotations

import sys
from typing import Any

from airflow_provider_liftos.hooks import configuration, registry, stored
from airflow_provider_liftos.model.errors import LiftosError


def configure(args: Any) -> None:
    """Write one connection for each platform of the file; fields that it does not name stay."""
    try:
        found = configuration.read(args.configuration)
        made = [
            (section.conn_id or registry.default_conn_id(section.platform.name),
             section.connection(), section.notes)
            for section in found.sections
        ]  # fmt: skip
    except LiftosError as error:
        sys.exit(str(error))
    for conn_id, connection, notes in made:
        print(f"{_write(conn_id, connection):7} {conn_id}")
        for line in notes:
            print(f"        {line}")


def _write(conn_id: str, given: dict[str, Any]) -> str:
    there = stored.exists(conn_id)
    stored.put(conn_id, given)
    return "changed" if there else "made"
