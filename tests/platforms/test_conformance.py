"""Every fault a platform can show, against the engine: the right totals or the right error.

A cell is a fault and what must come of it. Requests are counted by the sandbox, so a cell also
says how much a fault may cost; and a harness that is not done after so many stints fails.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_liftos.engine.extraction import Options
from airflow_provider_liftos.model.errors import NotAuthorized, Unavailable
from airflow_provider_liftos.model.report import Level, Slice
from airflow_provider_liftos.platforms import names
from airflow_provider_liftos.sandbox.faults import KINDS
from tests.engine.harness import Harness, basic, last
from tests.platforms.cells import GIVEN_UP, PARTIAL, REFUSED, Cell, all_cells, of
from tests.platforms.conftest import Make


def question(harness: Harness) -> list[Slice]:
    report = basic(Level.AD, platform=harness.platform)
    return harness.slices([report], last(4), accounts=(0, 1), streams=["campaigns"])


def test_every_platform_and_every_fault_has_a_cell_or_a_reason() -> None:
    for platform in names():
        cells, missing = of(platform).CELLS, of(platform).DOES_NOT_APPLY
        assert {one.kind for one in cells} | set(missing) == KINDS, platform
        assert all(missing.values())


@pytest.mark.parametrize(
    ("platform", "one"), all_cells(), ids=lambda value: str(value).replace(" ", "-")
)
def test_a_fault_ends_as_it_should(make: Make, platform: str, one: Cell) -> None:
    harness = make(platform, **one.options)
    struck = harness.accounts[0].account_id
    order = dict(one.order) | ({"account": struck} if one.one_account else {})
    cuts = question(harness)
    harness.sandbox.faults.add(platform=platform, kind=one.kind, **order)
    if one.kind == "timeout":
        harness.sender._timeout = 0.3
        harness.sender._procedures._timeout = 0.1
    harness.how = replace(harness.how, page_size=one.page_size, report_timeout=600.0)
    calm = of(platform).CALM
    if one.verdict == REFUSED:
        with pytest.raises(NotAuthorized, match=one.told):
            harness.extract(cuts)
        assert len(harness.journal()) <= 2 + one.extra
        return
    if one.verdict == GIVEN_UP:
        with pytest.raises(Unavailable):
            harness.extract(cuts)
        assert len(harness.journal()) <= calm + one.extra
        return
    done = harness.publish(harness.extract(cuts, stints=400))
    assert len(harness.journal()) <= calm + one.extra
    assert harness.published_equals_truth(), harness.differences()
    failed = {cut.slice.account_id for cut in done.failed}
    assert failed == ({struck} if one.verdict == PARTIAL else set())
    assert all(one.told in cut.error for cut in done.failed)
    kept = [cut for cut in done.slices if cut.status == "complete"]
    assert {name for cut in kept for name in cut.dropped} == set(one.dropped)
    assert sum(cut.duplicates for cut in done.slices) == one.duplicates


@pytest.mark.parametrize("platform", names())
def test_a_calm_platform_is_asked_no_more_than_needed(make: Make, platform: str) -> None:
    harness = make(platform)
    harness.run_to_end(question(harness))
    assert 0 < len(harness.journal()) <= of(platform).CALM
    assert harness.published_equals_truth()
    assert harness.how == Options()
