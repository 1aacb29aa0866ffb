"""Whether published rows equal the sandbox's truth, day by day, at every level and breakdown.

Prebuilt reports are compared, by the breakdowns their rows have; not those broken down by actions,
nor what the sandbox cannot tell. What a report does not declare to know is expected of nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2

from airflow_provider_liftos.hooks import registry
from airflow_provider_liftos.model.audience import dimension
from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.transforms.duckdb import connect

METRICS = ("impressions", "clicks", "spend", "conversions", "conversions_value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Totals of one report at one level."""

    platform: str
    report: str
    level: str
    rows: int
    impressions: int
    conversions: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A day of an account that is not as it should be: rows, then METRICS."""

    platform: str
    account_id: str
    report: str
    level: str
    date: str
    published: tuple[Decimal, ...] | None
    true: tuple[Decimal, ...] | None

    def __str__(self) -> str:
        where = f"{self.platform} {self.account_id} {self.report}:{self.level} {self.date}"
        return f"{where}: published {_plain(self.published)}, true {_plain(self.true)}"


def _plain(values: tuple[Decimal, ...] | None) -> str:
    return "nothing" if values is None else " ".join(f"{v.normalize():f}" for v in values)


@dataclass(slots=True, kw_only=True)
class Proof:
    """What was compared and what differs."""

    lines: list[Line] = field(default_factory=list)
    entities: dict[str, int] = field(default_factory=dict)
    spend: dict[str, Decimal] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    compared: int = 0
    days: int = 0


Days = dict[str, tuple[Decimal, ...]]
Key = tuple[str, str, str, str]
"""Platform, account, report, level."""


def compare(warehouse: Path, sandbox_url: str) -> Proof:
    """Compare every declared day of every published slice; days without rows count too."""
    proof = Proof()
    with (
        connect(warehouse, read_only=True, memory_limit="1GB") as connection,
        httpx2.Client(timeout=60.0, trust_env=False) as client,
    ):
        _totals(connection, proof)
        names = _breakdowns(connection)
        for key, days in _slices(connection).items():
            asked = _asked(key, names)
            if asked is None:
                continue
            true = _truth_then(client, sandbox_url, asked, days)
            if true is None:
                continue
            published = _published(connection, asked)
            for day in sorted({*published, *true}):
                if published.get(day) != true.get(day):
                    platform, account, report, level = key
                    proof.differences.append(
                        Difference(
                            platform=platform, account_id=account, report=report, level=level,
                            date=day, published=published.get(day), true=true.get(day),
                        )
                    )  # fmt: skip
            proof.compared += len(days)
            proof.days = max(proof.days, len(days))
    return proof


def _totals(connection: Any, proof: Proof) -> None:
    rows = connection.execute(
        "SELECT platform, report, level, count(*), sum(impressions)::BIGINT, sum(conversions)"
        " FROM liftos.performance GROUP BY ALL ORDER BY platform, report, level"
    ).fetchall()
    proof.lines = [
        Line(
            platform=p, report=r, level=lv, rows=n, impressions=i or 0, conversions=c or Decimal(0)
        )
        for p, r, lv, n, i, c in rows
    ]
    for table in ("accounts", "campaigns", "ad_groups", "ads", "creatives", "audiences"):
        found = connection.execute(
            f"SELECT count(*) FROM liftos.{table} WHERE valid_to IS NULL AND NOT is_deleted"
        )
        proof.entities[table] = found.fetchone()[0]
    spend = connection.execute(
        "SELECT currency, sum(spend) FROM liftos.account_report GROUP BY ALL ORDER BY currency"
    )
    proof.spend = dict(spend.fetchall())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is compared: ``breakdowns`` by commas, and those of METRICS that the report tells."""

    key: Key
    breakdowns: str
    metrics: frozenset[str]


def _breakdowns(connection: Any) -> dict[tuple[str, str], list[str]]:
    """By which breakdowns the rows of each platform's reports are cut."""
    rows = connection.execute(
        "SELECT platform, report, json_keys(any_value(breakdowns))"
        " FROM liftos.performance WHERE breakdown_key <> '' GROUP BY ALL"
    ).fetchall()
    return {(platform, report): names for platform, report, names in rows}


def _asked(key: Key, names: Mapping[tuple[str, str], list[str]]) -> _Asked | None:
    """How to compare a report; None for one that cannot be."""
    name, _, report, level = key
    platform = {one.name: one for one in registry.declared()}[name]
    if report not in platform.presets:
        return None
    declared = platform.check(platform.preset(report, Level(level)))
    if declared.action_breakdowns:
        return None
    mapping = platform.mapping(declared, {})
    told = {*mapping.select, *(column for more in mapping.windows.values() for column in more)}
    found = names.get((name, report), list(declared.breakdowns))
    order = [one for own in declared.breakdowns for one in (own, dimension(own)) if one in found]
    cut_by = dict.fromkeys((*order, *found))
    return _Asked(key=key, breakdowns=",".join(cut_by), metrics=frozenset(METRICS) & told)


def _slices(connection: Any) -> dict[Key, dict[str, str]]:
    """Declared days of each report, level and account, and when the platform was asked for each."""
    rows = connection.execute(
        "SELECT platform, account_id, report, level, date::VARCHAR, epoch(as_of)"
        " FROM liftos.loads ORDER BY ALL"
    ).fetchall()
    found: dict[Key, dict[str, str]] = {}
    for platform, account, report, level, day, as_of in rows:
        moment = datetime.fromtimestamp(as_of, UTC).isoformat()
        found.setdefault((platform, account, report, level), {})[day] = moment
    return found


def _truth_then(client: Any, url: str, asked: _Asked, days: Mapping[str, str]) -> Days | None:
    """The truth of each day as it was when the platform was asked: past days still move.

    None for what the sandbox cannot tell.
    """
    true: Days = {}
    for as_of in sorted(set(days.values())):
        mine = [day for day, moment in days.items() if moment == as_of]
        found = _truth(client, url, asked, min(mine), max(mine), as_of)
        if found is None:
            return None
        true |= {day: values for day, values in found.items() if day in mine}
    return true


def _published(connection: Any, asked: _Asked) -> Days:
    sums = ", ".join(f"sum({name})" if name in asked.metrics else "0" for name in METRICS)
    rows = connection.execute(
        f"SELECT date, count(*), {sums} FROM liftos.performance"
        " WHERE platform = ? AND account_id = ? AND report = ? AND level = ? GROUP BY date",
        list(asked.key),
    ).fetchall()
    return {str(row[0]): tuple(Decimal(str(value or 0)) for value in row[1:]) for row in rows}


def _truth(client: Any, url: str, asked: _Asked, since: str, until: str, as_of: str) -> Days | None:
    platform, account, _, level = asked.key
    question = {"platform": platform, "account": account, "level": level, "from": since,
                "to": until, "as_of": as_of, "breakdown": asked.breakdowns}  # fmt: skip
    answer = client.get(f"{url}/_sandbox/truth", params=question)
    if answer.status_code == httpx2.codes.BAD_REQUEST and asked.breakdowns:
        return None
    answer.raise_for_status()
    days: dict[str, list[Decimal]] = {}
    for row in answer.json()["rows"]:
        sums = days.setdefault(row["date"], [Decimal(0)] * (len(METRICS) + 1))
        sums[0] += 1
        for position, metric in enumerate(METRICS, start=1):
            sums[position] += Decimal(str(row[metric] or 0)) if metric in asked.metrics else 0
    return {day: tuple(sums) for day, sums in days.items()}
