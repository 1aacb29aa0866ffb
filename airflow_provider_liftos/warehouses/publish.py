"""Publishing slices of reports: their declared days are replaced, in one transaction.

What is replaced is exactly (org, platform, account, report, level, declared dates). A day that is
empty in the slice is emptied; a day that newer data already holds is left as it is.

Where every statement commits by itself, one of them replaces a slice's rows; ``loads`` follows, and
the rows under audit go last. Whoever dies in between leaves old rows or new ones, and ends it by
doing it again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TypeAlias

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
from airflow_provider_liftos.warehouses.replacing import replace_rows

RESTATED_METRICS = ("spend", "conversions", "conversions_value", "impressions", "clicks")

Sums: TypeAlias = dict[tuple[date, str], tuple[Decimal | None, ...]]
"""(day, attribution window) -> sums of RESTATED_METRICS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What becomes of a slice: days that its rows replace, and what that means.

    ``whole`` says that these are all of its days. ``lead`` is the attribution window whose sums
    stand for a day.
    """

    job: Job
    key: Predicate
    dates: tuple[date, ...]
    whole: bool
    lead: str
    published: Published

    @property
    def days(self) -> Predicate:
        """Days that are replaced."""
        return _in_dates(self.job, self.dates)

    @property
    def staged(self) -> Predicate:
        """Rows under audit that come in their place."""
        return self.job.mine if self.whole else self.job.mine & self.days


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
    plans = [_plan(job) for job in jobs]
    if moving := [plan for plan in plans if plan.dates]:
        _replace(moving)
        for plan in moving:
            _note_loads(plan)
    return [plan.published for plan in plans]


def _plan(job: Job) -> _Plan:
    expected = check_publishable(job)
    key = _key(job)
    declared = tuple(job.result.slice.window.dates())
    staged = _count_staged(job, key & _between(job, declared[0], declared[-1]))
    settled, newer = _published_before(job, key, declared)
    if staged == expected:
        dates = tuple(day for day in declared if day not in newer)
        kept = tuple(sorted(newer))
    elif staged or not set(declared) <= settled | newer:
        raise job.error(
            f"the audit schema holds {staged} of its {expected} rows.",
            hint="Load the manifest again, then publish.",
        )
    else:
        dates, kept = (), declared
    rows = _count(job, key & _in_dates(job, kept)) if kept else 0
    before, after, lead, restated = (
        _change(job, key, _in_dates(job, dates)) if dates else (0, 0, DEFAULT_WINDOW, ())
    )
    return _Plan(
        job=job,
        key=key,
        dates=dates,
        whole=dates == declared,
        lead=lead,
        published=Published(
            rows_before=before + rows,
            rows_after=after + rows,
            dates_published=dates,
            dates_skipped=tuple(sorted(newer)),
            restated=restated,
        ),
    )


def _change(
    job: Job, key: Predicate, days: Predicate
) -> tuple[int, int, str, tuple[Restatement, ...]]:
    """Rows before and after, the leading window, and what moved, which the job's note hears."""
    before, old = _sums(job, job.layout.published(PERFORMANCE.name), key & days)
    after, new = _sums(job, job.layout.audit(PERFORMANCE.name), job.mine & days)
    lead = _leading_window(job, new) or _leading_window(job, old) or DEFAULT_WINDOW
    restated = tuple(_restatements(old, new, lead, _known(job, key & days)))
    if job.note and restated:
        job.note(restated)
    return before, after, lead, restated


def _replace(plans: Sequence[_Plan]) -> None:
    job = plans[0].job
    staged = either([plan.staged for plan in plans])
    replace_rows(
        job.session,
        job.layout,
        PERFORMANCE.name,
        [plan.key & plan.days for plan in plans],
        {name: job.layout.capabilities.ident(name) for name in PERFORMANCE.names()},
        f"FROM {job.layout.audit(PERFORMANCE.name)} WHERE {staged.sql}",
        staged.params,
    )


def _key(job: Job) -> Predicate:
    part = job.result.slice
    if part.report is None:
        raise job.error("it is no slice of a report")
    return job.where(
        org_id=job.org_id,
        platform=part.platform,
        account_id=part.account_id,
        report=part.report.name,
        level=str(part.report.level),
    )


def _count_staged(job: Job, declared: Predicate) -> int:
    """Rows under audit, all of which must be of the declared key and days."""
    [(rows, inside)] = job.run(
        f"SELECT count(*), sum(CASE WHEN {declared.sql} THEN 1 ELSE 0 END)"
        f" FROM {job.layout.audit(PERFORMANCE.name)}",
        job.mine,
        declared.params,
    )
    if rows and inside != rows:
        raise job.error(
            f"{rows - int(inside)} of its {rows} rows are outside of the days, the account or the"
            " report it declares.",
            hint="Look at them in the audit schema; the platform's mapping is likely wrong.",
        )
    return int(rows)


def _published_before(
    job: Job, key: Predicate, declared: Sequence[date]
) -> tuple[set[date], set[date]]:
    """Days this very load published as the slice has them, and days with newer ones of others."""
    ident = job.layout.capabilities.ident
    rows = job.run(
        f"SELECT {ident('date')}, {ident('load_id')} = ? AND {ident('as_of')} >= ?,"
        f" {ident('as_of')} > ? AND {ident('load_id')} <> ?"
        f" FROM {job.layout.published(LOADS.name)}",
        key & _between(job, declared[0], declared[-1]),
        (job.load_id, job.as_of, job.as_of, job.load_id),
    )
    newer = {day for day, _, newer in rows if newer}
    if job.layout.capabilities.replace:
        newer |= _newer_rows(job, key & _between(job, declared[0], declared[-1]))
    return {day for day, mine, _ in rows if mine}, newer


def _newer_rows(job: Job, where: Predicate) -> set[date]:
    """Days of which another load brought newer rows, and then died before it noted that."""
    ident, table = job.layout.capabilities.ident, job.layout.published(PERFORMANCE.name)
    others = Predicate(
        sql=f"{ident('as_of')} > ? AND {ident('load_id')} <> ?", params=(job.as_of, job.load_id)
    )
    return {
        day for (day,) in job.run(f"SELECT DISTINCT {ident('date')} FROM {table}", where & others)
    }


def _count(job: Job, where: Predicate) -> int:
    table = job.layout.published(PERFORMANCE.name)
    return int(job.run(f"SELECT count(*) FROM {table}", where)[0][0])


def _sums(job: Job, table: str, where: Predicate) -> tuple[int, Sums]:
    ident = job.layout.capabilities.ident
    group = f"{ident('date')}, {ident('attribution_window')}"
    sums = ", ".join(f"sum({ident(metric)})" for metric in RESTATED_METRICS)
    rows = job.run(
        f"SELECT {group}, count(*), {sums} FROM {table}", where, tail=f" GROUP BY {group}"
    )
    totals = {(row[0], row[1]): tuple(map(_decimal, row[3:])) for row in rows}
    return sum(int(row[2]) for row in rows), totals


def _decimal(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _leading_window(job: Job, sums: Sums) -> str | None:
    """The one attribution window whose sums stand for a day: windows repeat each other's spend."""
    present = {window for _, window in sums if window is not None}
    report = job.result.slice.report
    wanted = (DEFAULT_WINDOW, *(report.attribution_windows if report else ()))
    return next((w for w in wanted if w in present), min(present, default=None))


def _known(job: Job, where: Predicate) -> set[date]:
    """Days that were published before, also those of which there was no row."""
    day, table = job.layout.capabilities.ident("date"), job.layout.published(LOADS.name)
    return {found for (found,) in job.run(f"SELECT {day} FROM {table}", where)}


def _restatements(
    old: Sums, new: Sums, lead: str, known: Collection[date]
) -> Iterable[Restatement]:
    """What moved; a day that is published in this window for the first time did not."""
    nothing = (None,) * len(RESTATED_METRICS)
    elsewhere = {day for day, window in old if window != lead}
    for day in sorted({day for day in known if (day, lead) in old or day not in elsewhere}):
        before, after = old.get((day, lead), nothing), new.get((day, lead), nothing)
        for metric, was, now in zip(RESTATED_METRICS, before, after, strict=True):
            if was != now:
                yield Restatement(date=day, metric=metric, old=was, new=now)


def _note_loads(plan: _Plan) -> None:
    """One ``loads`` row for every published day, also for those without any row."""
    job, rows, lead = plan.job, plan.key & plan.days, plan.lead
    capabilities, ident = job.layout.capabilities, job.layout.capabilities.ident
    leading = f"CASE WHEN {ident('attribution_window')} = ? THEN"
    kinds = {column.name: capabilities.types[column.kind] for column in LOADS.columns}
    day, ranges, same = ident("date"), spans(plan.dates), _same_on_all_days(job)
    shown = {"date": f"d.{day}", "rows": f"coalesce(p.{ident('rows')}, 0)"} | {
        name: f"CAST(p.{ident(name)} AS {kinds[name]})" for name in ("spend", "conversions")
    }
    # What is the same on all days comes as one row, so that columns may stand in any order.
    given = ", ".join(f"CAST(? AS {kinds[name]}) AS {ident(name)}" for name in same)
    replace_rows(
        job.session,
        job.layout,
        LOADS.name,
        [rows],
        {name: shown.get(name, f"g.{ident(name)}") for name in LOADS.names()},
        f"FROM ({' UNION ALL '.join([capabilities.days] * len(ranges))}) AS d"
        f" CROSS JOIN (SELECT {given}) AS g LEFT JOIN (SELECT {day}, count(*) AS {ident('rows')},"
        f" sum({leading} {ident('spend')} END) AS {ident('spend')},"
        f" sum({leading} {ident('conversions')} END) AS {ident('conversions')}"
        f" FROM {job.layout.published(PERFORMANCE.name)} WHERE {rows.sql}"
        f" GROUP BY {day}) AS p ON p.{day} = d.{day}",
        (*(day for span in ranges for day in span), *same.values(), lead, lead,
         *rows.params),
    )  # fmt: skip


def _same_on_all_days(job: Job) -> dict[str, object]:
    part = job.result.slice
    return {
        "org_id": job.org_id,
        "platform": part.platform,
        "report": part.report and part.report.name,
        "level": part.report and str(part.report.level),
        "account_id": part.account_id,
        "as_of": job.as_of,
        "load_id": job.load_id,
        "published_at": instant(job.now),
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
