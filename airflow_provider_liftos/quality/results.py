"""Findings and scores in the state store, where they outlive the run."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from airflow_provider_liftos.quality.audit import AuditOutcome
from airflow_provider_liftos.quality.findings import Finding, Status
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import quality_results, quality_scores

# Ids begin with the load's and are derived from the run, so that an audit that is repeated replaces
# what it said before, and nothing of another load of the same run.
_NAMESPACE = uuid.UUID("6f1f4b0e-5f0e-4a53-9a4e-3b4f6d0c2a11")


def record(
    store: StateStore, outcome: AuditOutcome, *, org_id: str, dag_id: str, run_id: str, load_id: str
) -> None:
    """Write an outcome in one transaction, in place of earlier ones of the same load of a run.

    Raises:
        ConfigurationError: the store cannot be used as configured.
        StagingError: the disk is full or broken.
        Unavailable: the store is out of reach; asking again may help.
    """
    now = store.clock.now()
    run = {"org_id": org_id, "dag_id": dag_id, "run_id": run_id, "platform": outcome.platform}
    common = {**run, "created_at": now}
    prefix = f"{load_id}-"
    findings = [_result(finding, common, prefix) for finding in outcome.findings]
    scores = [_score(account, value, common, prefix) for account, value in _scores(outcome)]
    with store.write() as connection:
        for table, rows in ((quality_results, findings), (quality_scores, scores)):
            same = [table.c[name] == value for name, value in run.items()]
            mine = table.c.id.startswith(prefix, autoescape=True)
            connection.execute(table.delete().where(*same, mine))
            if rows:
                connection.execute(table.insert(), rows)


def record_findings(
    store: StateStore,
    findings: Sequence[Finding],
    *,
    org_id: str,
    dag_id: str,
    run_id: str,
    load_id: str,
) -> None:
    """Write findings that belong to no audit, and so to no score, of any platforms.

    Replaces what the same run said before under the same ``load_id``.

    Raises:
        ConfigurationError: the store cannot be used as configured.
        StagingError: the disk is full or broken.
        Unavailable: the store is out of reach; asking again may help.
    """
    run = {"org_id": org_id, "dag_id": dag_id, "run_id": run_id}
    prefix, now = f"{load_id}-", store.clock.now()
    rows = [
        _result(finding, {**run, "platform": finding.platform, "created_at": now}, prefix)
        for finding in findings
    ]
    same = [quality_results.c[name] == value for name, value in run.items()]
    mine = quality_results.c.id.startswith(prefix, autoescape=True)
    with store.write() as connection:
        connection.execute(quality_results.delete().where(*same, mine))
        if rows:
            connection.execute(quality_results.insert(), rows)


def _scores(outcome: AuditOutcome) -> Iterator[tuple[str | None, Any]]:
    """The run's score is the one without an account."""
    yield None, outcome.score
    yield from outcome.accounts.items()


def _result(finding: Finding, common: dict[str, Any], prefix: str) -> dict[str, Any]:
    judged = finding.status in {Status.PASSED, Status.FAILED}
    return {
        **common,
        "id": prefix + _id(common, finding.account_id, finding.fingerprint, finding.rule),
        "account_id": finding.account_id,
        "report": finding.report or None,
        "level": finding.level or None,
        "rule": finding.rule,
        "dimension": finding.dimension,
        "severity": finding.severity,
        "status": finding.status.value,
        "observed": finding.observed,
        "expected": finding.expected,
        "failing_share": finding.failing_share if judged else None,
        "sample": json.dumps(list(finding.sample)),
        "advice": finding.advice,
    }


def _score(account: str | None, value: Any, common: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {
        **common,
        "id": prefix + _id(common, account or "", "score"),
        "account_id": account,
        "score": value.value,
        "level": value.level,
    }


def _id(common: dict[str, Any], *parts: str) -> str:
    whole = (*(str(common[n]) for n in ("org_id", "dag_id", "run_id", "platform")), *parts)
    return str(uuid.uuid5(_NAMESPACE, json.dumps(whole)))
