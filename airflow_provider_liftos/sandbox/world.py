"""What all wires share: time, data, faults, journal and settings."""

from __future__ import annotations

import threading
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from .clock import Clock
from .dataset import PROFILES, Dataset
from .faults import Faults
from .journal import Journal, without_secrets
from .wire import WireRequest, WireResponse


class World:
    """The state of one sandbox.

    ``report_seconds`` is how long an asynchronous report takes on the sandbox clock;
    ``sync_rows`` how many rows a synchronous answer may be about before it is refused;
    ``require_proof`` whether calls must be signed with the application's secret: for all
    accounts, or for those named; ``secrets_file`` receives every credential as it is issued.
    """

    def __init__(
        self,
        *,
        seed: int = 7,
        profile: str = "small",
        report_seconds: float = 2.0,
        sync_rows: int = 50_000,
        require_proof: bool | Collection[str] = False,
        start: datetime | None = None,
        frozen: bool = False,
        secrets_file: Path | None = None,
    ) -> None:
        if profile not in PROFILES:
            raise ValueError(f"profile {profile!r} is none of {', '.join(PROFILES)}")
        self.seed = seed
        self.profile = profile
        self.report_seconds = report_seconds
        self.sync_rows = sync_rows
        self.require_proof = require_proof
        # Where the platforms listen, once they do: ``http://…``, ``grpc://…`` or ``grpcs://…``.
        self.http_address = self.grpc_address = ""
        self.clock = Clock(start=start, frozen=frozen)
        self.faults = Faults(self.clock, seed=seed)
        self.journal = Journal()
        self._datasets: dict[str, Dataset] = {}
        self._secrets: dict[str, None] = {}
        self._secrets_file = secrets_file
        self._lock = threading.Lock()
        if secrets_file:
            secrets_file.write_text("", encoding="utf-8")

    def dataset(self, platform: str) -> Dataset:
        """Return what happened on ``platform``."""
        with self._lock:
            if platform not in self._datasets:
                self._datasets[platform] = Dataset(
                    seed=self.seed,
                    platform=platform,
                    profile=self.profile,
                    started_at=self.clock.started_at,
                )
            return self._datasets[platform]

    def keep_secret(self, *values: str) -> None:
        """Remember credentials that must never show up in a log."""
        with self._lock:
            fresh = [value for value in values if value not in self._secrets]
            self._secrets.update(dict.fromkeys(fresh))
            if self._secrets_file and fresh:
                with self._secrets_file.open("a", encoding="utf-8") as lines:
                    lines.writelines(f"{value}\n" for value in fresh)

    def secrets(self) -> list[str]:
        """Return every token and secret ever issued here."""
        with self._lock:
            return list(self._secrets)

    def note(
        self,
        platform: str,
        request: WireRequest,
        response: WireResponse | None,
        *,
        fault: str | None = None,
        seconds: float = 0.0,
        part_of_batch: bool = False,
    ) -> None:
        """Write a request down; ``response`` is None where the client got none."""
        self.journal.add(
            time=self.clock.now().isoformat(),
            platform=platform,
            method=request.method,
            path=request.route,
            params=without_secrets(request.params),
            status=response.status if response else None,
            rows=response.rows if response else 0,
            bytes=len(response.body) + response.size if response else 0,
            ms=round(seconds * 1000, 2),
            fault=fault,
            batch=part_of_batch,
            **(response.notes if response else {}),
        )
