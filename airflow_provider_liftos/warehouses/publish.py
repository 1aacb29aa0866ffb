"""Publishing slices of reports: their declared days are replaced, in one transaction.

What is replaced is exactly (org, platform, account, report, level, declared dates). A day that is
empty in the slice is emptied; a day that newer data already holds is left as it is.

Where every statement commits by itself, one of them replaces a slice's rows; ``loads`` follows, and
the rows under audit go last. Whoever dies in between leaves old rows or new ones, and ends it by
doing it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeAlias

from airflow_provider_liftos.model.report import DEFAULT_WINDOW
from airflow_provider_liftos.model.unified import LOADS, PERFORMANCE
from airflow_provider_liftos.warehouses.contract import Published, Restatement
from airflow_provider_liftos.warehouses.history import publish_entities
from airflow_provider_liftos.warehouses.job import (
    Job,
    Predicate,
    check_publishable,
    either,
    instant,
)
from airflow_provider_liftos.warehouses.questions import Asking, answered
from airflow_provider_liftos.warehouses.replacing import replace_rows
from airflow_provider_liftos.warehouses.rowset import Given, rows_of

RESTATED_METRICS = ("spend", "conversions", "conversions_value", "impressions", "clicks")

Sums: TypeAlias = dict[tuple[date, str], "_Sum"]
"""By day and attribution window."""

_Groups: TypeAlias = "list[tuple[tuple[object, ...], tuple[date, str], _Sum]]"
"""Of a slice under audit: ``_key`` of some rows, their day and attribution window, their sums."""


@dataclass(frozen=True, slots=True)
class _Sum:
    """Rows, and what RESTATED_METRICS add up to; None where there are no such values."""

    rows: int = 0
    metrics: tuple[Decimal | None, ...] = (None,) * len(RESTATED_METRICS)

    def of(self, metric: str) -> Decimal | None:
        """What one of them adds up to."""
        return self.metrics[RESTATED_METRICS.index(metric)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What becomes of a slice: days that its rows replace, and what these add up to.

    ``whole`` says that these are all of its days. ``lead`` is the attribution window whose sums
    stand for a day.
    """

    job: Job
    key: Predicate
    dates: tuple[date, ...]
    whole: bool
    sums: Sums
    lead: str
    published: Published

    @property
    def days(self) -> Predicate:
        """Days that are replaced."""
        return _in_dates(self.job, self.dates)


def publish(jobs: Sequence[Job]) -> list[Published]:
    """Publish slices of one load, no two of which have a day of a report in common.

    Call it inside one transaction. Their audit rows are left to the caller. Raises what
    ``publish_reports`` and ``publish_entities`` raise.
    """
    done = iter(publish_reports([job for job in jobs if job.result.slice.report]))
    return [next(done) if job.result.slice.report else publish_entities(job) for job in jobs]


def publish_reports(jobs: Sequence[Job]) -> list[Published]:
    """Publish slices of reports; notes hear of restated days before a row is changed.

    Publishing a slice again, when its audit rows are gone, changes nothing.

    Raises:
        WarehouseError: a slice failed, has rows it did not declare, or is not loaded.
    """
    if not jobs:
        return []
    staged = _staged(jobs)
    asking = [_plan(job, staged[job.slice_key]) for job in jobs]
    plans = answered(jobs[0].session, jobs[0].layout, asking)
    if moving := [plan for plan in plans if plan.dates]:
        _replace(moving)
        _note_loads(moving)
    return [plan.published for plan in plans]


def _plan(job: Job, groups: _Groups) -> Asking[_Plan]:
    expected = check_publishable(job)
    key = job.where(**_key(job))
    declared = tuple(job.result.slice.window.dates())
    sums = _declared(job, groups, declared)
    staged = sum(one.rows for one in sums.values())
    before = yield from _published_before(job, key, declared)
    newer = before.newer
    if staged == expected:
        dates = tuple(day for day in declared if day not in newer)
        kept = tuple(sorted(newer))
    elif staged or not set(declared) <= before.settled | newer:
        raise job.error(
            f"the audit schema holds {staged} of its {expected} rows.",
            hint="Load the manifest again, then publish.",
        )
    else:
        dates, kept = (), declared
    rows = (yield from _count(job, key & _in_dates(job, kept))) if kept else 0
    old = (yield from _published_sums(job, key & _in_dates(job, dates))) if dates else {}
    new = {(day, window): one for (day, window), one in sums.items() if day in dates}
    lead = _leading_window(job, new) or _leading_window(job, old) or DEFAULT_WINDOW
    restated = tuple(_restatements(old, new, lead, before.known & set(dates)))
    if job.note and restated:
        job.note(restated)
    return _Plan(
        job=job,
        key=key,
        dates=dates,
        whole=dates == declared,
        sums=new,
        lead=lead,
        published=Published(
            rows_before=rows + sum(one.rows for one in old.values()),
            rows_after=rows + sum(one.rows for one in new.values()),
            dates_published=dates,
            dates_skipped=tuple(sorted(newer)),
            restated=restated,
        ),
    )


def _replace(plans: Sequence[_Plan]) -> None:
    job = plans[0].job
    whole = [plan.job for plan in plans if plan.whole]
    parts = [plan.job.mine & plan.days for plan in plans if not plan.whole]
    staged = either([_under_audit(whole), *parts] if whole else parts)
    replace_rows(
        job.session,
        job.layout,
        PERFORMANCE.name,
        [plan.key & plan.days for plan in plans],
        {name: job.layout.capabilities.ident(name) for name in PERFORMANCE.names()},
        f"FROM {job.layout.audit(PERFORMANCE.name)} WHERE {staged.sql}",
        staged.params,
    )


def _key(job: Job) -> dict[str, object]:
    """What all of a slice's rows have in common."""
    part = job.result.slice
    if part.report is None:
        raise job.error("it is no slice of a report")
    return {
        "org_id": job.org_id,
        "platform": part.platform,
        "account_id": part.account_id,
        "report": part.report.name,
        "level": str(part.report.level),
    }


def _staged(jobs: Sequence[Job]) -> dict[str, _Groups]:
    """What is under audit of each slice, by its fingerprint."""
    # One statement for all: it reads the whole table where no index helps.
    job, ident = jobs[0], jobs[0].layout.capabilities.ident
    days, key = ["date", "attribution_window"], list(_key(job))
    group = ", ".join(map(ident, ["slice_key", *days, *key]))
    rows = job.run(
        f"SELECT {group}, {_summed(job)} FROM {job.layout.audit(PERFORMANCE.name)}",
        _under_audit(jobs),
        tail=f" GROUP BY {group}",
    )
    found: dict[str, _Groups] = {job.slice_key: [] for job in jobs}
    for fingerprint, day, window, *rest in rows:
        of, (count, *metrics) = tuple(rest[: len(key)]), rest[len(key) :]
        found[fingerprint].append((of, (day, window), _sum(count, metrics)))
    return found


def _under_audit(jobs: Sequence[Job]) -> Predicate:
    """All rows of several slices; as one list, which an engine looks up instead of trying each."""
    mine = jobs[0].where(load_id=jobs[0].load_id)
    return mine & jobs[0].among("slice_key", [job.slice_key for job in jobs])


def _declared(job: Job, groups: _Groups, days: Collection[date]) -> Sums:
    """What is under audit of a slice, all of which must be of its key and days."""
    key = tuple(_key(job).values())
    inside = {of: one for found, of, one in groups if found == key and of[0] in days}
    rows = sum(one.rows for _, _, one in groups)
    if strange := rows - sum(one.rows for one in inside.values()):
        raise job.error(
            f"{strange} of its {rows} rows are outside of the days, the account or the report it"
            " declares.",
            hint="Look at them in the audit schema; the platform's mapping is likely wrong.",
        )
    return inside


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """Days that were published: at all, as the slice has them by this load, newer by others."""

    known: set[date]
    settled: set[date]
    newer: set[date]


def _published_before(job: Job, key: Predicate, declared: Sequence[date]) -> Asking[_Before]:
    ident = job.layout.capabilities.ident
    declares = key & _between(job, declared[0], declared[-1])
    rows = yield job.question(
        f"{ident('date')}, {ident('load_id')} = ? AND {ident('as_of')} >= ?,"
        f" {ident('as_of')} > ? AND {ident('load_id')} <> ?",
        job.layout.published(LOADS.name),
        declares,
        (job.load_id, job.as_of, job.as_of, job.load_id),
    )
    newer = {day for day, _, newer in rows if newer}
    if job.layout.capabilities.replace:
        newer |= yield from _newer_rows(job, declares)
    return _Before(
        known={day for day, _, _ in rows},
        settled={day for day, mine, _ in rows if mine},
        newer=newer,
    )


def _newer_rows(job: Job, where: Predicate) -> Asking[set[date]]:
    """Days of which another load brought newer rows, and then died before it noted that."""
    ident, table = job.layout.capabilities.ident, job.layout.published(PERFORMANCE.name)
    others = Predicate(
        sql=f"{ident('as_of')} > ? AND {ident('load_id')} <> ?", params=(job.as_of, job.load_id)
    )
    day = ident("date")
    rows = yield job.question(day, table, where & others, tail=f" GROUP BY {day}")
    return {day for (day,) in rows}


def _count(job: Job, where: Predicate) -> Asking[int]:
    [(rows,)] = yield job.question("count(*)", job.layout.published(PERFORMANCE.name), where)
    return int(rows)


def _published_sums(job: Job, where: Predicate) -> Asking[Sums]:
    ident = job.layout.capabilities.ident
    group = f"{ident('date')}, {ident('attribution_window')}"
    rows = yield job.question(
        f"{group}, {_summed(job)}",
        job.layout.published(PERFORMANCE.name),
        where,
        tail=f" GROUP BY {group}",
    )
    return {(day, window): _sum(count, metrics) for day, window, count, *metrics in rows}


def _summed(job: Job) -> str:
    """The columns that ``_sum`` takes."""
    ident = job.layout.capabilities.ident
    return ", ".join(["count(*)", *(f"sum({ident(metric)})" for metric in RESTATED_METRICS)])


def _sum(rows: Any, metrics: Iterable[object]) -> _Sum:
    return _Sum(int(rows), tuple(map(_decimal, metrics)))


def _decimal(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _leading_window(job: Job, sums: Sums) -> str | None:
    """The one attribution window whose sums stand for a day: windows repeat each other's spend."""
    present = {window for _, window in sums if window is not None}
    report = job.result.slice.report
    wanted = (DEFAULT_WINDOW, *(report.attribution_windows if report else ()))
    return next((w for w in wanted if w in present), min(present, default=None))


def _restatements(
    old: Sums, new: Sums, lead: str, known: Collection[date]
) -> Iterable[Restatement]:
    """What moved; a day that is published in this window for the first time did not."""
    elsewhere = {day for day, window in old if window != lead}
    for day in sorted({day for day in known if (day, lead) in old or day not in elsewhere}):
        before, after = old.get((day, lead), _Sum()), new.get((day, lead), _Sum())
        for metric in RESTATED_METRICS:
            was, now = before.of(metric), after.of(metric)
            if was != now:
                yield Restatement(date=day, metric=metric, old=was, new=now)


def _note_loads(plans: Sequence[_Plan]) -> None:
    """One ``loads`` row for every published day, also for those without any row."""
    job = plans[0].job
    capabilities, ident = job.layout.capabilities, job.layout.capabilities.ident
    noted = [row for plan in plans for row in _noted(plan)]
    select, params = rows_of(
        capabilities,
        [
            Given(
                name=column.name,
                type=capabilities.types[column.kind],
                values=[row.get(column.name) for row in noted],
            )
            for column in LOADS.columns
        ],
    )
    replace_rows(
        job.session,
        job.layout,
        LOADS.name,
        [plan.key & plan.days for plan in plans],
        {name: f"g.{ident(name)}" for name in LOADS.names()},
        f"FROM ({select}) AS g",
        params,
    )


def _noted(plan: _Plan) -> Iterator[dict[str, object]]:
    job, part = plan.job, plan.job.result.slice
    same = {
        "org_id": job.org_id,
        "platform": part.platform,
        "report": part.report and part.report.name,
        "level": part.report and str(part.report.level),
        "account_id": part.account_id,
        "as_of": job.as_of,
        "load_id": job.load_id,
        "published_at": instant(job.now),
    }
    rows: dict[date, int] = defaultdict(int)
    for (day, _), one in plan.sums.items():
        rows[day] += one.rows
    for day in plan.dates:
        leading = plan.sums.get((day, plan.lead), _Sum())
        spend, conversions = leading.of("spend"), leading.of("conversions")
        # As texts, exactly: a list has one type for all of its numbers.
        yield same | {
            "date": day,
            "rows": rows[day],
            "spend": None if spend is None else str(spend),
            "conversions": None if conversions is None else str(conversions),
        }


def _between(job: Job, first: date, last: date) -> Predicate:
    day = job.layout.capabilities.ident("date")
    return Predicate(sql=f"{day} BETWEEN ? AND ?", params=(first, last))


def _in_dates(job: Job, dates: Sequence[date]) -> Predicate:
    """Membership in a set of days, as few ranges as possible."""
    return either([_between(job, first, last) for first, last in spans(dates)])


def spans(dates: Sequence[date]) -> list[tuple[date, date]]:
    """Ascending days as unbroken ranges, both ends included."""
    if not dates:
        return []
    breaks = [(a, b) for a, b in pairwise(dates) if b - a > timedelta(days=1)]
    firsts = [dates[0], *(b for _, b in breaks)]
    lasts = [*(a for a, _ in breaks), dates[-1]]
    return list(zip(firsts, lasts, strict=True))
