"""Insights: at once, or as a report run that is submitted, polled and read."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Account, Entity
from airflow_provider_liftos.sandbox.dataset.division import cells_per_fact
from airflow_provider_liftos.sandbox.faults import Fault
from airflow_provider_liftos.sandbox.world import World

from . import known_fields
from .call import Call, Reply, select
from .edges import view_at
from .errors import (
    GraphError,
    invalid,
    invalid_insights_field,
    nonexisting_field,
    not_ready,
    too_much_for_one_call,
)
from .paging import page, place_of
from .query import OPT_IN, Query, parse_fields, parse_query
from .reports import DEFAULT_FIELDS, JOB_FAULTS, Reports, Run, hits
from .results import Blocks, Result
from .row_fields import FIELDS
from .rows import summary
from .selection import check_conditions, chosen_ads
from .wrong_rows import changed, concerns

_OPT_IN_SINCE = datetime(2026, 8, 3, tzinfo=UTC)
_OPT_IN_MOST = 10
_WORK_PER_ROW = 20  # so many ad-days may go into a row of a synchronous answer


class Insights:
    """Serves every insights call of the platform."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dataset = world.dataset("meta")
        self._blocks = Blocks()
        self._lock = threading.Lock()
        self._opted: defaultdict[str, deque[datetime]] = defaultdict(deque)
        self.reports = Reports(world)

    def at_once(self, call: Call, owner: Account | Entity) -> Reply:
        """Answer ``GET /{node}/insights``; raises GraphError if it is too much for one call."""
        query = self._query(call, owner)
        self._refuse_heavy(call, query)
        place = place_of(call)
        # Later pages show what the first one saw, however the clock moved in between.
        at = min(call.now, datetime.fromtimestamp(place.since, UTC)) if place.offset else call.now
        if OPT_IN & set(query.breakdowns) and call.now >= _OPT_IN_SINCE:
            return Reply(payload={"data": []})
        return self._page(call, Result(query, self._dataset, at, self._blocks, sync=True))

    def submit(self, call: Call, owner: Account | Entity) -> Reply:
        """Answer ``POST /{node}/insights`` with the id of a report run."""
        query = self._query(call, owner)
        self._count_opted(query, call.now)
        result = Result(query, self._dataset, call.now, self._blocks, sync=False)
        run = self.reports.submit(query, result, call.now)
        fault = self._strike(call, query, (*JOB_FAULTS, "too_much_data"))
        if fault:
            run.doom(fault)
            if fault.kind == "too_much_data":
                run.options = {"code": 2, "subcode": 1504038, **fault.options}
        return Reply(payload={"report_run_id": run.id}, notes={"report_run_id": run.id})

    def status(self, call: Call, run: Run) -> Reply:
        """Answer ``GET /{report run}``."""
        names = [one.name for one in select(call.text("fields"))] or list(DEFAULT_FIELDS)
        for name in names:
            if name not in known_fields.REPORT_RUN:
                raise nonexisting_field(name, "AdReportRun")
        running = not run.outcome and run.progress(call.now)[0] != "Job Completed"
        fault = self._strike(call, run.query, JOB_FAULTS) if running else None
        if fault:
            run.doom(fault)
        shown = run.status(call.now)
        kept = {name: shown[name] for name in ("id", *names) if name in shown}
        return Reply(payload=kept, rows=1, notes={"report_run_id": run.id})

    def read(self, call: Call, run: Run) -> Reply:
        """Answer ``GET /{report run}/insights``; raises GraphError while it cannot be read."""
        if run.progress(call.now)[0] != "Job Completed":
            raise not_ready()
        fault = self._world.faults.take(
            ("result_not_ready",),
            platform="meta",
            line=call.request.line,
            account=run.query.account_id,
        )
        if fault:
            raise not_ready().override(fault.options)
        result = run.result
        fields = parse_fields(call)
        if fields:
            query = run.query.narrowed(fields)
            result = Result(query, self._dataset, run.submitted_at, self._blocks, sync=False)
        reply = self._page(call, result)
        reply.notes = {"report_run_id": run.id}
        return reply

    def _query(self, call: Call, owner: Account | Entity) -> Query:
        account = owner.account if isinstance(owner, Entity) else owner
        today = self._dataset.moment(account, call.now).today
        query = parse_query(call, owner, today=today)
        check_conditions(query.conditions)
        asked = {*query.fields, *query.breakdowns}
        gone = self._world.faults.take(
            ("field_gone",),
            platform="meta",
            line=call.request.line,
            account=account.id,
            accept=lambda fault: str(fault.options.get("field")) in asked,
        )
        if gone:
            raise invalid_insights_field(str(gone.options["field"])).override(
                {name: value for name, value in gone.options.items() if name != "field"}
            )
        return query

    def _page(self, call: Call, result: Result) -> Reply:
        query = result.scene.query
        asked = _summary_fields(call, query)
        total = summary(result.scene, query.periods, asked) if asked else None
        more = {"summary": total} if total else None
        wrong = self._world.faults.take(
            ("rows_changed",),
            platform="meta",
            line=call.request.line,
            account=query.account_id,
            accept=lambda fault: concerns(fault.options, query),
        )
        change = partial(changed, wrong.options) if wrong else list
        return page(
            self._world, call, result.rows, account=query.account_id, more=more, change=change
        )

    def _refuse_heavy(self, call: Call, query: Query) -> None:
        """Refuse what a synchronous call cannot carry: by size, or by order of a fault."""
        ads, named = self._extent(call, query)
        cells = cells_per_fact(query.breakdowns)
        rows, work = named * cells * len(query.periods), len(ads) * cells * query.days
        if rows > self._world.sync_rows or work > _WORK_PER_ROW * self._world.sync_rows:
            raise too_much_for_one_call()
        conditional = {"max_days", "max_ids", "ad_ids", "field", "date"}
        heavy = self._world.faults.take(
            ("too_much_data",),
            platform="meta",
            line=call.request.line,
            account=query.account_id,
            accept=lambda fault: (
                "max_limit" not in fault.options
                and (not conditional & set(fault.options) or hits(fault, query, ads, named))
            ),
        )
        if heavy:
            raise too_much_for_one_call().override(
                {name: heavy.options[name] for name in ("code", "status") if name in heavy.options}
            )

    def _extent(self, call: Call, query: Query) -> tuple[frozenset[str], int]:
        """Return the ids of all ads a query is about, and how many entities of its level."""
        account = self._dataset.account(query.account_id)
        chosen = chosen_ads(query, self._dataset, view_at(self._dataset, call.now))
        ads = chosen if chosen is not None or account is None else self._dataset.book(account).ads
        ads = ads or ()
        owners: dict[str, Callable[[Entity], Account | Entity | None]] = {
            "account": lambda ad: ad.account,
            "campaign": lambda ad: ad.campaign,
            "ad_group": lambda ad: ad.group,
        }
        owner = owners.get(query.level, lambda ad: ad)
        named = {one.id for one in map(owner, ads) if one is not None}
        return frozenset(ad.id for ad in ads), len(named)

    def _strike(self, call: Call, query: Query, kinds: tuple[str, ...]) -> Fault | None:
        """Return the fault that this report meets, counting it only if its conditions hold."""
        extent: list[tuple[frozenset[str], int]] = []

        def meant(fault: Fault) -> bool:
            if fault.kind == "too_much_data" and "max_limit" in fault.options:
                return False
            if not extent:
                extent.append(self._extent(call, query))
            return hits(fault, query, *extent[0])

        return self._world.faults.take(
            kinds,
            platform="meta",
            line=call.request.line,
            account=query.account_id,
            accept=meant,
        )

    def _count_opted(self, query: Query, now: datetime) -> None:
        """Keep the quota of breakdowns that an account must opt in to: few reports a day."""
        if not OPT_IN & set(query.breakdowns) or now < _OPT_IN_SINCE:
            return
        with self._lock:
            recent = self._opted[query.account_id]
            while recent and recent[0] <= now - timedelta(days=1):
                recent.popleft()
            if len(recent) >= _OPT_IN_MOST:
                raise GraphError(
                    "(#4) Application request limit reached", code=4, subcode=1504022, status=403
                )
            recent.append(now)


def _summary_fields(call: Call, query: Query) -> tuple[str, ...]:
    """Return the fields of the summary, if one is asked for."""
    if call.flag("default_summary"):
        return query.fields
    asked: Any = call.text("summary")
    if not asked or asked.lower() in ("true", "false"):
        return ()
    names = tuple(one.name for one in select(asked))
    for name in names:
        if name not in FIELDS:
            raise invalid(f"{name} is not valid for summary param")
    return names
