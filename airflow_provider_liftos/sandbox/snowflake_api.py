"""Snowflake's SQL API on loopback: submit statements, ask what became of them, cancel them.

By the vendor's reference: ``POST /api/v2/statements``, ``GET /api/v2/statements/{handle}``, and
``POST .../cancel``; 202 while a statement runs, 200 with its rows, 422 where it was refused, 404
when its result is gone. A request that is sent again with ``retry`` runs nothing a second time.
Statements run on DuckDB, in its own SQL, or on an engine that is handed in: what waits for a handle
does not care. Every request needs a bearer's token and says what kind it is.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

Reply: TypeAlias = tuple[int, dict[str, Any]]
Result: TypeAlias = tuple[str, Sequence[str], Sequence[Sequence[Any]]]
"""A statement's id, the names of its columns, and its rows."""

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
    code: str = "002140"
    state: str = "42601"
    handle: str = field(default_factory=lambda: str(uuid4()))


class SnowflakeApi:
    """A running API on a free port of loopback; use it as a context manager.

    ``looks`` is for how many looks statements run; ``busy`` answers so many requests with a status
    instead. ``seen`` are the submitted bodies, ``cancelled`` the handles. ``engine`` runs one
    statement, and raises what refuses it. ``broken`` are code, SQLSTATE and message with which the
    next statements end. What is asked about anything else is passed on to the server ``behind``.
    """

    def __init__(
        self,
        *,
        looks: int = 0,
        engine: Callable[[str], Result] | None = None,
        behind: str = "",
    ) -> None:
        self.looks = looks
        self.engine = engine
        self.behind = behind
        self.host, self.port = "127.0.0.1", 0
        self.seen: list[dict[str, Any]] = []
        self.kinds: list[str] = []
        self.cancelled: list[str] = []
        self.busy: list[int] = []
        self.broken: list[tuple[str, str, str]] = []
        self._found: dict[str, Statement] = {}
        self._requests: dict[str, Reply] = {}
        self._tokens: set[str] = set()
        self._ended: set[str] = set()
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

    def end_tokens(self) -> None:
        """Refuse all tokens that were sent so far."""
        self._ended |= self._tokens

    def forget(self) -> None:
        """Let all results go, as after 24 hours."""
        self._found.clear()

    def cancel_all(self) -> None:
        """End what runs, as somebody else would."""
        for one in self._found.values():
            self._end(one)

    def answer(self, method: str, url: str, headers: Any, body: bytes) -> Reply:
        """Status and body for one request."""
        found = _PATH.fullmatch(urlsplit(url).path)
        if found is None:
            return 404, {"code": "390404", "message": "no such address"}
        with self._lock:
            if refused := self._refused(headers):
                return refused
            if method == "POST" and not found["handle"]:
                return self._once(json.loads(body), parse_qs(urlsplit(url).query))
            one = self._found.get(found["handle"] or "")
            if one is None:
                return 404, {"code": "000709", "message": "Statement not found"}
            return self._cancel(one) if found["cancel"] else self._look(one)

    def _refused(self, headers: Any) -> Reply | None:
        kind = headers.get("X-Snowflake-Authorization-Token-Type", "")
        token = headers.get("Authorization", "")
        if not token.startswith("Bearer ") or kind not in _KINDS:
            return 401, {"code": "390303", "message": "Invalid OAuth access token."}
        self.kinds.append(kind)
        self._tokens.add(token)
        if token in self._ended:
            return 401, {"code": "390318", "message": "OAuth access token expired."}
        if self.busy:
            return self.busy.pop(0), {"code": "390100", "message": "too many requests"}
        return None

    def _once(self, asked: dict[str, Any], query: dict[str, list[str]]) -> Reply:
        [request_id] = query.get("requestId", [""])
        if query.get("retry") == ["true"] and request_id in self._requests:
            return self._requests[request_id]
        self._requests[request_id] = self._submit(asked, query)
        return self._requests[request_id]

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
        one = Statement(sql=sql, looks=looks)
        try:
            handle, one.columns, rows = (self.engine or partial(self._duckdb, values))(sql)
            one.handle = handle or one.handle
            one.rows = [[None if v is None else str(v) for v in row] for row in rows]
        except Exception as error:  # noqa: BLE001  of whichever engine
            one.error = f"SQL compilation error: {str(error).splitlines()[0]}"
        if self.broken:
            one.code, one.state, one.error = self.broken.pop(0)
        self._found[one.handle] = one
        return one

    def _duckdb(self, values: list[Any], sql: str) -> Result:
        done = self._database.execute(sql, values)
        return "", [str(column[0]) for column in done.description or ()], done.fetchall()

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

    def _end(self, one: Statement) -> None:
        one.looks, one.error = 0, one.error or "SQL execution canceled"
        one.code, one.state = "000604", "57014"

    def _cancel(self, one: Statement) -> Reply:
        self.cancelled.append(one.handle)
        self._end(one)
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
    return {"code": one.code, "sqlState": one.state, "message": message, **_told(one)}


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
            if api.behind and not self.path.startswith("/api/"):
                self._send(*_passed_on(api.behind, self.command, self.path, self.headers, body))
                return
            status, told = api.answer(self.command, self.path, self.headers, body)
            self._send(status, json.dumps(told).encode())

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


def _passed_on(behind: str, method: str, path: str, headers: Any, body: bytes) -> tuple[int, bytes]:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    sent = {n: v for n, v in headers.items() if n.lower() not in {"host", "accept-encoding"}}
    request = Request(f"{behind}{path}", body or None, sent, method=method)  # noqa: S310  loopback
    try:
        with urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()
