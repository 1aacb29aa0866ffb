"""A day of hourly runs over every platform, in one clock for all, in which everything goes wrong.

Limiter, breaker, tokens, checkpoints and the sandbox share the clock. Runs of the platforms go side
by side, each stint with a session and an engine of its own, as after a deferral; what fails is
tried again as Airflow would. Nothing may be lost, nothing may hang, no cap may be exceeded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from airflow_provider_liftos.engine.checkpoint import Checkpoints
from airflow_provider_liftos.engine.extraction import Extraction, Finished, Options
from airflow_provider_liftos.engine.manifest import Manifest
from airflow_provider_liftos.model.errors import LiftosError, Unavailable
from airflow_provider_liftos.model.report import Level, Slice
from airflow_provider_liftos.platforms import get, names
from airflow_provider_liftos.resilience.backoff import Backoff
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.state.keyring import KeyRing, new_key
from airflow_provider_liftos.state.tables import breakers
from airflow_provider_liftos.state.tokens import Tokens
from airflow_provider_liftos.transport.session import Session
from tests.engine.conftest import NOON
from tests.engine.harness import Harness, basic, credentials, last
from tests.engine.totals import expected, staged

HOUR = 3600.0
RING = KeyRing.read(new_key())
RETRY_DELAY = 300.0
CAPS: Mapping[str, Mapping[str, float]] = {
    "meta": {"requests_per_hour": 200, "requests_per_minute": 8},
    "google_ads": {"requests_per_minute": 8},
    "tiktok": {"requests_per_hour": 200, "requests_per_second": 8},
}
WINDOWS = {"requests_per_hour": 3600, "requests_per_minute": 60, "requests_per_second": 1}
PINNED = {"meta": "v26.0", "google_ads": "v26"}
ANYWHERE = ("http_500", "http_502_html", "reset", "truncated_body", "rate_limit")
OF_REPORTS = ("job_failed", "job_stuck", "job_skipped", "result_not_ready")
MOST_TRIES, MOST_STINTS = 10, 150
LATEST = 2 * HOUR
"""A run ends by then after its beginning, not counting what the platform itself made it wait."""

UNTOLD = HOUR
"""Google does not tell when a day's operations are there again; it is left alone for so long."""

REQUESTS_PER_RUN = 40
"""On average, where nothing goes wrong it takes 5 to 8, and a dead version one or two more."""


@dataclass(kw_only=True)
class Day(Harness):
    """One platform's side of it; all days share the first one's store and clock."""

    shared: Harness | None = None
    caps: dict[str, float] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    last_session: Session | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shared:
            self.store.close()
            self.store, self.clock = self.shared.store, self.shared.clock
            self.limiter, self.warehouse = self.shared.limiter, self.shared.warehouse

    def session(self) -> Session:
        given = credentials(self.sandbox.url, self.platform, self.fields)
        if self.platform.name in PINNED:
            given = replace(given, version=PINNED[self.platform.name])
        self.last_session = Session(
            self.platform,
            given,
            limiter=self.limiter,
            breaker=Breaker(self.store, "default"),
            backoff=Backoff(base=0.5),
            now=self.clock.now,
            caps=self.caps,
            tokens=Tokens(self.store, "default", given.conn_id, RING),
            fallbacks=[v.name for v in self.platform.versions if v.name != given.version][:1],
        )
        return self.last_session

    def engine(self, load_id: str, *, new_try: bool) -> Extraction:
        return Extraction(
            session=self.session(),
            sender=self.sender,
            checkpoints=Checkpoints(self.store, "default", f"dag/{load_id}/extract/-1"),
            staging=self.staging,
            accounts={account.account_id: account for account in self.accounts},
            load_id=load_id,
            # One thread: each that slept would move the clock for the others, too.
            options=Options(new_try=new_try, report_timeout=600.0, fetch_threads=1),
            sleep=self.pass_time,
        )


@dataclass(kw_only=True)
class Run:
    """One platform's run of one hour: when it goes on, and how often it was tried."""

    day: Day
    hour: int
    wake: float
    cuts: Sequence[Slice]
    tries: int = 1
    stints: int = 0
    fresh: bool = True

    @property
    def load_id(self) -> str:
        return f"{self.day.platform.name}-{self.hour}"

    def go_on(self) -> Manifest | None:
        """A stint; the manifest when it was the last. A partial run is cleared, as people do."""
        self.stints += 1
        assert self.stints <= MOST_STINTS, f"{self.load_id} does not end"
        engine = self.day.engine(self.load_id, new_try=self.fresh)
        self.fresh = False
        try:
            outcome = engine.advance(self.cuts)
        except Unavailable as error:
            self._again(error)
            return None
        finally:
            self.day.warned |= set(engine.session.usage.warnings)
        if isinstance(outcome, Finished):
            if not outcome.manifest.failed:
                return outcome.manifest
            self._again(LiftosError(outcome.manifest.failed[0].error))
            return None
        now = self.day.clock.now()
        self.wake = max(now + 60.0 if outcome.until is None else outcome.until, now + 1.0)
        return None

    def _again(self, error: LiftosError) -> None:
        self.tries, self.fresh = self.tries + 1, True
        assert self.tries <= MOST_TRIES, f"{self.load_id} was tried too often: {error}"
        self.wake = self.day.clock.now() + RETRY_DELAY


@dataclass(kw_only=True)
class Soak:
    """All of it. ``seed`` decides which faults strike, when and where."""

    days: Sequence[Day]
    hours: int
    seed: int
    opened: set[str] = field(default_factory=set)
    lockouts: list[tuple[float, float]] = field(default_factory=list)
    done: list[tuple[Run, Manifest]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.begun = self.days[0].clock.now()
        self.sandbox = self.days[0].sandbox

    def go(self) -> None:
        running: list[Run] = []
        waiting = [
            (self.begun + hour * HOUR, hour, day) for hour in range(self.hours) for day in self.days
        ]
        while running or waiting:
            if waiting and waiting[0][0] <= min((run.wake for run in running), default=1e18):
                running.append(self.begin(*waiting.pop(0)))
                continue
            run = min(running, key=lambda one: one.wake)
            self.until(run.wake)
            manifest = run.go_on()
            self.watch()
            if run.stints == 1:
                self.amid(run)
            if manifest:
                running.remove(run)
                self.done.append((run, self.judged(run, manifest)))

    def begin(self, when: float, hour: int, day: Day) -> Run:
        self.until(when)
        self.trouble(day)
        if day is self.days[0]:
            self.events(hour)
        report = basic(Level.AD, platform=day.platform)
        cuts = day.slices([report], last(2), accounts=(0, 1), streams=["campaigns"])
        return Run(day=day, hour=hour, wake=when, cuts=cuts)

    def until(self, moment: float) -> None:
        day = self.days[0]
        day.pass_time(max(moment - day.clock.now(), 0.0))
        assert self.sandbox.clock.now().timestamp() == pytest.approx(
            day.clock.now(), rel=0, abs=1e-6
        )

    def trouble(self, day: Day) -> None:
        """Two faults an hour, at any request, and half of the time one that lasts for minutes."""
        name = day.platform.name
        for kind in self.chance.sample([*ANYWHERE, *OF_REPORTS], 2):
            times = self.chance.randint(1, 3)
            self.sandbox.faults.add(platform=name, kind=kind, times=times, probability=0.6)
        if self.chance.random() < 0.5:
            account = self.chance.choice(day.accounts[:2]).account_id
            kind = self.chance.choice(["http_500", "lockout"])
            minutes = self.chance.randint(5, 20)
            self.sandbox.faults.add(platform=name, kind=kind, account=account, regain=minutes * 60)
            if (name, kind) == ("google_ads", "lockout"):
                self.lockouts.append((day.clock.now(), day.clock.now() + minutes * 60))

    def events(self, hour: int) -> None:
        if hour == self.hours // 2:  # limits halve
            for day in self.days:
                day.caps = {name: calls / 2 for name, calls in day.caps.items()}

    def amid(self, run: Run) -> None:
        """A version dies in the middle of a run; access tokens end before their time."""
        name = run.day.platform.name
        if run.hour == self.hours // 3 and name in PINNED:
            self.sandbox.faults.add(platform=name, kind="version_dead", version=PINNED[name])
        if name == "google_ads":
            self.sandbox.faults.add(platform=name, kind="token_expired", times=1)

    def watch(self) -> None:
        with self.days[0].store.read() as connection:
            rows = connection.execute(select(breakers.c.key, breakers.c.opened_until)).all()
        self.opened |= {key for key, until in rows if until}

    def locked(self, day: Day, since: float) -> float:
        """Seconds since then in which Google had said that the day's operations are used up."""
        if day.platform.name != "google_ads":
            return 0.0
        seconds, until = 0.0, since
        entries = self.sandbox.journal.entries("google_ads")
        for moment in [moment_of(entry) for entry in entries if entry["status"] == 429]:
            if any(begins <= moment <= ends for begins, ends in self.lockouts):
                ends = min(moment + UNTOLD, day.clock.now())
                seconds += max(ends - max(moment, until), 0.0)
                until = max(until, ends)
        return seconds

    def judged(self, run: Run, manifest: Manifest) -> Manifest:
        late = run.day.clock.now() - self.begun - run.hour * HOUR
        late -= self.locked(run.day, run.day.clock.now() - late)
        assert late < LATEST, f"{run.load_id} took {late / HOUR:.1f} h"
        done = run.day.normalize(manifest)
        days = {(c.account_id, c.name, day) for c in run.cuts for day in c.window.dates()}
        read = [cut.slice for cut in done.slices]
        assert {(c.account_id, c.name, day) for c in read for day in c.window.dates()} == days
        assert staged(done) == expected(run.day.platform, self.sandbox, done), run.load_id
        return done


def moment_of(entry: Mapping[str, Any]) -> float:
    """When it came in, in epoch seconds."""
    return datetime.fromisoformat(entry["time"]).timestamp()


def most_within(seconds: float, moments: Sequence[float]) -> int:
    """The most that fall into any window of that length, but for a hundredth of a second."""
    most = first = 0
    for position, moment in enumerate(moments):
        while moments[first] <= moment - seconds + 0.01:
            first += 1
        most = max(most, position - first + 1)
    return most


@pytest.fixture
def soak(tmp_path: Path, prepared: Path) -> Iterator[Callable[[int, int], Soak]]:
    made: list[Any] = []

    def make(hours: int, seed: int) -> Soak:
        sandbox = Sandbox(start=NOON, frozen=True, report_seconds=60, seed=seed).start()
        made.append(sandbox)
        days: list[Day] = []
        for name in names():
            folder = tmp_path / name
            folder.mkdir()
            (folder / "warehouse.duckdb").write_bytes(prepared.read_bytes())
            first = days[0] if days else None
            caps = dict(CAPS[name])
            days.append(
                Day(sandbox=sandbox, folder=folder, platform=get(name), shared=first, caps=caps)
            )
        made[:0] = days
        return Soak(days=days, hours=hours, seed=seed)

    yield make
    for one in made:
        one.stop() if isinstance(one, Sandbox) else one.close()


@pytest.mark.parametrize(
    ("hours", "seed"),
    [(24, 7), *(pytest.param(72, seed, marks=pytest.mark.full) for seed in (11, 12, 13))],
)
def test_a_day_in_which_everything_goes_wrong_loses_nothing(
    soak: Callable[[int, int], Soak], hours: int, seed: int
) -> None:
    day = soak(hours, seed)
    day.go()
    assert len(day.done) == hours * len(day.days)
    within_caps(day)
    assert len(day.sandbox.journal.entries()) <= REQUESTS_PER_RUN * len(day.done)
    assert day.opened, "a breaker opened"
    with day.days[0].store.read() as connection:
        late = day.days[0].clock.now() - HOUR
        rows = connection.execute(select(breakers.c.opened_until)).scalars().all()
    assert not [until for until in rows if 0 < until < late], "and closed again"
    for one in day.days:
        told = [w for w in one.warned if "has switched off API version" in w]
        assert bool(told) == (one.platform.name in PINNED)
    finale = {run.day.platform.name: (run, done) for run, done in day.done}
    for run, done in finale.values():
        run.day.publish(done)
    assert day.days[0].published_equals_truth(), day.days[0].differences()


def within_caps(soak: Soak) -> None:
    """In every window, before and after the limits were halved.

    Asking for a token is under no cap of the user's. Meta's is asked for in a batch, which in the
    journal looks like any other, so that one more is let pass there.
    """
    half = soak.begun + soak.hours // 2 * HOUR
    for day in soak.days:
        name = day.platform.name
        entries = [e for e in soak.sandbox.journal.entries(name) if not e["batch"]]
        moments = sorted(moment_of(e) for e in entries if "token" not in e["path"])
        tokens = 1 if name == "meta" else 0
        for option, calls in CAPS[name].items():
            seconds = WINDOWS[option]
            before = [moment for moment in moments if moment < half]
            after = [moment for moment in moments if moment >= half + seconds]
            assert most_within(seconds, before) <= calls + tokens, (name, option)
            assert most_within(seconds, after) <= calls / 2 + tokens, (name, option)
