"""What becomes of slices, given findings and scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_provider_liftos.engine.manifest import SliceResult
from airflow_provider_liftos.quality.findings import Decision, Finding, Status, Verdict
from airflow_provider_liftos.quality.rules import Severity
from airflow_provider_liftos.quality.score import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Failures of which severities block, and the score (0 to 100) an account must reach.

    A critical rule that could not be evaluated blocks under every policy.
    """

    block_on: frozenset[str] = frozenset({"critical"})
    minimum_score: float = 60.0

    def blocks(self, finding: Finding) -> bool:
        """Whether the finding alone keeps its slice from being published."""
        if finding.status is Status.NOT_EVALUATED:
            return finding.severity == Severity.CRITICAL
        return finding.status is Status.FAILED and finding.severity in self.block_on


def decide(
    result: SliceResult, findings: Iterable[Finding], account: Score, policy: Policy
) -> Decision:
    """The verdict on one slice; ``findings`` are those of the slice and of its account.

    A slice that was not extracted in full is never published.
    """
    troubles = [f for f in findings if f.status in {Status.FAILED, Status.NOT_EVALUATED}]
    blocking = [f.line for f in troubles if policy.blocks(f)]
    if result.status != "complete" and not blocking:
        blocking.append(f"the slice was not extracted in full: {result.error}".rstrip(": "))
    if account.value is not None and account.value < policy.minimum_score:
        blocking.append(f"the account scores {account.value:.1f}, below {policy.minimum_score:g}")
    verdict = Verdict.BLOCK if blocking else Verdict.WARN if troubles else Verdict.PUBLISH
    return Decision(
        fingerprint=result.slice.fingerprint(),
        account_id=result.slice.account_id,
        label=result.slice.label,
        verdict=verdict,
        reasons=tuple(blocking or [f.line for f in troubles]),
    )


def by_account(findings: Iterable[Finding]) -> Mapping[str, list[Finding]]:
    """Findings of each account."""
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        grouped.setdefault(finding.account_id, []).append(finding)
    return grouped
