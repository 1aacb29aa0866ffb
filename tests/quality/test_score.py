from __future__ import annotations

import pytest

from airflow_provider_liftos.quality.findings import Finding, Status
from airflow_provider_liftos.quality.score import level_of, score


def said(status: Status, severity: str = "critical", share: float | None = None) -> Finding:
    share = float(status is Status.FAILED) if share is None else share
    return Finding(platform="meta", account_id="1", rule="r", dimension="d", severity=severity,
                   status=status, failing_share=share)  # fmt: skip


@pytest.mark.parametrize(("value", "word"), [
    (100, "excellent"), (90, "excellent"), (89.99, "good"), (75, "good"), (74.99, "fair"), (60, "fair"),
    (59.99, "poor"), (40, "poor"), (39.99, "critical"), (0, "critical"), (None, "unknown"),
])  # fmt: skip
def test_levels_begin_at_their_bound(value: float | None, word: str) -> None:
    assert level_of(value) == word


@pytest.mark.parametrize(("severity", "value"), [
    ("critical", 100 * 7.5 / 10.5), ("high", 100 * 7.5 / 9.5), ("medium", 100 * 7.5 / 9), ("low", 100 * 7.5 / 8.5),
])  # fmt: skip
def test_a_failure_counts_by_its_severity(severity: str, value: float) -> None:
    passed = [said(Status.PASSED, s) for s in ("critical", "high", "medium", "low")]
    assert score([*passed, said(Status.FAILED, severity)]).value == pytest.approx(value)


def test_rules_over_rows_count_with_the_share_that_passed() -> None:
    assert score([said(Status.FAILED, share=0.25)]).value == 75.0


@pytest.mark.parametrize("status", [Status.NOT_EVALUATED, Status.NOT_APPLICABLE])
def test_what_was_not_judged_counts_neither_way(status: Status) -> None:
    found = [said(Status.PASSED), said(Status.FAILED)]
    assert score([*found, said(status)]) == score(found)
    assert score([said(status)]).value is None
