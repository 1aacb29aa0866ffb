"""Money without an exchange rate, as findings beside those of audits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from airflow_provider_liftos.quality.findings import Finding, Status
from airflow_provider_liftos.quality.results import record_findings
from airflow_provider_liftos.quality.rules import Severity
from airflow_provider_liftos.state.store import StateStore

RULE = "currency_has_rate"


def findings(missing: Iterable[Any]) -> Iterator[Finding]:
    """One failed finding for each account that money is null of in the reporting currency.

    ``missing`` are gaps with ``platform``, ``account_id``, ``currency`` and a ``line``.
    """
    for gap in missing:
        yield Finding(
            platform=gap.platform,
            account_id=gap.account_id,
            rule=RULE,
            dimension="completeness",
            severity=Severity.MEDIUM.value,
            status=Status.FAILED,
            observed=gap.line,
            expected="a rate for every day with money",
            failing_share=1.0,
            advice=f"The source does not quote {gap.currency}, or its days are not loaded yet. Load"
            " the history once, or write rows of your own into fx_rates; amounts stay null, not 0.",
        )


def record_gaps(store: StateStore, missing: Iterable[Any], *, org_id: str, run: Any) -> None:
    """Write them down for a task instance, in place of what an earlier try of it said."""
    record_findings(
        store, list(findings(missing)), org_id=org_id, dag_id=run.dag_id, run_id=run.run_id,
        load_id=RULE,
    )  # fmt: skip
