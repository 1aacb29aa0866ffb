"""What the state store keeps of a run's audit, put together for people to read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.engine import Connection

from airflow_provider_liftos.quality.findings import Status
from airflow_provider_liftos.quality.rules import Severity
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import quality_results, quality_scores, run_ledger

RUNS = 90
"""How many runs of a platform the trend goes back."""
CASES = 25
"""Cases of one rule that are shown; the gravest share first."""

_GRAVEST_FIRST = tuple(Severity)
_OF_RULES = (Status.FAILED, Status.NOT_EVALUATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A slice or an account for which a rule did not hold, or could not be evaluated."""

    account_id: str
    report: str
    observed: str
    share: float | None
    evaluated: bool
    sample: tuple[Mapping[str, str], ...]
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """How one rule came out in a run: how many times in which way, and where it did not hold."""

    name: str
    severity: str
    dimension: str
    expected: str
    times: Mapping[str, int]
    share: float
    cases: tuple[Case, ...]

    @property
    def status(self) -> Status:
        """The worst of what it came to."""
        return next((s for s in _WORST_FIRST if self.times.get(s)), Status.NOT_APPLICABLE)


_WORST_FIRST = (Status.FAILED, Status.NOT_EVALUATED, Status.PASSED, Status.NOT_APPLICABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """A score with its word; ``name`` is an account's or a run's id."""

    name: str
    score: float | None
    level: str
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformReport:
    """A platform's part of a run. ``trend`` ends with this run; dimensions are 0 to 100."""

    platform: str
    org_id: str
    whole: Graded
    accounts: tuple[Graded, ...]
    rules: tuple[RuleResult, ...]
    dimensions: Mapping[str, float]
    trend: tuple[Graded, ...]
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Everything a report page shows of a run; no platforms when it was not audited."""

    dag_id: str
    run_id: str
    platforms: tuple[PlatformReport, ...] = field(default=())


def read(store: StateStore, dag_id: str, run_id: str) -> RunReport:
    """The report of a run, of whichever organizations and platforms it is. Raises as the store."""
    with store.read() as connection:
        keys = _audited(connection, dag_id, run_id)
        return RunReport(
            dag_id=dag_id,
            run_id=run_id,
            platforms=tuple(_platform(connection, dag_id, run_id, *key) for key in keys),
        )


def _audited(connection: Connection, dag_id: str, run_id: str) -> list[tuple[str, str]]:
    c = quality_scores.c
    query = select(c.org_id, c.platform).where(c.dag_id == dag_id, c.run_id == run_id).distinct()
    return sorted((org, platform or "") for org, platform in connection.execute(query))


def _platform(
    connection: Connection, dag_id: str, run_id: str, org_id: str, platform: str
) -> PlatformReport:
    mine = {"org_id": org_id, "platform": platform, "dag_id": dag_id, "run_id": run_id}
    graded = _scores(connection, mine)
    whole = [row for row in graded if row.account_id is None]
    newest = max(whole, key=lambda row: row.created_at, default=None)
    grade = _grade(newest, run_id) if newest else Graded(name=run_id, score=None, level="unknown")
    accounts = [_grade(row, row.account_id) for row in graded if row.account_id is not None]
    rules = _rules(connection, mine)
    return PlatformReport(
        platform=platform,
        org_id=org_id,
        whole=grade,
        accounts=tuple(sorted(accounts, key=_worst_first)),
        rules=rules,
        dimensions=_dimensions(connection, mine),
        trend=_trend(connection, mine, grade),
        held=_held(connection, mine),
    )


def _where(table: Any, values: Mapping[str, str]) -> Any:
    return and_(*(table.c[name] == value for name, value in values.items()))


def _scores(connection: Connection, mine: Mapping[str, str]) -> Sequence[Any]:
    query = select(quality_scores).where(_where(quality_scores, mine))
    return connection.execute(query.order_by(quality_scores.c.created_at)).all()


def _grade(row: Any, name: str) -> Graded:
    return Graded(name=name, score=row.score, level=row.level or "unknown", at=row.created_at)


def _worst_first(graded: Graded) -> tuple[float, str]:
    return (-1.0 if graded.score is None else graded.score), graded.name


def _rules(connection: Connection, mine: Mapping[str, str]) -> tuple[RuleResult, ...]:
    c = quality_results.c
    counted = connection.execute(
        select(c.rule, c.severity, c.dimension, c.expected, c.status, func.count())
        .add_columns(func.coalesce(func.sum(c.failing_share), 0.0))
        .where(_where(quality_results, mine))
        .group_by(c.rule, c.severity, c.dimension, c.expected, c.status)
    ).all()
    by_rule: dict[str, list[Any]] = {}
    for row in counted:
        by_rule.setdefault(row.rule, []).append(row)
    found = [_rule(connection, mine, name, rows) for name, rows in by_rule.items()]
    return tuple(sorted(found, key=_gravest_first))


def _rule(
    connection: Connection, mine: Mapping[str, str], name: str, rows: Sequence[Any]
) -> RuleResult:
    times: Counter[str] = Counter()
    for row in rows:
        times[row.status] += row[5]
    bad = [row for row in rows if row.status in _OF_RULES] or rows
    gravest = min(bad, key=lambda row: _rank(row.severity))
    judged = times[Status.PASSED] + times[Status.FAILED]
    return RuleResult(
        name=name,
        severity=gravest.severity,
        dimension=gravest.dimension or "",
        expected=gravest.expected or "",
        times=times,
        share=sum(float(row[6]) for row in rows) / judged if judged else 0.0,
        cases=_cases(connection, mine, name) if any(times[s] for s in _OF_RULES) else (),
    )


def _cases(connection: Connection, mine: Mapping[str, str], rule: str) -> tuple[Case, ...]:
    c = quality_results.c
    query = (
        select(quality_results)
        .where(_where(quality_results, mine), c.rule == rule, c.status.in_(_OF_RULES))
        .order_by(c.status, c.failing_share.desc(), c.account_id, c.report, c.level, c.id)
        .limit(CASES)
    )
    return tuple(
        Case(
            account_id=row.account_id or "",
            report=":".join(part for part in (row.report, row.level) if part),
            observed=row.observed or "",
            share=row.failing_share,
            evaluated=row.status == Status.FAILED,
            sample=tuple(json.loads(row.sample or "[]")),
            advice=row.advice or "",
        )
        for row in connection.execute(query)
    )


def _rank(severity: str) -> int:
    return next((n for n, one in enumerate(_GRAVEST_FIRST) if one == severity), len(_GRAVEST_FIRST))


def _gravest_first(rule: RuleResult) -> tuple[int, int, str]:
    return _WORST_FIRST.index(rule.status), _rank(rule.severity), rule.name


def _dimensions(connection: Connection, mine: Mapping[str, str]) -> dict[str, float]:
    """The score's own arithmetic, for each dimension apart."""
    c = quality_results.c
    rows = connection.execute(
        select(c.dimension, c.severity, func.count(), func.coalesce(func.sum(c.failing_share), 0.0))
        .where(_where(quality_results, mine), c.status.in_((Status.PASSED, Status.FAILED)))
        .group_by(c.dimension, c.severity)
    )
    points: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    for dimension, severity, count, failing in rows:
        weight = _weight(severity)
        weights[dimension or ""] += weight * count
        points[dimension or ""] += weight * (count - failing)
    return {name: 100.0 * points[name] / weights[name] for name in sorted(weights) if weights[name]}


def _weight(severity: str) -> float:
    return Severity(severity).weight if severity in set(Severity) else 0.0


def _trend(connection: Connection, mine: Mapping[str, str], this: Graded) -> tuple[Graded, ...]:
    """Scores of the platform's runs up to this one, oldest first.

    Of the same DAG: what a pipeline loads and what is published of a month are not one line.
    """
    c = quality_scores.c
    query = (
        select(c.run_id, c.score, c.level, c.created_at)
        .where(*(c[name] == mine[name] for name in ("org_id", "platform", "dag_id")))
        .where(c.account_id.is_(None))
        .where(c.created_at <= this.at)
        .order_by(c.created_at.desc(), c.id)
        .limit(RUNS)
    )
    rows = connection.execute(query).all()
    return tuple(_grade(row, row.run_id or "") for row in reversed(rows))


def _held(connection: Connection, mine: Mapping[str, str]) -> tuple[str, ...]:
    """What the publish task's last try said of what it did not publish.

    Where there was none, because the gate let nothing pass, what that said.
    """
    c = run_ledger.c
    query = select(c.phase, c.warnings, c.error).where(
        _where(run_ledger, mine), c.phase.in_(("audit", "publish"))
    )
    tries = connection.execute(query.order_by(c.started_at.desc())).all()
    published = next((row for row in tries if row.phase == "publish"), None)
    if published:
        return tuple(_lines(published.warnings))
    return (tries[0].error,) if tries and tries[0].error else ()


def _lines(text: str | None) -> Iterable[str]:
    return [str(line) for line in json.loads(text or "[]")]
