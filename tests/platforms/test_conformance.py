"""Every fault a platform can show, against the engine: the right totals or the right error.

A cell is a fault and what must come of it, with the number of requests that it may cost, which the
sandbox counts. A seed decides what there is on the platform, and, but for the first, at which of
the requests that are meant the fault strikes. A cell that takes longer than it may, or for ever
begins anew, fails.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_liftos.engine.extraction import Options
from airflow_provider_liftos.engine.manifest import Manifest
from airflow_provider_liftos.model.errors import ConfigurationError, Unavailable
from airflow_provider_liftos.model.report import Level, Slice
from airflow_provider_liftos.platforms import names
from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.sandbox.faults import KINDS
from airflow_provider_liftos.transport.client import HttpSender
from tests.engine.harness import Harness, StuckError, basic, last
from tests.engine.totals import staged, truth
from tests.platforms.cells import (
    GIVEN_UP,
    PARTIAL,
    REFUSED,
    Cell,
    all_cells,
    of,
    one_of_each_kind,
)
from tests.platforms.conftest import Make

FIRST, SEEDS, MORE_SEEDS = 7, (18, 4), (23, 30, 35)
LONGEST = 240.0
"""Seconds of real time for a cell; of its own time it may wait for LONGEST_WAIT."""

LONGEST_WAIT = 4 * 3600.0


def question(harness: Harness) -> list[Slice]:
    report = basic(Level.AD, platform=harness.platform)
    return harness.slices([report], last(4), accounts=(0, 1), streams=["campaigns"])


def matrix() -> list[Any]:
    """Every cell by the first seed; one of each kind by two more, and all by all in long runs."""
    often = [(*cell, seed) for seed in SEEDS for cell in one_of_each_kind()]
    seldom = [(*cell, seed) for seed in (*SEEDS, *MORE_SEEDS) for cell in all_cells()]
    return [
        *((*cell, FIRST) for cell in all_cells()),
        *often,
        *(pytest.param(*each, marks=pytest.mark.full) for each in seldom if each not in often),
    ]


@pytest.fixture
def deadline() -> Iterator[None]:
    """StuckError amid whatever the test is waiting for, again and again until it ends."""

    def late(*_: object) -> None:
        raise StuckError(f"a cell may take {LONGEST:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, LONGEST, 5.0)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_every_platform_and_every_fault_has_a_cell_or_a_reason() -> None:
    for platform in names():
        cells, missing = of(platform).CELLS, of(platform).DOES_NOT_APPLY
        assert {one.kind for one in cells} | set(missing) == KINDS, platform
        assert all(missing.values())


@pytest.mark.usefixtures("deadline")
@pytest.mark.parametrize(
    ("platform", "one", "seed"), matrix(), ids=lambda value: str(value).replace(" ", "-")
)
def test_a_fault_ends_as_it_should(
    make: Make,
    world: Callable[[int], Sandbox],
    record_property: Callable[[str, object], None],
    platform: str,
    one: Cell,
    seed: int,
) -> None:
    harness = make(platform, world(seed), **one.options)
    cuts = question(harness)
    order(harness, one, scattered=seed != FIRST)
    done = end(harness, cuts, one)
    asked = len(harness.journal())
    record_property("requests", asked)
    # A connection that is refused is refused at once.
    assert asked <= (2 if one.verdict == REFUSED else of(platform).CALM) + one.extra
    assert harness.elapsed <= LONGEST_WAIT
    if done:
        judge(harness, cuts, done, one, exactly=seed == FIRST)


def order(harness: Harness, one: Cell, *, scattered: bool) -> None:
    """Let the fault strike the requests that it means, or half of them, as its seed has it."""
    asked: dict[str, Any] = {"platform": harness.platform.name, "kind": one.kind, **one.order}
    if one.one_account:
        asked["account"] = harness.accounts[0].account_id
    if scattered and "times" in asked:
        asked["probability"] = 0.5
    harness.sandbox.faults.add(**asked)
    if one.kind == "timeout":
        harness.sender.close()
        # What is answered is answered in time on a busy machine too; a stream may be silent for
        # five times as long.
        passes = "times" in one.order
        harness.sender = HttpSender(3.0 if passes else 1.0)
        harness.sender._procedures._timeout = 1.0 if passes else 0.6
    harness.how = replace(harness.how, page_size=one.page_size, report_timeout=600.0)


def end(harness: Harness, cuts: Sequence[Slice], one: Cell) -> Manifest | None:
    """What came of the run; nothing if it was to fail, and did."""
    if one.verdict == REFUSED:
        with pytest.raises(ConfigurationError, match=one.told):
            harness.extract(cuts)
        return None
    if one.verdict == GIVEN_UP:
        with pytest.raises(Unavailable):
            harness.extract(cuts)
        return None
    return harness.normalize(harness.extract(cuts, stints=400))


def judge(
    harness: Harness, cuts: Sequence[Slice], done: Manifest, one: Cell, *, exactly: bool
) -> None:
    struck = {harness.accounts[0].account_id} if one.verdict == PARTIAL else set()
    assert {cut.slice.account_id for cut in done.failed} == struck
    assert all(one.told in cut.error for cut in done.failed)
    kept = [cut for cut in done.slices if cut.status == "complete"]
    asked = [cut.slice for cut in kept if cut.slice.report]
    assert staged(done) == truth(harness.platform, harness.sandbox, asked)
    assert {cut.slice.account_id for cut in kept} >= {c.account_id for c in cuts} - struck
    assert {name for cut in kept for name in cut.dropped} == set(one.dropped)
    duplicates = sum(cut.duplicates for cut in done.slices)
    assert duplicates == one.duplicates if exactly else duplicates <= one.duplicates


@pytest.mark.parametrize("platform", names())
def test_a_calm_platform_is_asked_no_more_than_needed(make: Make, platform: str) -> None:
    harness = make(platform)
    harness.run_to_end(question(harness))
    assert 0 < len(harness.journal()) <= of(platform).CALM
    assert harness.published_equals_truth()
    assert harness.how == Options()


@pytest.mark.parametrize("platform", names())
def test_each_call_is_logged_with_the_id_by_which_the_platform_finds_it(
    make: Make, platform: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "airflow_provider_liftos.requests")
    harness = make(platform)
    harness.extract(harness.slices([basic(platform=harness.platform)], last(1)))
    lines = [vars(one) for one in caplog.records if one.name == "airflow_provider_liftos.requests"]
    told = [
        one["liftos_request_id"] for one in lines if not one["liftos_endpoint"].endswith("token")
    ]
    assert len(told) >= 2
    assert all(told)
    assert len(set(told)) == len(told)
