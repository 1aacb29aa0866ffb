"""``airflow liftos configure``: connections made of a YAML configuration and the environment."""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow_provider_liftos.hooks import configuration, registry
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
    from airflow.models.connection import Connection  # the stored one; airflow.sdk's is a reading
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        there = session.scalar(select(Connection).where(Connection.conn_id == conn_id))
        known = there or Connection(conn_id=conn_id)
        known.conn_type = given["conn_type"]
        known.host = given["host"] or known.host
        known.set_extra(json.dumps({**(known.extra_dejson if there else {}), **given["extra"]}))
        session.add(known)
    return "changed" if there else "made"
