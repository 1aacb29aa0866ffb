"""The engine driven from plan to published rows against a sandbox, with time that tests move."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2

from airflow_provider_liftos.cli import proof
from airflow_provider_liftos.engine import plan
from airflow_provider_liftos.engine.checkpoint import Checkpoint, Checkpoints
from airflow_provider_liftos.engine.extraction import Extraction, Finished, Options, Waiting
from airflow_provider_liftos.engine.manifest import Manifest
from airflow_provider_liftos.engine.normalize import Normalizer
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.platform import Credentials, Platform
from airflow_provider_liftos.model.report import Account, Level, Report, Slice, Window
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.resilience.backoff import Backoff
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.resilience.limiter import Limiter
from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.flow import run
from airflow_provider_liftos.transport.session import Session
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse

META = get("meta")
YESTERDAY = date(2026, 11, 20)
"""In every account's zone, at the moment the sandboxes of these tests stand still."""

_FIELDS = {"access_token": "sandbox-token", "app_id": "1001", "app_secret": "sandbox-secret"}


def last(days: int) -> Window:
    return Window(since=YESTERDAY - timedelta(days=days - 1), until=YESTERDAY)


def served(sandbox: Sandbox, platform: Platform) -> dict[str, Any]:
    """The fields of a connection that the sandbox accepts."""
    if any(field.name == "grpc_endpoint" for field in platform.conn_fields):
        assert sandbox.grpc_target  # listens once it is asked for
    answer = httpx2.get(f"{sandbox.url}/_sandbox/connections", trust_env=False)
    found: dict[str, Any] = answer.json()[platform.name]
    return found


def credentials(
    url: str,
    platform: Platform = META,
    fields: Mapping[str, Any] = MappingProxyType(_FIELDS),
    **options: Any,
) -> Credentials:
    """A connection's, with caps that nobody reaches."""
    secret = {field.name for field in platform.conn_fields if field.secret}
    caps = {limit.option: 1e9 for limit in platform.limits}
    plain = {name: value for name, value in fields.items() if name not in secret}
    return Credentials(
        org_id="default",
        conn_id=f"{platform.name}_test",
        base_url=f"{url}/{platform.name}",
        version=platform.newest(),
        secrets={name: Secret(str(value)) for name, value in fields.items() if name in secret},
        options=caps | plain | options,
    )


def basic(level: Level = Level.AD, *, platform: Platform = META, **parts: Any) -> Report:
    return replace(platform.preset("basic", level), **parts)


def account_of(sandbox: Sandbox, index: int = 0, platform: Platform = META) -> Account:
    one = sandbox.world.dataset(platform.name).accounts[index]
    return Account(account_id=one.id, name=one.name, currency=one.currency, timezone=one.timezone)


class StuckError(AssertionError):
    """The engine neither ended nor failed."""


@dataclass(kw_only=True)
class Harness:
    """One task's world. ``elapsed`` is how long it would have slept, in seconds."""

    sandbox: Sandbox
    folder: Path
    scope: str = "dag/run/extract/-1"
    options: dict[str, Any] = field(default_factory=dict)
    platform: Platform = META
    how: Options = field(default_factory=Options)
    http_timeout: float = 60.0
    elapsed: float = 0.0
    rejected: list[tuple[str, str]] = field(default_factory=list)
    waits: list[Waiting] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = ManualClock(self.sandbox.clock.now().timestamp())
        self.store = StateStore(f"sqlite:///{self.folder}/state.db", self.clock)
        self.limiter = Limiter(self.store, "default")
        self.fields = served(self.sandbox, self.platform)
        self.staging = Staging(f"{self.folder}/staging")
        self.sender = HttpSender(self.http_timeout)
        self.warehouse = DuckDbWarehouse(
            self.folder / "warehouse.duckdb", Leases(self.store, "default"), wait=120
        )
        self.accounts = self._accounts()

    def _accounts(self) -> list[Account]:
        """In the dataset's order; as discovered, since the way to an account may be a fact of it."""
        session = self.session()
        known = [account_of(self.sandbox, i, self.platform) for i in range(6)]
        if self.platform is META:
            return known
        found = run(self.platform.accounts(session, session.credentials), self.sender)
        by_id = {account.account_id: account for account in found}
        self.sandbox.journal.clear()
        return [by_id[one.account_id] for one in known]

    def close(self) -> None:
        self.sender.close()
        self.store.close()

    def pass_time(self, seconds: float) -> None:
        """Everybody's clocks move, nobody sleeps: to whole milliseconds, so that they agree.

        One counts in floats and the other in microseconds: each rounding its own way, they would
        fall out of step, and about midnight one would be in yesterday.
        """
        self.elapsed += seconds
        moment = math.ceil((self.clock.now() + seconds) * 1000 - 1e-3) / 1000
        self.clock.advance(max(moment - self.clock.now(), 0.0))
        self.sandbox.clock.advance(max(moment - self.sandbox.clock.now().timestamp(), 0.0))

    def session(self) -> Session:
        return Session(
            self.platform,
            credentials(self.sandbox.url, self.platform, self.fields, **self.options),
            limiter=self.limiter,
            breaker=Breaker(self.store, "default"),
            backoff=Backoff(base=0.1),
            now=self.clock.now,
        )

    def extraction(self, load_id: str = "load1") -> Extraction:
        return Extraction(
            session=self.session(),
            sender=self.sender,
            checkpoints=Checkpoints(self.store, "default", self.scope),
            staging=self.staging,
            accounts={account.account_id: account for account in self.accounts},
            load_id=load_id,
            options=self.how,
            sleep=self.pass_time,
        )

    def slices(
        self,
        reports: Sequence[Report],
        window: Window | None = None,
        *,
        accounts: Sequence[int] = (0,),
        streams: Sequence[str] = (),
        slice_days: int = 30,
    ) -> list[Slice]:
        windows = [(self.accounts[i], window or last(4)) for i in accounts]
        return plan.slices(self.platform, windows, reports, streams, slice_days)

    def extract(self, cuts: Sequence[Slice], load_id: str = "load1", stints: int = 60) -> Manifest:
        """Run to the end as a task would that is called again after each wait."""
        extraction = self.extraction(load_id)
        for _ in range(stints):
            outcome = extraction.advance(cuts)
            if isinstance(outcome, Finished):
                return outcome.manifest
            self.waits.append(outcome)
            pause = 30.0 if outcome.until is None else outcome.until - self.clock.now()
            self.pass_time(max(pause, 0.0) + 0.001)
        raise StuckError(f"still at it after {stints} stints: {self.waits[-1]}")

    def normalize(self, manifest: Manifest) -> Manifest:
        return Normalizer(
            platform=self.platform,
            staging=self.staging,
            reject=lambda _cut, letters: self.rejected.extend(letters),
            options={},
        ).normalize(manifest)

    def publish(self, manifest: Manifest) -> Manifest:
        """Normalize, load, and publish every complete slice, as an approving audit would."""
        done = self.normalize(manifest)
        self.warehouse.load(done, staging=self.staging)
        for cut in done.slices:
            if cut.status == "complete":
                self.warehouse.publish(cut, done.load_id, "default", self.clock.now())
        self.warehouse.discard(done.load_id)
        return done

    def run_to_end(self, cuts: Sequence[Slice], load_id: str = "load1") -> Manifest:
        return self.publish(self.extract(cuts, load_id))

    def differences(self) -> list[str]:
        found = proof.compare(self.folder / "warehouse.duckdb", self.sandbox.url)
        return [str(difference) for difference in found.differences]

    def published_equals_truth(self) -> bool:
        found = proof.compare(self.folder / "warehouse.duckdb", self.sandbox.url)
        return found.compared > 0 and not found.differences

    def points(self) -> list[Checkpoint]:
        return list(Checkpoints(self.store, "default", self.scope).load().values())

    def journal(self, contains: str = "", *, batch: bool = False) -> list[dict[str, Any]]:
        entries = self.sandbox.journal.entries(self.platform.name, contains=contains)
        return [entry for entry in entries if batch or not entry["batch"]]

    def submissions(self) -> list[dict[str, Any]]:
        """Those that may have begun a report: answered well, or with an answer that was lost."""
        sent = [e for e in self.journal("POST ") if e["path"].endswith("/insights")]
        return [entry for entry in sent if entry["status"] in (200, None)]

    def checksum(self) -> str:
        return self.warehouse.checksum("performance")
