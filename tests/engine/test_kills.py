"""Killed at random moments, again and again, the engine arrives where an undisturbed one does."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from airflow_provider_liftos.engine import plan
from airflow_provider_liftos.engine.checkpoint import FETCHED, Checkpoint, Checkpoints
from airflow_provider_liftos.engine.manifest import Manifest
from airflow_provider_liftos.engine.normalize import Normalizer
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.model.report import Account, Level, Slice
from airflow_provider_liftos.platforms import get, names
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.resilience.limiter import Limiter
from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.flow import run
from airflow_provider_liftos.transport.session import Session
from tests.engine.harness import basic, credentials, served
from tests.engine.killing import BEGUN, DONE, SCOPE, SENT, open_store, work
from tests.engine.totals import staged, truth

KILLS = 200
MOST = 10
"""At most per run; a run may end before, the sooner the busier the machine that has to kill it."""

MOST_RUNS = 100

AMID = 0.9
"""Share of the lives that are ended after a request of theirs went out; the others begin only."""

SPAN = 0.04
"""Seconds after such a request in which the end comes."""


def known(sandbox: Sandbox, platform: Platform, fields: dict[str, Any]) -> list[Account]:
    """The accounts as a plan would find them, in the dataset's order."""
    with TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        session = Session(
            platform, credentials(sandbox.url, platform, fields), limiter=Limiter(store, "default"),
            breaker=Breaker(store, "default"), now=store.clock.now,
        )  # fmt: skip
        sender = HttpSender()
        found = run(platform.accounts(session, session.credentials), sender)
        sender.close()
        store.close()
    by_id = {account.account_id: account for account in found}
    return [by_id[one.id] for one in sandbox.world.dataset(platform.name).accounts]


@pytest.fixture(scope="module")
def busy() -> Iterator[Sandbox]:
    """A sandbox in real time whose reports take a moment."""
    with Sandbox(report_seconds=0.05) as sandbox:
        yield sandbox


@dataclass(kw_only=True)
class Victim:
    """One extraction that is started, killed, and started again until it is done."""

    sandbox: Sandbox
    platform: Platform
    fields: dict[str, Any]
    context: Any
    folder: Path
    chance: random.Random
    kills: int = 0
    amid: int = 0
    finished: list[tuple[str, int]] = field(default_factory=list)

    def plan(self) -> tuple[list[Slice], list[Account]]:
        accounts = known(self.sandbox, self.platform, self.fields)[:2]
        moment = self.sandbox.clock.now().timestamp()
        windows = [
            (one, plan.resolve(plan.DateRange(last_days=6), one, self.platform, moment)[0])
            for one in accounts
        ]
        report = basic(Level.AD, platform=self.platform)
        return plan.slices(self.platform, windows, [report], ["campaigns"], 1), accounts

    def run(self) -> Manifest:
        cuts, accounts = self.plan()
        for _ in range(80):
            mortal = self.kills < MOST
            self.live_once(cuts, accounts, mortal=mortal)
            if (self.folder / DONE).exists():
                return Manifest.from_json(json.loads((self.folder / DONE).read_text()))
        raise AssertionError("it never came to an end")

    def live_once(self, cuts: list[Slice], accounts: list[Account], *, mortal: bool) -> None:
        reader, writer = self.context.Pipe(duplex=False)
        arguments = (
            self.sandbox.url, self.platform.name, self.fields, self.folder, cuts, accounts, writer,
        )  # fmt: skip
        child = self.context.Process(target=work, args=arguments)
        child.start()
        writer.close()
        assert reader.poll(60)
        assert reader.recv_bytes() == BEGUN
        requests = 0
        if mortal:
            if self.chance.random() < AMID:
                requests = heard(reader, self.chance.randint(1, 8))
            time.sleep(self.chance.uniform(0.0, SPAN))
            child.kill()
        else:
            heard(reader, None)
        child.join(60)
        self.kills += child.exitcode != 0
        self.amid += child.exitcode != 0 and requests > 0
        self.note_finished()

    def note_finished(self) -> None:
        """Reports that are safe by now, and how long the journal is: no page of theirs may follow."""
        length = len(self.sandbox.journal.entries())
        known = dict(self.finished)
        for point in self.points():
            if point.state == FETCHED and point.report_id and point.report_id not in known:
                self.finished.append((point.report_id, length))

    def points(self) -> list[Checkpoint]:
        store = open_store(self.folder)
        try:
            return list(Checkpoints(store, "default", SCOPE).load().values())
        finally:
            store.close()


@pytest.mark.parametrize("name", names())
def test_killed_at_random_200_times(
    busy: Sandbox, processes: Any, tmp_path: Path, name: str
) -> None:
    kills = amid = runs = 0
    while kills < KILLS:
        runs += 1
        assert runs < MOST_RUNS, f"{kills} kills in {runs} runs"
        victim = survived(busy, processes, tmp_path / str(runs), get(name), seed=runs)
        kills, amid = kills + victim.kills, amid + victim.amid
    assert amid > KILLS * 3 // 4  # else it was not the work that was killed


def survived(
    busy: Sandbox, processes: Any, folder: Path, platform: Platform, *, seed: int
) -> Victim:
    """One run that is killed up to MOST times and ends as it should."""
    folder.mkdir()
    fields = served(busy, platform)
    victim = Victim(
        sandbox=busy, platform=platform, fields=fields, context=processes, folder=folder,
        chance=random.Random(seed),
    )  # fmt: skip
    cuts, _ = victim.plan()
    busy.journal.clear()
    manifest = victim.run()
    assert not manifest.failed
    done = Normalizer(
        platform=platform, staging=Staging(f"{folder}/staging"), reject=lambda *_: None, options={}
    ).normalize(manifest)
    assert staged(done) == truth(platform, busy, cuts)
    journal = busy.journal.entries(platform.name)
    for report_id, length in victim.finished:
        later = [e for e in journal[length:] if names_report(e, report_id)]
        assert not later, "a finished slice was fetched again"
    wasted = sum(point.wasted for point in victim.points())
    assert wasted <= victim.kills
    if platform.name == "meta":
        planned = sum(cut.report is not None for cut in cuts)
        submitted = len([e for e in journal if e["method"] == "POST" and "act_" in e["path"]])
        assert planned <= submitted <= planned + victim.kills
        assert submitted - planned <= wasted
    return victim


def heard(reader: Connection, most: int | None) -> int:
    """Of how many requests a life has told, up to so many; fewer where it ended before."""
    found = 0
    while found != most:
        try:
            if not reader.poll(60):
                break
            found += reader.recv_bytes() == SENT
        except EOFError:
            break
    return found


def names_report(entry: dict[str, Any], report_id: str) -> bool:
    """Whether a request is about that report's rows."""
    asked = [entry["path"].split("/")[-2], *map(str, entry["params"].values())]
    return entry["method"] == "GET" and report_id in asked
