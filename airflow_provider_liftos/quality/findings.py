"""What an audit says: findings, and for each slice a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a rule came out. What raised was not evaluated: it neither passed nor failed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_EVALUATED = "not_evaluated"
    NOT_APPLICABLE = "not_applicable"


class Verdict(StrEnum):
    """What becomes of a slice."""

    PUBLISH = "publish"
    WARN = "publish_with_warning"
    QUARANTINE = "quarantine"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How one rule came out for one slice, or for an account where ``fingerprint`` is empty.

    ``failing_share`` is 0 to 1: of the rows judged, or all or nothing.
    """

    platform: str
    account_id: str
    rule: str
    dimension: str
    severity: str
    status: Status
    fingerprint: str = ""
    report: str = ""
    level: str = ""
    observed: str = ""
    expected: str = ""
    failing_share: float = 0.0
    sample: tuple[Mapping[str, str], ...] = ()
    advice: str = ""

    @property
    def line(self) -> str:
        """What a person reads in a log line or a reason."""
        what = {Status.NOT_EVALUATED: "could not be evaluated"}.get(self.status, self.status.value)
        return f"{self.rule} ({self.severity}) {what}: {self.observed}".rstrip(": ")

    @property
    def told(self) -> str:
        """The same with its place, for where nothing else says it."""
        report = f" {self.report}:{self.level}" if self.report else ""
        return f"{self.account_id}{report}: {self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a slice, and why."""

    fingerprint: str
    account_id: str
    label: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "fingerprint": self.fingerprint,
            "account_id": self.account_id,
            "label": self.label,
            "verdict": self.verdict.value,
            "reasons": list(self.reasons),
        }
