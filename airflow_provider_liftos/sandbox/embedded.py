"""The sandbox inside a test: the same server, in a thread, on a free port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Collection
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from .clock import Clock
from .control import truth
from .faults import Faults
from .grpc_door import GrpcDoor
from .journal import Journal
from .server import Server
from .world import World

_START_SECONDS = 10.0


class Sandbox:
    """A running sandbox; use it as a context manager.

    ``url`` is its root; a platform's base URL is ``url + "/" + platform``. Time, faults,
    journal and truth are at hand as plain Python, the same that ``/_sandbox`` offers.
    """

    def __init__(
        self,
        *,
        seed: int = 7,
        profile: str = "small",
        report_seconds: float = 0.0,
        sync_rows: int = 50_000,
        require_proof: bool | Collection[str] = False,
        start: datetime | None = None,
        frozen: bool = False,
    ) -> None:
        self.world = World(
            seed=seed,
            profile=profile,
            report_seconds=report_seconds,
            sync_rows=sync_rows,
            require_proof=require_proof,
            start=start,
            frozen=frozen,
        )
        self.url = ""
        self._doors: list[GrpcDoor] = []
        self._server = Server(self.world)
        self._uvicorn: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def clock(self) -> Clock:
        """Return the sandbox clock."""
        return self.world.clock

    @property
    def faults(self) -> Faults:
        """Return the faults in force."""
        return self.world.faults

    @property
    def journal(self) -> Journal:
        """Return the journal of requests."""
        return self.world.journal

    @cached_property
    def grpc_target(self) -> str:
        """Return the address of the gRPC platforms, in plain; they listen once it is asked for."""
        return self._open_door(None)

    def encrypted_target(self, roots_file: Path) -> str:
        """Return an address with TLS; ``roots_file`` receives the certificate to trust."""
        return self._open_door(roots_file)

    def _open_door(self, roots_file: Path | None) -> str:
        door = GrpcDoor(self.world, self._server.wires)
        self._doors.append(door)
        return door.open("127.0.0.1:0", roots_file=roots_file)

    def secrets(self) -> list[str]:
        """Return every token and secret ever issued: none may be found in a log."""
        return self.world.secrets()

    def truth(self, *, platform: str = "meta", **question: Any) -> dict[str, Any]:
        """Return what a client must arrive at.

        ``since`` and ``until`` stand for the words ``from`` and ``to`` of the HTTP route;
        ``breakdown`` may be a list.
        """
        renamed = {"since": "from", "until": "to"}
        asked = {renamed.get(name, name): value for name, value in question.items()}
        if isinstance(asked.get("breakdown"), (list, tuple)):
            asked["breakdown"] = ",".join(asked["breakdown"])
        return truth(self.world, {"platform": platform, **asked})

    def start(self) -> Self:
        """Listen on a free port of the loopback interface."""
        line = socket.socket()
        line.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            self._server,
            lifespan="off",
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=60,
        )
        self._uvicorn = server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=server.run, kwargs={"sockets": [line]}, name="sandbox", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("the sandbox did not start; see the log above")
            time.sleep(0.005)
        self.url = self.world.http_address = f"http://127.0.0.1:{line.getsockname()[1]}"
        return self

    def stop(self) -> None:
        """Close every connection, also those that a fault keeps hanging."""
        for door in self._doors:
            door.close()
        if self._uvicorn is None or self._thread is None:
            return
        self._uvicorn.should_exit = self._uvicorn.force_exit = True
        self._thread.join(timeout=_START_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
