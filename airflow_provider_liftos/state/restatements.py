"""The restatement ledger: how much each past day moved since it was last published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby

from sqlalchemy import insert, select

from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import restatements

AGES = (3, 7, 14, 28, 90)
"""Days after which reading a day again is often said to be of no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A day's metric, as it was published first and as it is now; None where there was no value.

    ``age_days`` is how old the day was, by UTC, when it moved last.
    """

    platform: str
    account_id: str
    report: str
    level: str
    date: date
    metric: str
    first: Decimal | None
    now: Decimal | None
    moves: int
    age_days: int

    @property
    def share(self) -> float | None:
        """By how much it moved, as a fraction of what it was; None where that was nothing."""
        return float(((self.now or 0) - self.first) / self.first) if self.first else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """Days that moved last at an age of more than ``above`` and at most ``up_to`` days.

    ``share`` is by how much, as a fraction of what was published of these days first.
    """

    platform: str
    report: str
    level: str
    metric: str
    above: int
    up_to: int | None
    days: int
    share: float | None

    @property
    def label(self) -> str:
        """As ``8-14 d``."""
        return f"{self.above + 1}-{self.up_to} d" if self.up_to else f"> {self.above} d"


def note(
    store: StateStore,
    org_id: str,
    *,
    platform: str,
    account_id: str,
    report: str,
    level: str,
    load_id: str,
    moved: Sequence[tuple[str, str, Decimal | None, Decimal | None]],
) -> None:
    """Keep (date, metric, old, new) of the days that a load changes, each move of a load once.

    It is written before the load is committed: a publication that dies in between, and is repeated,
    leaves no gap and says nothing twice. One that is never repeated leaves moves of a load that
    ``loads`` does not know.
    """
    whose = {
        "org_id": org_id,
        "platform": platform,
        "account_id": account_id,
        "report": report,
        "level": level,
        "load_id": load_id,
    }
    columns = [restatements.c[n] for n in ("date", "metric", "old_value", "new_value")]
    mine = [restatements.c[name] == value for name, value in whose.items()]
    with store.write() as connection:
        known = {tuple(row) for row in connection.execute(select(*columns).where(*mine))}
        now = store.clock.now()
        rows = [
            {
                **whose,
                "date": day,
                "metric": metric,
                "old_value": _text(old),
                "new_value": _text(new),
                "created_at": now,
            }
            for day, metric, old, new in moved
            if (day, metric, _text(old), _text(new)) not in known
        ]
        if rows:
            connection.execute(insert(restatements), rows)


def moves(
    store: StateStore,
    org_id: str,
    *,
    platform: str | None = None,
    account_id: str | None = None,
    since: date | None = None,
) -> list[Move]:
    """Every day's metric that moved, newest days first; ``since`` is the first of the days."""
    column = restatements.c
    key = (column.platform, column.account_id, column.report, column.level, column.date,
           column.metric)  # fmt: skip
    query = select(*key, column.old_value, column.new_value, column.created_at).where(
        column.org_id == org_id
    )
    for name, value in (("platform", platform), ("account_id", account_id)):
        if value is not None:
            query = query.where(column[name] == value)
    if since is not None:
        query = query.where(column.date >= str(since))
    with store.read() as connection:
        rows = connection.execute(query.order_by(*key, column.created_at)).all()
    found = [_move(list(group)) for _, group in groupby(rows, key=lambda row: tuple(row[:6]))]
    return sorted(found, key=lambda one: one.date, reverse=True)


def _move(rows: Sequence[Sequence[object]]) -> Move:
    first, last = rows[0], rows[-1]
    platform, account_id, report, level, day, metric = map(str, first[:6])
    moved = datetime.fromtimestamp(float(str(last[8])), UTC).date()
    return Move(
        platform=platform, account_id=account_id, report=report, level=level, metric=metric,
        date=date.fromisoformat(day), first=_decimal(first[6]), now=_decimal(last[7]),
        moves=len(rows), age_days=(moved - date.fromisoformat(day)).days,
    )  # fmt: skip


def ages(found: Iterable[Move]) -> list[Age]:
    """Sums over all accounts: how much would have been missed by reading days again less long."""
    groups: dict[tuple[str, str, str, str, int], list[Move]] = {}
    for one in found:
        bucket = sum(one.age_days > limit for limit in AGES)
        key = (one.platform, one.report, one.level, one.metric, bucket)
        groups.setdefault(key, []).append(one)
    limits = (0, *AGES, None)
    return [
        Age(
            platform=platform, report=report, level=level, metric=metric,
            above=limits[bucket] or 0, up_to=limits[bucket + 1], days=len(group),
            share=_share(group),
        )
        for (platform, report, level, metric, bucket), group in sorted(groups.items())
    ]  # fmt: skip


def _share(group: Sequence[Move]) -> float | None:
    before = sum((one.first or Decimal(0) for one in group), Decimal(0))
    after = sum((one.now or Decimal(0) for one in group), Decimal(0))
    return float((after - before) / before) if before else None


def _decimal(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
