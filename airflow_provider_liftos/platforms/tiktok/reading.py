"""How TikTok's reports are read: at once or as tasks, and the life of a task.

What is read at once and what is prepared, by TikTok's own rules and by the number of calls:

- by the hour, by country, and all but some campaigns: at once, because a task is not exact there
  (no fresher than hours, names in place of country codes) or knows no such filter;
- whole accounts, and campaigns that are not broken down by audience or only for a day: at once,
  some pages of rows that are minutes old;
- everything else as tasks: three calls and a wait whatever the size, and only a task counts all
  ads of an account with more than 20,000.

An app that TikTok lets prepare nothing reads everything at once; ads by groups of campaigns then,
where an answer's header says that not all were counted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import (
    AsyncReport,
    Credentials,
    Page,
    Paged,
    Pending,
    ReportState,
    ReportStatus,
    Streamed,
)
from airflow_provider_liftos.model.report import Level, Report, Slice
from airflow_provider_liftos.model.wire import Request, VendorError
from airflow_provider_liftos.platforms.tiktok import catalog, wire
from airflow_provider_liftos.platforms.tiktok.mapping import ATTRIBUTES, IDS, audience, time_of
from airflow_provider_liftos.platforms.tiktok.table import Table

DATA_LEVELS = {
    Level.ACCOUNT: "AUCTION_ADVERTISER",
    Level.CAMPAIGN: "AUCTION_CAMPAIGN",
    Level.AD_GROUP: "AUCTION_ADGROUP",
    Level.AD: "AUCTION_AD",
}
_STATUS = {
    Level.CAMPAIGN: "campaign_status",
    Level.AD_GROUP: "adgroup_status",
    Level.AD: "ad_status",
}
LONGEST, LONGEST_HOURLY = 30, 1
"""Days of one report that is read at once."""

CAMPAIGNS_PER_FILTER, MOST_PER_FILTER = 50, 100
"""Our own default, and what TikTok takes of one list of ids."""


def longest(report: Report) -> int:
    """Days of one report."""
    return LONGEST_HOURLY if catalog.HOUR in report.breakdowns else LONGEST


def campaigns_per_filter(credentials: Credentials) -> int:
    """Campaigns that one call names; ConfigurationError for a number TikTok does not take."""
    asked = credentials.options.get("campaigns_per_filter") or CAMPAIGNS_PER_FILTER
    number = int(asked) if str(asked).isdigit() else 0
    if not 1 <= number <= MOST_PER_FILTER:
        raise ConfigurationError(
            f"campaigns_per_filter of connection {credentials.conn_id!r} is {asked!r};"
            f" TikTok takes 1 to {MOST_PER_FILTER}"
        )
    return number


def at_once(cut: Slice, credentials: Credentials) -> Paged | None:
    """How to read a slice at once, where that is the better way; see above."""
    if _must_be_at_once(cut, credentials) or _is_small(cut):
        question = _question(cut)
        filters = [*_all_statuses(cut), *question.pop("filtering")]
        if filters:
            question["filtering"] = filters
        return wire.listing("report/integrated/get/", cut.account_id, question, read=page)
    return None


def _must_be_at_once(cut: Slice, credentials: Credentials) -> bool:
    breakdowns = _report(cut).breakdowns
    rest = bool(cut.ids and cut.ids.everything_else and cut.ids.values)
    off = str(credentials.options.get("report_tasks", True)).strip().lower()
    return (
        cut.at_once
        or cut.find_ids
        or rest
        or off in {"false", "0", "no", "off"}
        or bool({catalog.HOUR, catalog.COUNTRY}.intersection(breakdowns))
    )


def _is_small(cut: Slice) -> bool:
    report = _report(cut)
    plain = not report.breakdowns or cut.window.days == 1
    return report.level is Level.ACCOUNT or (report.level is Level.CAMPAIGN and plain)


def _report(cut: Slice) -> Report:
    if cut.report is None:
        raise ConfigurationError(f"slice {cut.label} is not of a report")
    return cut.report


def _question(cut: Slice) -> dict[str, Any]:
    """What both ways are asked. The ids of a slice are campaigns', at every level."""
    report = _report(cut)
    level = Level.CAMPAIGN if cut.find_ids else report.level
    return {
        "report_type": "AUDIENCE" if audience(report) and not cut.find_ids else "BASIC",
        "data_level": DATA_LEVELS[level],
        "dimensions": [IDS[level]] if cut.find_ids else list(dimensions(report)),
        "metrics": ["impressions"] if cut.find_ids else metrics(cut),
        "start_date": str(cut.window.since),
        "end_date": str(cut.window.until),
        "filtering": _of_campaigns(cut),
    }


def dimensions(report: Report) -> tuple[str, ...]:
    """One id, one time, and the breakdowns."""
    return IDS[report.level], time_of(report), *audience(report)


def metrics(cut: Slice) -> list[str]:
    """Numbers, and what a row tells of its entity."""
    report = _report(cut)
    return [n for n in (*report.metrics, *ATTRIBUTES[report.level]) if n not in cut.without]


def _filter(field: str, kind: str, values: Sequence[str]) -> dict[str, str]:
    return {"field_name": field, "filter_type": kind, "filter_value": json.dumps(list(values))}


def _of_campaigns(cut: Slice) -> list[dict[str, str]]:
    if cut.ids is None:
        return []
    kind = "NOT_IN" if cut.ids.everything_else else "IN"
    groups = wire.some(cut.ids.values, MOST_PER_FILTER)
    return [_filter("campaign_ids", kind, group) for group in groups]


def _all_statuses(cut: Slice) -> list[dict[str, str]]:
    """Without it the spend of what was deleted since is left out. Tasks count everything."""
    level = Level.CAMPAIGN if cut.find_ids else _report(cut).level
    return [_filter(_STATUS[level], "IN", ["STATUS_ALL"])] if level in _STATUS else []


class _Row(msgspec.Struct):
    dimensions: msgspec.Raw
    metrics: msgspec.Raw


_read_row = msgspec.json.Decoder(_Row).decode


def page(body: bytes) -> Page:
    """A page of rows, each flat: as a line of a task's file would be."""
    found = wire.page(body)
    return replace(found, rows=[_flat(row) for row in found.rows])


def _flat(row: Any) -> bytes:
    try:
        parts = _read_row(row)
    except msgspec.MsgspecError as failure:
        raise ValueError(f"not a row: {failure}") from None
    texts = (bytes(part).strip()[1:-1].strip() for part in (parts.dimensions, parts.metrics))
    return b"{" + b",".join(filter(None, texts)) + b"}"


def submit(cut: Slice) -> Request:
    """Create a task. Sent twice it only leaves a task that nobody reads; that is counted."""
    return wire.post(
        "report/task/create/",
        cut.account_id,
        **_question(cut),
        output_format="CSV_STRING",
        enable_report_title_translation=False,
    )


def report_id(body: bytes) -> str:
    """The id of a created task."""
    found = wire.data(body).get("task_id")
    if not found:
        raise ValueError("the answer to a task's creation holds no task_id")
    return str(found)


def _of_task(path: str, pending: Pending) -> Request:
    return wire.get(path, pending.slice.account_id, task_id=pending.report_id)


_STATES = {
    "SUCCESS": ReportState.READY,
    "FAILED": ReportState.FAILED,
    "CANCELED": ReportState.FAILED,
}


def statuses(body: bytes, pending: Sequence[Pending]) -> Sequence[ReportStatus]:
    """The status of the one task asked about."""
    told = wire.data(body)
    state = _STATES.get(str(told.get("status")), ReportState.RUNNING)
    said = str(told.get("message") or told.get("status"))
    error = VendorError(message=said) if state is ReportState.FAILED else None
    return [ReportStatus(report_id=pending[0].report_id, state=state, error=error)]


def result(pending: Pending) -> Streamed:
    """The file of a task, as one long answer."""
    titles = dimensions(_report(pending.slice))
    return Streamed(
        request=_of_task("report/task/download/", pending), decoder=lambda: Table(titles)
    )


def cancel(pending: Pending) -> Request:
    """End a task that is not over: others wait behind it."""
    return wire.post("report/task/cancel/", pending.slice.account_id, task_id=pending.report_id)


TASKS = AsyncReport(
    submit=submit,
    report_id=report_id,
    poll=lambda pending: _of_task("report/task/check/", pending[0]),
    statuses=statuses,
    result=result,
    cancel=cancel,
    poll_batch=1,
    timeout=7200.0,
    per_account=20,
)
