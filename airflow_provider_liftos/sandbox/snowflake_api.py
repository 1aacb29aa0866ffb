"""Snowflake's SQL API on loopback: submit statements, ask what became of them, cancel them.

By the vendor's reference: ``POST /api/v2/statements``, ``GET /api/v2/statements/{handle}``, and
``POST .../cancel``; 202 while a statement runs, 200 with its rows, 422 where it was refused.
Statements run on DuckDB, in its own SQL: what waits for a handle does not care. Every request
needs a bearer's token and says what kind it is.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

Reply: TypeAlias = tuple[int, dict[str, Any]]

_PATH = re.compile(r"/api/v2/statements(?:/(?P<handle>[0-9a-f-]+)(?P<cancel>/cancel)?)?")
_KINDS = frozenset({"KEYPAIR_JWT", "OAUTH", "PROGRAMMATIC_ACCESS_TOKEN"})


@dataclass(slots=True, kw_only=True)
class Statement:
    """What was submitted; it runs for so many ``looks`` at it."""

    sql: str
    looks: int
    parts: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str | None]] = ()
    error: str = ""
    handle: str = field(default_factory=lambda: str(uuid4()))


class SnowflakeApi:
    """A running API on a free port of loopback; use it as a context manager.

    ``looks`` is for how many looks statements run; ``busy`` answers so many requests with a status
    instead. ``seen`` are the submitted bodies, ``cancelled`` the handles.
    """

    def __init__(self, *, looks: int = 0) -> None:
        self.looks = looks
        self.host, self.port = "127.0.0.1", 0
        self.seen: list[dict[str, Any]] = []
        self.kinds: list[str] = []
        self.cancelled: list[str] = []
        self.busy: list[int] = []
        self._found: dict[str, Statement] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        import duckdb

        self._database = duckdb.connect()
        self._http = ThreadingHTTPServer((self.host, 0), _handler(self))
        self._http.daemon_threads = True
        self.port = int(self._http.server_address[1])
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(timeout=5)
        self._database.close()

    @property
    def extra(self) -> dict[str, Any]:
        """What a connection's extra needs for the address."""
        return {"account": "sandbox", "host": self.host, "port": self.port, "protocol": "http"}

    def answer(self, method: str, url: str, headers: Any, body: bytes) -> Reply:
        """Status and body for one request."""
        found = _PATH.fullmatch(urlsplit(url).path)
        kind = headers.get("X-Snowflake-Authorization-Token-Type", "")
        if found is None:
            return 404, {"code": "390404", "message": "no such address"}
        if not headers.get("Authorization", "").startswith("Bearer ") or kind not in _KINDS:
            return 401, {"code": "390303", "message": "Invalid OAuth access token."}
        with self._lock:
            self.kinds.append(kind)
            if self.busy:
                return self.busy.pop(0), {"code": "390100", "message": "too many requests"}
            if method == "POST" and not found["handle"]:
                return self._submit(json.loads(body), parse_qs(urlsplit(url).query))
            one = self._found.get(found["handle"] or "")
            if one is None:
                return 404, {"code": "000709", "message": "Statement not found"}
            return self._cancel(one) if found["cancel"] else self._look(one)

    def _submit(self, asked: dict[str, Any], query: dict[str, list[str]]) -> Reply:
        self.seen.append(asked)
        texts = [part.strip() for part in str(asked["statement"]).split(";") if part.strip()]
        count = int((asked.get("parameters") or {}).get("MULTI_STATEMENT_COUNT", 1))
        if count not in (0, len(texts)):
            return 422, _refusal(
                Statement(sql="", looks=0),
                f"Actual statement count {len(texts)} did not match the desired count {count}.",
            )
        looks = self.looks if query.get("async") else 0
        bound = asked.get("bindings") or {}
        values = [bound[key]["value"] for key in sorted(bound, key=int)]
        ones = [self._run(text, values, looks) for text in texts]
        whole = ones[0]
        if len(ones) > 1:
            error = next((one.error for one in ones if one.error), "")
            whole = Statement(
                sql=asked["statement"], looks=looks, parts=[o.handle for o in ones], error=error
            )
            self._found[whole.handle] = whole
        # What was submitted to run by itself is answered at once, whatever becomes of it.
        return (202, _running(whole)) if query.get("async") else self._look(whole)

    def _run(self, sql: str, values: list[Any], looks: int) -> Statement:
        import duckdb

        one = Statement(sql=sql, looks=looks)
        try:
            done = self._database.execute(sql, values)
            one.columns = [str(column[0]) for column in done.description or ()]
            one.rows = [[None if v is None else str(v) for v in row] for row in done.fetchall()]
        except duckdb.Error as error:
            one.error = f"SQL compilation error: {str(error).splitlines()[0]}"
        self._found[one.handle] = one
        return one

    def _look(self, one: Statement) -> Reply:
        if one.looks > 0:
            one.looks -= 1
            return 202, _running(one)
        if one.error:
            return 422, _refusal(one, one.error)
        return 200, {
            "code": "090001",
            "sqlState": "00000",
            "message": "Statement executed successfully.",
            "statementHandle": one.handle,
            **({"statementHandles": one.parts} if one.parts else {}),
            "resultSetMetaData": {
                "numRows": len(one.rows),
                "format": "jsonv2",
                "rowType": [{"name": name} for name in one.columns],
                "partitionInfo": [{"rowCount": len(one.rows)}],
            },
            "data": one.rows,
        }

    def _cancel(self, one: Statement) -> Reply:
        self.cancelled.append(one.handle)
        one.looks, one.error = 0, one.error or "SQL execution canceled"
        return 200, {"code": "000604", "message": "successfully canceled", **_told(one)}


def _told(one: Statement) -> dict[str, Any]:
    return {
        "statementHandle": one.handle,
        "statementStatusUrl": f"/api/v2/statements/{one.handle}",
        **({"statementHandles": one.parts} if one.parts else {}),
    }


def _running(one: Statement) -> dict[str, Any]:
    return {"code": "333334", "message": "Asynchronous execution in progress.", **_told(one)}


def _refusal(one: Statement, message: str) -> dict[str, Any]:
    return {"code": "002140", "sqlState": "42601", "message": message, **_told(one)}


def _handler(api: SnowflakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, told = api.answer(self.command, self.path, self.headers, body)
            text = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    return Handler
