"""What becomes of slices, given findings and scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_provider_liftos.engine.manifest import SliceResult
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.quality.findings import Decision, Finding, Status, Verdict
from airflow_provider_liftos.quality.rules import Severity
from airflow_provider_liftos.quality.score import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Failures of which severities block, and the score (0 to 100) an account must reach.

    A critical rule that could not be evaluated blocks under every policy. Blocked slices are put
    in ``quarantine``, which the others are not held up by, or ``fail`` the run: then nothing of it
    is published.

    Raises ConfigurationError for severities and words that do not exist.
    """

    block_on: frozenset[str] = frozenset({"critical"})
    minimum_score: float = 60.0
    on_block: str = "quarantine"

    def __post_init__(self) -> None:
        if wrong := sorted(self.block_on - set(Severity)):
            raise ConfigurationError(
                f"block_on names {wrong[0]!r}; severities are {', '.join(Severity)}"
            )
        if self.on_block not in {Verdict.QUARANTINE, Verdict.FAIL}:
            raise ConfigurationError(f"on_block is {self.on_block!r}; it is quarantine or fail")

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
    free = Verdict.WARN if troubles else Verdict.PUBLISH
    return Decision(
        fingerprint=result.slice.fingerprint(),
        account_id=result.slice.account_id,
        label=result.slice.label,
        verdict=Verdict(policy.on_block) if blocking else free,
        reasons=tuple(blocking or [f.line for f in troubles]),
    )


def by_account(findings: Iterable[Finding]) -> Mapping[str, list[Finding]]:
    """Findings of each account."""
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        grouped.setdefault(finding.account_id, []).append(finding)
    return grouped
