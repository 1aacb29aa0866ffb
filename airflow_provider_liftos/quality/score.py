"""From findings to a number between 0 and 100, and from the number to a word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_liftos.quality.findings import Finding, Status
from airflow_provider_liftos.quality.rules import Severity

LEVELS = ((90.0, "excellent"), (75.0, "good"), (60.0, "fair"), (40.0, "poor"), (0.0, "critical"))
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """``value`` is 0 to 100, None when nothing could be judged; ``level`` is its word."""

    value: float | None
    level: str


def level_of(value: float | None) -> str:
    """The word for a score; ``unknown`` for none."""
    if value is None:
        return UNKNOWN
    return next(word for least, word in LEVELS if value >= least)


def score(findings: Iterable[Finding]) -> Score:
    """The mean of what passed, weighted by severity.

    A rule over rows counts with the share of rows that obey it, another one all or nothing. What
    was not evaluated or does not apply counts neither way.
    """
    points = weights = 0.0
    for finding in findings:
        if finding.status not in {Status.PASSED, Status.FAILED}:
            continue
        weight = Severity(finding.severity).weight
        weights += weight
        points += weight * (1.0 - finding.failing_share)
    value = 100.0 * points / weights if weights else None
    return Score(value=value, level=level_of(value))
