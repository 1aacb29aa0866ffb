"""Renewed credentials into the connection itself, for those who want them there.

Tasks may not write connections; the API server may. ``[liftos] api_conn_id`` names an ``http``
connection to it, with a user who may edit connections. The tokens that workers share do not depend
on it: whatever fails here is a line in the log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

from airflow_provider_liftos.model.errors import LiftosError, Unavailable
from airflow_provider_liftos.model.platform import Credentials, Platform
from airflow_provider_liftos.model.wire import Request
from airflow_provider_liftos.state.tokens import Kept

log = logging.getLogger(__name__)

_SECONDS = 15.0
_JSON = {"Content-Type": "application/json"}


def write_back(platform: Platform, credentials: Credentials, kept: Kept, api_conn_id: str) -> None:
    """Put what was renewed into those fields of the connection that it was made of."""
    fields = {field.name for field in platform.conn_fields if field.secret}
    renewed = {
        name: secret.reveal()
        for name, secret in kept.secrets.items()
        if name in fields and secret != credentials.secrets.get(name)
    }
    if not renewed:
        return
    conn_id = credentials.conn_id
    try:
        if not _is_ours(platform, credentials):
            log.info("Connection %r was edited meanwhile; it is left as it is.", conn_id)
            return
        _patch(conn_id, renewed, api_conn_id)
    except LiftosError as error:
        log.warning("Connection %r keeps its former credential: %s", conn_id, error)
    except Exception as error:  # noqa: BLE001  never fatal: the store has it
        log.warning("Connection %r keeps its former credential: %s", conn_id, type(error).__name__)
    else:
        log.info("Connection %r has the renewed %s.", conn_id, ", ".join(renewed))


def _is_ours(platform: Platform, credentials: Credentials) -> bool:
    """Whether the connection still holds what was renewed; a person's edit is not undone."""
    from airflow.sdk import BaseHook

    from airflow_provider_liftos.hooks.liftos import read_connection

    now = read_connection(platform, BaseHook.get_connection(credentials.conn_id))
    return now.secrets == credentials.secrets and now.base_url == credentials.base_url


def _patch(conn_id: str, renewed: Mapping[str, str], api_conn_id: str) -> None:
    with _Api(api_conn_id) as api:
        path = f"api/v2/connections/{quote(conn_id, safe='')}"
        there = api.ask("GET", path)
        # Secrets come as *** and go back so: the server then keeps what it has. What is left out
        # of extra would disappear.
        extra = json.loads(there.get("extra") or "{}")
        body: dict[str, Any] = {"connection_id": conn_id, "conn_type": there["conn_type"]}
        if "access_token" not in extra and "access_token" in renewed and there.get("password"):
            body["password"] = renewed["access_token"]
            api.ask("PATCH", path, body, update_mask="password")
            return
        body["extra"] = json.dumps({**extra, **renewed})
        api.ask("PATCH", path, body, update_mask="extra")


class _Api:
    """The API server, as the user of that connection."""

    def __init__(self, conn_id: str) -> None:
        from airflow.sdk import BaseHook

        from airflow_provider_liftos.hooks.liftos import http_address
        from airflow_provider_liftos.transport.client import HttpSender

        connection: Any = BaseHook.get_connection(conn_id)
        self._base = http_address(connection, "http://127.0.0.1:8080", insecure=False)
        self._user = {"username": connection.login, "password": connection.password}
        self._sender = HttpSender(_SECONDS)
        self._headers = dict(_JSON)

    def __enter__(self) -> Self:
        token = self.ask("POST", "auth/token", self._user)["access_token"]
        self._headers["Authorization"] = f"Bearer {token}"
        return self

    def __exit__(self, *_: object) -> None:
        self._sender.close()

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> dict[str, Any]:
        text = None if body is None else json.dumps(body).encode()
        asked = Request(method=method, path=path, query=query, body=text, headers=self._headers)
        answer = self._sender.send(self._base, asked)
        if answer.status >= 300:
            raise Unavailable(f"the API server refuses {method} {path}", status=answer.status)
        return dict(json.loads(answer.body))
