"""Every fault a platform can show, against the engine: the right totals or the right error.

A cell is a fault and what must come of it. Requests are counted by the sandbox, so a cell also
says how much a fault may cost; and a harness that is not done after so many stints fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from airflow_provider_liftos.engine.extraction import Options
from airflow_provider_liftos.model.errors import NotAuthorized, Unavailable
from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.platforms import names
from airflow_provider_liftos.sandbox.faults import KINDS
from tests.engine.harness import Harness, account_of, basic, last

CALM = 9
"""Requests that the question of these tests costs when nothing goes wrong, at most."""

RIGHT, PARTIAL, REFUSED, GIVEN_UP = "right", "partial", "refused", "given up"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """``extra`` requests beyond CALM. ``hit`` is the account that ``account`` faults strike."""

    kind: str
    verdict: str = RIGHT
    extra: int = 0
    order: Mapping[str, Any] = field(default_factory=dict)
    one_account: bool = False
    page_size: int | None = None
    name: str = ""
    dropped: tuple[str, ...] = ()
    told: str = ""

    def __str__(self) -> str:
        return self.name or self.kind


def cell(kind: str, verdict: str = RIGHT, extra: int = 0, **parts: Any) -> Cell:
    own = {key: parts.pop(key) for key in tuple(parts) if key in Cell.__dataclass_fields__}
    return Cell(kind=kind, verdict=verdict, extra=extra, order=parts, **own)


META = (
    cell("http_500", extra=3, times=3),
    cell("http_500", extra=3, times=3, bare=True, name="http_500 without an error object"),
    cell("http_500", GIVEN_UP, extra=6, match="act_", name="http_500 for ever"),
    cell("http_502_html", extra=3, times=3),
    cell("timeout", extra=1, times=1, match="GET"),
    cell("timeout", extra=1, times=1, match="POST .*act_.*insights", name="timeout of a submission"),
    cell("reset", extra=3, times=3),
    cell("reset", extra=1, times=1, match="POST .*act_.*insights", name="reset of a submission"),
    cell("truncated_body", extra=3, times=3),
    cell("slow", times=2, seconds=0.3),
    cell("rate_limit", extra=2, times=2),
    cell("rate_limit", extra=2, times=2, code=613, subcode=1996, name="rate_limit, as abuse"),
    cell("rate_limit", extra=2, times=2, code=4, status=403, name="rate_limit of the app"),
    cell("lockout", extra=3, one_account=True, regain=3600),
    cell("token_expired", REFUSED, told="access token"),
    cell("token_revoked", REFUSED, told="access token"),
    cell("version_dead", REFUSED, told="switched off"),
    cell("field_gone", extra=3, field="inline_link_clicks", dropped=("inline_link_clicks",)),
    cell("field_gone", extra=3, field="adset_name", name="field_gone, a name",
         dropped=("adset_name",)),
    cell("field_gone", extra=3, field="objective", match="campaigns", name="field_gone, a stream",
         dropped=("objective",)),
    cell("field_gone", PARTIAL, field="ad_id", one_account=True, name="field_gone, an id",
         told="ad_id"),
    cell("job_failed", extra=3, times=1),
    cell("job_failed", extra=3, times=1, bare=True, name="job_failed without a reason"),
    cell("job_failed", PARTIAL, extra=150, one_account=True, name="job_failed for ever",
         told="Report failed"),
    cell("job_failed", extra=12, code=2, subcode=1504038, max_days=2, one_account=True,
         name="job_failed, too large by days"),
    cell("job_failed", extra=110, code=2, subcode=1504038, max_ids=12, field="impressions",
         one_account=True, name="job_failed, too large by ids"),
    cell("job_failed", PARTIAL, extra=150, code=2, subcode=1504038, max_ids=12, one_account=True,
         name="job_failed, too large even for a list of ids", told="too much data"),
    cell("job_failed", PARTIAL, code=2, subcode=1504041, one_account=True,
         name="job_failed, senseless", told="go together"),
    cell("job_skipped", extra=3, times=1),
    cell("job_stuck", extra=200, times=1),
    cell("job_stuck", PARTIAL, extra=400, one_account=True, name="job_stuck for ever",
         told="in time"),
    cell("job_stuck", extra=200, times=1, percent=100, name="job_stuck at 100 percent"),
    cell("result_not_ready", extra=3, times=3),
    cell("result_not_ready", PARTIAL, extra=1500, one_account=True,
         name="result_not_ready for ever", told="not readable"),
    cell("too_much_data", extra=30, max_limit=20),
    cell("too_much_data", extra=20, max_days=1, one_account=True, name="too_much_data by days"),
    cell("empty_page_mid_stream", extra=8, times=2, page_size=50),
    cell("duplicate_page", extra=8, times=1, page_size=50, match="/insights"),
    cell("utilisation", percent=96, times=2),
    cell("proof_required"),
    cell("batch_null", extra=2, times=2),
)  # fmt: skip
CELLS = {"meta": META}
DOES_NOT_APPLY: Mapping[str, Mapping[str, str]] = {
    "meta": {
        "async_refused": "every application that may read insights may ask for report runs",
        "ads_cut": "insights know no newest ads; a query about too many is refused",
    }
}
"""Per platform, kinds of faults it cannot show, each with the reason."""


def test_every_platform_and_every_fault_has_a_cell_or_a_reason() -> None:
    assert set(CELLS) == set(names())
    for platform, cells in CELLS.items():
        assert {one.kind for one in cells} | set(DOES_NOT_APPLY[platform]) == KINDS


@pytest.mark.parametrize("one", META, ids=str)
def test_meta(harness: Harness, one: Cell) -> None:
    struck = account_of(harness.sandbox, 0).account_id
    order = dict(one.order) | ({"account": struck} if one.one_account else {})
    harness.sandbox.faults.add(platform="meta", kind=one.kind, **order)
    if one.kind == "timeout":
        harness.sender._timeout = 0.3
    harness.how = replace(harness.how, page_size=one.page_size, report_timeout=600.0)
    cuts = harness.slices([basic(Level.AD)], last(4), accounts=(0, 1), streams=["campaigns"])
    if one.verdict == REFUSED:
        with pytest.raises(NotAuthorized, match=one.told):
            harness.extract(cuts)
        assert len(harness.journal()) <= 2
        return
    if one.verdict == GIVEN_UP:
        with pytest.raises(Unavailable):
            harness.extract(cuts)
        assert len(harness.journal()) <= CALM + one.extra
        return
    done = harness.publish(harness.extract(cuts, stints=400))
    assert len(harness.journal()) <= CALM + one.extra
    assert harness.published_equals_truth(), harness.differences()
    failed = {cut.slice.account_id for cut in done.failed}
    assert failed == ({struck} if one.verdict == PARTIAL else set())
    assert all(one.told in cut.error for cut in done.failed)
    kept = [cut for cut in done.slices if cut.status == "complete"]
    assert {name for cut in kept for name in cut.dropped} == set(one.dropped)
    if one.kind == "duplicate_page":
        assert sum(cut.duplicates for cut in done.slices) == 50
    lost = sum(point.wasted for point in harness.points())
    assert len(harness.submissions()) - lost <= sum(p.attempts for p in harness.points())


def test_a_calm_platform_is_asked_no_more_than_needed(harness: Harness) -> None:
    cuts = harness.slices([basic(Level.AD)], last(4), accounts=(0, 1), streams=["campaigns"])
    harness.run_to_end(cuts)
    assert len(harness.journal()) <= CALM
    assert harness.published_equals_truth()
    assert harness.how == Options()
