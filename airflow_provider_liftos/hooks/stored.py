"""Connections where Airflow keeps them: for its command line and its API server, which may write.

Tasks and triggers may not, and read theirs through hooks.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow_provider_liftos.hooks.liftos import read_connection
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError
from airflow_provider_liftos.model.platform import Credentials, Platform
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.platforms import discover

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A connection of one of our types; ``problem`` says why it cannot be read, if it cannot."""

    conn_id: str
    platform: Platform
    credentials: Credentials | None = None
    problem: str = ""


def listed() -> list[Stored]:
    """Every connection of our types, by platform and name."""
    from airflow.models.connection import Connection
    from sqlalchemy import select

    types = {platform.conn_type: platform for platform in discover()}
    query = select(Connection).where(Connection.conn_type.in_(types))
    with _session() as session:
        found = [_stored(row, types[row.conn_type]) for row in session.scalars(query)]
    return sorted(found, key=lambda one: (one.platform.title, one.conn_id))


def _stored(row: Any, platform: Platform) -> Stored:
    try:
        credentials = read_connection(platform, row)
    except LiftosError as error:
        return Stored(conn_id=row.conn_id, platform=platform, problem=str(error))
    return Stored(conn_id=row.conn_id, platform=platform, credentials=credentials)


def read(conn_id: str, platform: Platform | None = None) -> tuple[Platform, Credentials]:
    """A connection and its platform, by its type unless given.

    Raises:
        ConfigurationError: it is not there, of another type, or wrong in itself.
    """
    types = {one.conn_type: one for one in discover()}
    with _session() as session:
        row = _row(session, conn_id)
        if row is None:
            wanted = platform.conn_type if platform else " or ".join(sorted(types))
            raise ConfigurationError(
                f"Airflow keeps no connection {conn_id!r}",
                hint=f"Create it (Admin, Connections), of type {wanted}, with your app's id and"
                " secret.",
            )
        known = platform or types.get(row.conn_type)
        if known is None:
            raise ConfigurationError(
                f"connection {conn_id!r} is of type {row.conn_type!r}, none of ours"
            )
        return known, read_connection(known, row)


def write(conn_id: str, secrets: Mapping[str, Secret]) -> None:
    """Put secrets into a connection's extra, by their names; the rest of it stays."""
    with _session() as session:
        row = _row(session, conn_id, lock=True)
        if row is None:
            raise ConfigurationError(f"connection {conn_id!r} was deleted in the meantime")
        plain = {name: secret.reveal() for name, secret in secrets.items()}
        row.set_extra(json.dumps({**row.extra_dejson, **plain}))


def exists(conn_id: str) -> bool:
    """Whether Airflow's database has a connection of that name."""
    with _session() as session:
        return _row(session, conn_id) is not None


def put(conn_id: str, parts: Mapping[str, Any]) -> None:
    """Make a connection, or change the parts that are given; what else is in its extra stays."""
    from airflow.models.connection import Connection

    with _session() as session:
        row = _row(session, conn_id, lock=True)
        extra = {**(row.extra_dejson if row is not None else {}), **parts["extra"]}
        if row is None:
            row = Connection(conn_id=conn_id)
        row.conn_type = parts["conn_type"]
        for name in ("host", "login", "schema"):
            if parts.get(name):
                setattr(row, name, parts[name])
        if parts.get("password"):
            row.set_password(parts["password"])
        row.set_extra(json.dumps(extra))
        session.add(row)


def shadow(conn_id: str) -> str:
    """What else defines the connection and is read first; empty where nothing does."""
    from airflow.configuration import ensure_secrets_loaded, get_custom_secret_backend
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend
    from airflow.secrets.metastore import MetastoreBackend

    for backend in (*ensure_secrets_loaded(), get_custom_secret_backend(worker_mode=True)):
        if backend is None or isinstance(backend, MetastoreBackend):
            continue
        try:
            found = backend.get_connection(conn_id=conn_id)
        except Exception as error:  # noqa: BLE001  Airflow passes over a broken one, too
            log.warning("%s could not be asked: %s", type(backend).__name__, type(error).__name__)
            continue
        if found is not None and isinstance(backend, EnvironmentVariablesBackend):
            return f"the environment variable AIRFLOW_CONN_{conn_id.upper()}"
        if found is not None:
            return f"the secrets backend {type(backend).__name__}"
    return ""


def _row(session: Any, conn_id: str, *, lock: bool = False) -> Any:
    from airflow.models.connection import Connection
    from sqlalchemy import select

    query = select(Connection).where(Connection.conn_id == conn_id)
    return session.scalar(query.with_for_update() if lock else query)


@contextmanager
def _session() -> Iterator[Any]:
    from airflow.utils import session

    with session.create_session() as opened:
        yield opened
