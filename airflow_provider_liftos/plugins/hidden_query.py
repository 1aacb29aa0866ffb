"""Codes stay out of logs: the address that a platform sends people back to holds one.

Airflow, and uvicorn where it logs by itself, write the query of every request down once it was
answered, from the same record of the request that every application below them is handed.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class HiddenQuery:
    """Hands the application a query of its own, and leaves the servers around it none."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] == "http" and scope["path"].rstrip("/").endswith(self._path):
            own = dict(scope)
            scope["query_string"] = b"hidden" if scope["query_string"] else b""
            scope = own
        await self._app(scope, receive, send)
