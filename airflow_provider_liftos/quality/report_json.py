"""A run's quality, and the rules, as plain JSON for programs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from airflow_provider_liftos.model.unified import PERFORMANCE
from airflow_provider_liftos.quality.anomalies import RULES
from airflow_provider_liftos.quality.report import Case, PlatformReport, RuleResult, RunReport
from airflow_provider_liftos.quality.rules import catalogue
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import quality_scores


def all_rules() -> list[dict[str, Any]]:
    """The catalogue: what each rule expects, how grave a failure is, what it counts, what to do.

    Severities are the usual ones; connections and DAGs may change them. Users' own rules are not
    among them.
    """
    return [
        {
            "rule": rule.name,
            "severity": rule.severity.value,
            "weight": rule.weight,
            "dimension": rule.dimension.value,
            "judges": rule.judges.value,
            "expected": rule.doc,
            "advice": rule.advice,
        }
        for rule in catalogue(PERFORMANCE, own=RULES).values()
    ]


def newest_run(store: StateStore, dag_id: str) -> str | None:
    """The run of a DAG that was audited last; None if none was. Raises as the store does."""
    c = quality_scores.c
    query = select(c.run_id).where(c.dag_id == dag_id).order_by(c.created_at.desc(), c.id).limit(1)
    with store.read() as connection:
        found: str | None = connection.scalar(query)
    return found


def as_json(report: RunReport) -> dict[str, Any]:
    """Everything that the page of a run shows."""
    return {
        "dag_id": report.dag_id,
        "run_id": report.run_id,
        "platforms": [_platform(one) for one in report.platforms],
    }


def _platform(one: PlatformReport) -> dict[str, Any]:
    return {
        "platform": one.platform,
        "org_id": one.org_id,
        "score": one.whole.score,
        "level": one.whole.level,
        "judged_at": one.whole.at,
        "dimensions": dict(one.dimensions),
        "accounts": [
            {"account_id": graded.name, "score": graded.score, "level": graded.level}
            for graded in one.accounts
        ],
        "rules": [_rule(rule) for rule in one.rules],
        "held_back": list(one.held),
        "trend": [
            {"run_id": graded.name, "score": graded.score, "judged_at": graded.at}
            for graded in one.trend
        ],
    }


def _rule(rule: RuleResult) -> dict[str, Any]:
    return {
        "rule": rule.name,
        "severity": rule.severity,
        "dimension": rule.dimension,
        "status": rule.status.value,
        "expected": rule.expected,
        "times": dict(rule.times),
        "failing_share": rule.share,
        "cases": [_case(case) for case in rule.cases],
    }


def _case(case: Case) -> dict[str, Any]:
    return {
        "account_id": case.account_id,
        "report": case.report,
        "evaluated": case.evaluated,
        "observed": case.observed,
        "failing_share": case.share,
        "sample": [dict(row) for row in case.sample],
        "advice": case.advice,
    }
