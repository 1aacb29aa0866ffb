"""The table that Airflow keeps its connections in, in a file of a test's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow.models.connection import Connection
from airflow.utils import session as airflow_session
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.orm import Session


class Connections:
    """Connections as the command line and the API server find them."""

    def __init__(self, folder: Path, environment: pytest.MonkeyPatch) -> None:
        self.engine: Engine = create_engine(f"sqlite:///{folder / 'airflow.db'}")
        Connection.__table__.create(self.engine)

        @contextmanager
        def create_session(**_: Any) -> Iterator[Session]:
            with Session(self.engine) as session, session.begin():
                yield session

        environment.setattr(airflow_session, "create_session", create_session)

    def add(self, conn_id: str, conn_type: str, host: str, extra: Mapping[str, Any]) -> None:
        with Session(self.engine) as session, session.begin():
            made = Connection(conn_id=conn_id, conn_type=conn_type, host=host)
            made.set_extra(json.dumps(extra))
            session.add(made)

    def all(self) -> list[Connection]:
        with Session(self.engine) as session:
            return list(session.scalars(select(Connection)))

    def extra(self, conn_id: str) -> dict[str, Any]:
        return next(one.extra_dejson for one in self.all() if one.conn_id == conn_id)


APPS: Mapping[str, Mapping[str, str]] = {
    "meta": {"app_id": "1001", "app_secret": "sandbox-secret"},
    "google_ads": {
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "transport": "rest",
    },
    "tiktok": {"app_id": "1001", "secret": "sandbox-secret"},
}
"""What a connection holds before anybody has consented."""

TYPES = {"meta": "liftosmeta", "google_ads": "liftosgoogleads", "tiktok": "liftostiktok"}


def add_unconnected(connections: Connections, platform: str, root: str, **more: Any) -> str:
    """A connection with an app and no token; its id."""
    conn_id = f"liftos_{platform}_default"
    base = f"{root}/{platform}"
    address = {"token_uri": f"{base}/token"} if platform == "google_ads" else {}
    connections.add(conn_id, TYPES[platform], base, {**APPS[platform], **address, **more})
    return conn_id
