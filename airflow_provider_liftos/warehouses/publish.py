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
from datetime import date

from airflow_provider_liftos.model.report import DEFAULT_WINDOW
from airflow_provider_liftos.model.unified import LOADS, PERFORMANCE
from airflow_provider_liftos.warehouses.contract import Published, Restatement
from airflow_provider_liftos.warehouses.history import publish_entities
from airflow_provider_liftos.warehouses.inventory import (
    RESTATED_METRICS,
    Inventory,
    Sum,
    Sums,
    in_dates,
    inventories,
    of_days,
    under_audit,
)
from airflow_provider_liftos.warehouses.job import Job, check_publishable, either, instant
from airflow_provider_liftos.warehouses.replacing import replace_rows
from airflow_provider_liftos.warehouses.rowset import Given, rows_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What becomes of a slice: days that its rows replace, and what these add up to.

    ``whole`` says that these are all of its days. ``lead`` is the attribution window whose sums
    stand for a day.
    """

    job: Job
    dates: tuple[date, ...]
    whole: bool
    sums: Sums
    lead: str
    published: Published


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
    expected = [check_publishable(job) for job in jobs]
    plans = list(map(_plan, jobs, expected, inventories(jobs)))
    if moving := [plan for plan in plans if plan.dates]:
        _replace(moving)
        _note_loads(moving)
    return [plan.published for plan in plans]


def _plan(job: Job, expected: int, found: Inventory) -> _Plan:
    staged = sum(one.rows for one in found.staged.values())
    if staged == expected:
        dates = tuple(day for day in job.declared if day not in found.newer)
    elif staged or not set(job.declared) <= found.settled | found.newer:
        raise job.error(
            f"the audit schema holds {staged} of its {expected} rows.",
            hint="Load the manifest again, then publish.",
        )
    else:
        dates = ()
    old, new = _of(found.published, dates), _of(found.staged, dates)
    lead = _leading_window(job, new) or _leading_window(job, old) or DEFAULT_WINDOW
    restated = tuple(_restatements(old, new, lead, found.known & set(dates)))
    if job.note and restated:
        job.note(restated)
    before = sum(one.rows for one in found.published.values())
    more = sum(one.rows for one in new.values()) - sum(one.rows for one in old.values())
    return _Plan(
        job=job,
        dates=dates,
        whole=dates == job.declared,
        sums=new,
        lead=lead,
        published=Published(
            rows_before=before,
            rows_after=before + more,
            dates_published=dates,
            dates_skipped=tuple(sorted(found.newer)),
            restated=restated,
        ),
    )


def _of(sums: Sums, dates: Collection[date]) -> Sums:
    return {(day, window): one for (day, window), one in sums.items() if day in dates}


def _replace(plans: Sequence[_Plan]) -> None:
    job = plans[0].job
    whole = [plan.job for plan in plans if plan.whole]
    parts = [plan.job.mine & in_dates(job, plan.dates) for plan in plans if not plan.whole]
    staged = either([under_audit(whole), *parts] if whole else parts)
    replace_rows(
        job.session,
        job.layout,
        PERFORMANCE.name,
        of_days((plan.job, plan.dates) for plan in plans),
        {name: job.layout.capabilities.ident(name) for name in PERFORMANCE.names()},
        f"FROM {job.layout.audit(PERFORMANCE.name)} WHERE {staged.sql}",
        staged.params,
    )


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
        before, after = old.get((day, lead), Sum()), new.get((day, lead), Sum())
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
        of_days((plan.job, plan.dates) for plan in plans),
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
        leading = plan.sums.get((day, plan.lead), Sum())
        spend, conversions = leading.of("spend"), leading.of("conversions")
        # As texts, exactly: a list has one type for all of its numbers.
        yield same | {
            "date": day,
            "rows": rows[day],
            "spend": None if spend is None else str(spend),
            "conversions": None if conversions is None else str(conversions),
        }
