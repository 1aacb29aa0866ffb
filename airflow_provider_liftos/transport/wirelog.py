"""Whole exchanges on disk, for whoever debugs a platform: off unless asked for, capped, redacted.

Requests are written as they were before they were authorized; known secrets and values named like
secrets are taken out of everything. Exchanges that are about tokens show no body at all. Files are
readable by their owner alone.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.transport.redact import redact

log = logging.getLogger(__name__)

BODY = 64 * 1024
"""Bytes of a body that are shown."""

FILE = 8 * 1024 * 1024
"""Bytes after which another file is begun."""

TOTAL = 128 * 1024 * 1024
"""Bytes of all files; the oldest go first."""

_MARGIN = 8192
"""Bytes looked at beyond what is shown: a secret must not escape by being cut in two."""

_UNSHOWN = ("set-cookie", "authorization", "www-authenticate")


class Exchange:
    """One request and what came of it, as far as it is shown."""

    def __init__(self, platform: str, request: Request, attempt: int, *, shows: bool) -> None:
        self.platform = platform
        self.request = request
        self.attempt = attempt
        self.shows = shows
        self.outcome = ""
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()

    def take(self, piece: bytes) -> None:
        """A piece of the answer; what is beyond the cap is not kept."""
        if self.shows and len(self.body) < BODY + _MARGIN:
            self.body += piece[: BODY + _MARGIN - len(self.body)]

    def answered(self, response: Response, seconds: float, size: int) -> None:
        """The end of a good or bad answer."""
        self.take(response.body)
        self.headers = response.headers
        sizes = f"{seconds * 1000:.1f} ms, {size} bytes"
        self.outcome = f"{response.status} {response.transfer.protocol} {sizes}"

    def lost(self, why: str, seconds: float) -> None:
        """The end of none."""
        self.outcome = f"lost after {seconds * 1000:.1f} ms: {why}"

    def lines(self, run: str, secrets: Iterable[Secret]) -> str:
        """As text, without these secrets."""
        known, request = list(secrets), self.request
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        where = f"{request.method} {request.path}"
        parts = [f"{moment} run={run or '-'} {self.platform} {where} attempt={self.attempt}"]
        if self.shows:
            given = {**request.query, **(request.form or {})}
            parts += [f"> {name}={value}" for name, value in given.items()]
            parts += [f"> {_text(request.body)}"] if request.body else []
        parts.append(f"< {self.outcome}")
        if self.shows:
            told = self.headers.items()
            parts += [f"< {name}: {value}" for name, value in told if name not in _UNSHOWN]
            parts.append(_text(bytes(self.body)))
        return "".join(f"{redact(part, known, longest=None)[:BODY]}\n" for part in parts) + "\n"


def _text(body: bytes) -> str:
    """A body for people; of what is no text only how long it is."""
    head = body[: BODY + _MARGIN]
    try:
        return head.decode().replace("\\/", "/")  # as some write JSON: no secret is found in it
    except UnicodeDecodeError as error:
        if error.start > len(head) - 4:  # cut amid a character
            return _text(head[: error.start])
        return f"({len(body)} bytes that are no text)"


class WireLog:
    """Writes into ``folder``, which is made where it is missing."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._file: Path | None = None
        self._size = 0
        self._pid = 0
        self._broken = False
        self._one_by_one = threading.Lock()

    def write(self, run: str, exchange: Exchange, secrets: Iterable[Secret]) -> None:
        """Add an exchange. A disk that cannot take it is said once, and stops nothing."""
        if self._broken:
            return
        try:
            text = exchange.lines(run, secrets).encode("utf-8", "replace")
            with self._one_by_one:
                self._append(text)
        except OSError as error:
            self._broken = True
            log.warning("the wire log %s cannot be written: %s", self._folder, error.strerror)

    def _append(self, text: bytes) -> None:
        if self._file is None or self._pid != os.getpid() or self._size + len(text) > FILE:
            self._begin()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(str(self._file), flags, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(text)
        self._size += len(text)

    def _begin(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._pid, self._size = os.getpid(), 0
        self._file = self._folder / f"wire-{time.time_ns()}-{self._pid}.log"
        self._prune()

    def _prune(self) -> None:
        """Make room for a whole new file."""
        sizes: dict[Path, int] = {}
        for file in sorted(self._folder.glob("wire-*.log")):
            with suppress(FileNotFoundError):  # others make room, too
                sizes[file] = file.stat().st_size
        for file in list(sizes):
            if sum(sizes.values()) + FILE <= TOTAL:
                return
            file.unlink(missing_ok=True)
            sizes.pop(file, None)
