"""What the warehouse holds of slices of reports: rows under audit, and what is published.

Three statements for many slices, because their way may be long, and because one that no index helps
reads the whole table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeAlias

from airflow_provider_liftos.model.unified import LOADS, PERFORMANCE
from airflow_provider_liftos.warehouses.job import Job, Predicate, either, statements

RESTATED_METRICS = ("spend", "conversions", "conversions_value", "impressions", "clicks")

Sums: TypeAlias = "dict[tuple[date, str], Sum]"
"""By day and attribution window."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Rows, and what RESTATED_METRICS add up to; None where there are no such values."""

    rows: int = 0
    metrics: tuple[Decimal | None, ...] = (None,) * len(RESTATED_METRICS)

    def of(self, metric: str) -> Decimal | None:
        """What one of them adds up to."""
        return self.metrics[RESTATED_METRICS.index(metric)]


@dataclass(slots=True, kw_only=True)
class Inventory:
    """Of one slice: sums under audit and published, and its days that were published before.

    Published at all (``known``), as this load has them (``settled``), and newer by another one.
    """

    staged: Sums = field(default_factory=dict)
    published: Sums = field(default_factory=dict)
    known: set[date] = field(default_factory=set)
    settled: set[date] = field(default_factory=set)
    newer: set[date] = field(default_factory=set)


def inventories(jobs: Sequence[Job]) -> list[Inventory]:
    """What is there of slices of one load, no two of which have a day of a report in common.

    Raises:
        WarehouseError: a slice has rows under audit that it did not declare.
    """
    found = [Inventory(staged=staged) for staged in _staged(jobs)]
    owners = {
        (*job.key.values(), day): (job, one)
        for job, one in zip(jobs, found, strict=True)
        for day in job.declared
    }
    _add_published(jobs, owners)
    _add_loads(jobs, owners)
    return found


_Owners: TypeAlias = Mapping[tuple[object, ...], tuple[Job, Inventory]]
"""Whose a key and a day are."""


def _staged(jobs: Sequence[Job]) -> list[Sums]:
    job = jobs[0]
    columns, shown = ["date", "attribution_window", *job.key], _summed(job)
    group = _names(job, ["slice_key", *columns])
    table, mine = job.layout.audit(PERFORMANCE.name), under_audit(jobs)
    found: dict[str, list[tuple[tuple[object, ...], Sum]]] = {one.slice_key: [] for one in jobs}
    for slice_key, *row in job.run(
        f"SELECT {group}, {shown} FROM {table}", mine, tail=f" GROUP BY {group}"
    ):
        found[slice_key].append((tuple(row[: len(columns)]), _sum(row[len(columns) :])))
    return [_declared(one, found[one.slice_key]) for one in jobs]


def _declared(job: Job, groups: Collection[tuple[tuple[object, ...], Sum]]) -> Sums:
    """Rows under audit, all of which must be of the slice's key and days."""
    key, days = tuple(job.key.values()), set(job.declared)
    sums: Sums = {}
    strange = 0
    for (day, window, *of), one in groups:
        if tuple(of) == key and day in days:
            sums[day, window] = one  # type: ignore[index]  # days and texts
        else:
            strange += one.rows
    if strange:
        raise job.error(
            f"{strange} of its {sum(one.rows for _, one in groups)} rows are outside of the days,"
            " the account or the report it declares.",
            hint="Look at them in the audit schema; the platform's mapping is likely wrong.",
        )
    return sums


def _add_published(jobs: Sequence[Job], owners: _Owners) -> None:
    """Sums, and days of which another load brought newer rows.

    That is noted in ``loads``, too, unless it died before it came to that.
    """
    first, ident = jobs[0], jobs[0].layout.capabilities.ident
    group = _names(first, [*first.key, "date", "attribution_window"])
    others = f"max(CASE WHEN {ident('load_id')} <> ? THEN {ident('as_of')} END)"
    shown, tail = f"{group}, {others}, {_summed(first)}", f" GROUP BY {group}"
    rows = _published(jobs, owners, PERFORMANCE.name, shown, [first.load_id], tail)
    for job, one, day, (window, as_of, *sums) in rows:
        one.published[day, window] = _sum(sums)
        if as_of is not None and as_of > job.as_of:
            one.newer.add(day)


def _add_loads(jobs: Sequence[Job], owners: _Owners) -> None:
    shown = _names(jobs[0], [*jobs[0].key, "date", "load_id", "as_of"])
    mine = jobs[0].layout.capabilities.held(jobs[0].load_id)
    for job, one, day, (load_id, as_of) in _published(jobs, owners, LOADS.name, shown):
        one.known.add(day)
        if load_id == mine and as_of >= job.as_of:
            one.settled.add(day)
        elif load_id != mine and as_of > job.as_of:
            one.newer.add(day)


def _published(
    jobs: Sequence[Job],
    owners: _Owners,
    table: str,
    shown: str,
    params: Sequence[object] = (),
    tail: str = "",
) -> Iterator[tuple[Job, Inventory, date, Sequence[Any]]]:
    """Rows of all declared days, which show their key and day first; and whose they are."""
    job, many = jobs[0], len(jobs[0].key) + 1
    sql = f"SELECT {shown} FROM {job.layout.published(table)}"
    for part in statements(job.layout, of_days((one, one.declared) for one in jobs)):
        for row in job.run(sql, part, params, tail):
            yield *owners[tuple(row[:many])], row[many - 1], row[many:]


def under_audit(jobs: Sequence[Job]) -> Predicate:
    """All rows of several slices; as one list, which an engine looks up instead of trying each."""
    mine = jobs[0].where(load_id=jobs[0].load_id)
    return mine & jobs[0].among("slice_key", [job.slice_key for job in jobs])


def of_days(asked: Iterable[tuple[Job, tuple[date, ...]]]) -> list[Predicate]:
    """What finds days of slices in a published table; accounts of the same days share one."""
    alike: dict[tuple[object, ...], list[Job]] = {}
    for job, dates in asked:
        alike.setdefault((dates, *(job.key | {"account_id": None}).values()), []).append(job)
    return [_of_accounts(jobs, dates) for (dates, *_), jobs in alike.items()]  # type: ignore[arg-type]


def _of_accounts(jobs: Sequence[Job], dates: Sequence[date]) -> Predicate:
    job, rest = jobs[0], jobs[0].key
    del rest["account_id"]
    accounts = job.among("account_id", [one.key["account_id"] for one in jobs])
    return job.where(**rest) & accounts & in_dates(job, dates)


def in_dates(job: Job, dates: Sequence[date]) -> Predicate:
    """Membership in a set of days, as few ranges as possible."""
    day = job.layout.capabilities.ident("date")
    return either([Predicate(sql=f"{day} BETWEEN ? AND ?", params=span) for span in spans(dates)])


def spans(dates: Sequence[date]) -> list[tuple[date, date]]:
    """Ascending days as unbroken ranges, both ends included."""
    if not dates:
        return []
    breaks = [(a, b) for a, b in pairwise(dates) if b - a > timedelta(days=1)]
    firsts = [dates[0], *(b for _, b in breaks)]
    lasts = [*(a for a, _ in breaks), dates[-1]]
    return list(zip(firsts, lasts, strict=True))


def _names(job: Job, names: Iterable[str]) -> str:
    return ", ".join(map(job.layout.capabilities.ident, names))


def _summed(job: Job) -> str:
    """The columns that ``_sum`` takes."""
    ident = job.layout.capabilities.ident
    return ", ".join(["count(*)", *(f"sum({ident(metric)})" for metric in RESTATED_METRICS)])


def _sum(row: Sequence[Any]) -> Sum:
    count, *metrics = row
    return Sum(int(count), tuple(map(_decimal, metrics)))


def _decimal(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))
