"""The server: thrift over HTTP, volumes' files by presigned address, statements over REST."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import socket
import struct
import tempfile
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

from .lakehouse import Lakehouse, Refused
from .rest import Statements
from .thrift import Service

_FILES = "/_files"
_STATEMENTS = "/api/2.0/sql/statements"
_RESULTS = "/_results"


@dataclass(slots=True, kw_only=True)
class Busy:
    """Requests that are answered with a status instead; ``times`` of them."""

    status: int
    times: int
    retry_after: int = 1


class Lost(Exception):
    """The answer of this statement never arrives."""


class DatabricksSandbox:
    """A running warehouse on a free port of loopback; use it as a context manager.

    ``extra`` is what a connection of type ``databricks`` needs besides ``host`` and the token as
    its password. Of every statement ``seen`` tells; ``die`` ends the server in the middle.
    """

    def __init__(self, *, page_rows: int = 10_000, token: str | None = None) -> None:
        self.token = token or f"dapi{secrets.token_hex(16)}"
        self.host = "127.0.0.1"
        self.port = 0
        self.http_path = "/sql/1.0/warehouses/sandbox"
        self.busy: Busy | None = None
        self._key = secrets.token_bytes(16)
        self._page_rows = page_rows
        self._left: int | None = None
        self._answered = True
        self._dead = False
        self._conflicts = 0
        self._errors: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="liftos-databricks-")
        self.lakehouse = Lakehouse(root=Path(self._folder.name), before=self._before)
        self.service = Service(
            lakehouse=self.lakehouse, url=self._presigned, page_rows=self._page_rows
        )
        self.statements = Statements(lakehouse=self.lakehouse, sign=self._signed_result)
        self._http = _Http((self.host, 0), self)
        self.port = self._http.server_address[1]
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
        self.lakehouse.close()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.host}:{self.port}"

    @property
    def extra(self) -> dict[str, Any]:
        """The connection's extra, as for the vendor's own server but for the address."""
        return {
            "http_path": self.http_path,
            "_connection_uri": f"{self.url}{self.http_path}",
            "enable_telemetry": False,
        }

    @property
    def seen(self) -> list[str]:
        """Statements that arrived, in order."""
        return [one.sql for one in self.lakehouse.seen]

    @property
    def volumes(self) -> list[str]:
        """Files in volumes, by their paths."""
        root = self.lakehouse.root
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return [f"/Volumes/{path.relative_to(root)}" for path in files]

    def die(self, after: int, *, answered: bool = True) -> None:
        """Carry out so many statements more, then refuse every connection until ``revive``.

        ``answered``: whether the last of them is answered.
        """
        self._left, self._answered = after, answered

    def revive(self) -> None:
        """Serve again."""
        self._left, self._dead, self.busy, self._conflicts = None, False, None, 0
        self._errors = []

    def be_busy(self, status: int, *, times: int, retry_after: int = 1) -> None:
        """Answer so many requests with this status and a Retry-After in seconds."""
        self.busy = Busy(status=status, times=times, retry_after=retry_after)

    def conflict(self, times: int) -> None:
        """Refuse so many writing statements as another writer's conflict would."""
        self._conflicts = times

    def fail(self, part: str, error: str) -> None:
        """Refuse statements with this part with this error."""
        self._errors.append((part, error))

    @property
    def is_dead(self) -> bool:
        """Whether every request is dropped."""
        return self._dead or (self._left is not None and self._left <= 0)

    def finished(self) -> None:
        """Count a statement; raises Lost when its answer is not to be sent."""
        if self._left is None:
            return
        self._left -= 1
        if self._left <= 0 and not self._answered:
            raise Lost

    def _before(self, sql: str) -> None:
        for part, error in self._errors:
            if part in sql:
                raise Refused(error)
        if self._conflicts and not sql.lstrip().upper().startswith(("SELECT", "WITH", "PUT")):
            self._conflicts -= 1
            raise Refused(
                "[DELTA_CONCURRENT_APPEND.WITHOUT_HINT] ConcurrentAppendException: Files were added"
                " by a concurrent update. SQLSTATE: 2D521"
            )

    def _presigned(self, operation: str, path: str) -> str:
        method = "DELETE" if operation == "REMOVE" else operation
        sign = self.signature(method, path)
        return f"{self.url}{_FILES}{quote(path)}?X-Signature={sign}"

    def _signed_result(self, path: str) -> str:
        return f"{self.url}{_RESULTS}{path}?X-Signature={self.signature('RESULT', path)}"

    def signature(self, method: str, path: str) -> str:
        """What proves an address to be one of ours."""
        return hmac.new(self._key, f"{method} {path}".encode(), hashlib.sha256).hexdigest()

    def speak(self, body: bytes) -> bytes:
        """One thrift call: request in, answer out."""
        server: Any = import_module("databricks.sql.thrift_api.TCLIService.TCLIService")
        binary: Any = import_module("thrift.protocol.TBinaryProtocol").TBinaryProtocol
        memory: Any = import_module("thrift.transport.TTransport").TMemoryBuffer
        sink = memory()
        server.Processor(self.service).process(binary(memory(body)), binary(sink))
        if b"ExecuteStatement" in body[:64]:
            self.finished()
        answer: bytes = sink.getvalue()
        return answer


class _Http(ThreadingHTTPServer):
    """Knows whose requests it takes."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], sandbox: DatabricksSandbox) -> None:
        self.sandbox = sandbox
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def _sandbox(self) -> DatabricksSandbox:
        return cast("_Http", self.server).sandbox

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        """Thrift calls, and statements over REST."""
        self._serve(self._post)

    def do_GET(self) -> None:
        """A statement's state over REST."""
        self._serve(self._get)

    def do_PUT(self) -> None:
        """A file for a volume."""
        self._serve(self._file)

    def do_DELETE(self) -> None:
        """A file of a volume goes."""
        self._serve(self._file)

    def _serve(self, answer: Any) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._sandbox.is_dead:
            self._hang_up()
            return
        busy = self._sandbox.busy
        if busy and busy.times > 0:
            busy.times -= 1
            self._send(busy.status, b"busy", {"Retry-After": str(busy.retry_after)})
            return
        try:
            answer(body)
        except Lost:
            self._hang_up()

    def _post(self, body: bytes) -> None:
        if not self._is_known():
            return
        if self.path.startswith(_STATEMENTS):
            self._send(*self._sandbox.statements.post(self.path.removeprefix(_STATEMENTS), body))
            return
        self._send(200, self._sandbox.speak(body), {"Content-Type": "application/x-thrift"})

    def _get(self, _: bytes) -> None:
        if self.path.startswith(_RESULTS):
            self._result()
        elif self._is_known():
            self._send(*self._sandbox.statements.get(self.path.removeprefix(_STATEMENTS)))

    def _result(self) -> None:
        parts = urlsplit(self.path)
        path = parts.path.removeprefix(_RESULTS)
        if self._is_signed("RESULT", path):
            self._send(*self._sandbox.statements.chunk(path, self.headers))

    def _file(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path.removeprefix(_FILES))
        if not self._is_signed(self.command, path):
            return
        place = self._sandbox.lakehouse.file(path)
        if self.command == "DELETE":
            self._sandbox.lakehouse.remove(place)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(body)
        self._send(200, b"")

    def _is_signed(self, operation: str, path: str) -> bool:
        [sign] = parse_qs(urlsplit(self.path).query).get("X-Signature", [""])
        if hmac.compare_digest(sign, self._sandbox.signature(operation, path)):
            return True
        self._send(403, b"this address is not signed")
        return False

    def _is_known(self) -> bool:
        given = self.headers.get("Authorization") or ""
        if hmac.compare_digest(given, f"Bearer {self._sandbox.token}"):
            return True
        said = {"x-databricks-reason-phrase": "Invalid access token."}
        self._send(403, b'{"error_code":"403","message":"Invalid access token."}', said)
        return False

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
