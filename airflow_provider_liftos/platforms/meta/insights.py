"""Meta's insights as reports: checks before submitting, and the life of a report run."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import (
    AsyncReport,
    Paged,
    Pending,
    ReportState,
    ReportStatus,
)
from airflow_provider_liftos.model.report import DEFAULT_WINDOW, Level, Report, Slice
from airflow_provider_liftos.model.wire import Request, VendorError
from airflow_provider_liftos.platforms.meta import catalog, wire

LEVELS = {
    Level.ACCOUNT: "account",
    Level.CAMPAIGN: "campaign",
    Level.AD_GROUP: "adset",
    Level.AD: "ad",
}
_IDS = {
    Level.ACCOUNT: (),
    Level.CAMPAIGN: ("campaign",),
    Level.AD_GROUP: ("campaign", "adset"),
    Level.AD: ("campaign", "adset", "ad"),
}
DELIVERY = (
    "impressions", "clicks", "inline_link_clicks", "spend", "reach", "frequency",
    "cpc", "cpm", "ctr",
)  # fmt: skip
ACTIONS = ("actions", "action_values")
CONVERSIONS = (*ACTIONS, "attribution_setting")

_PRESETS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "basic": ((), ()),
    "action_type": ((), ("action_type",)),
    "action_carousel_card": ((), ("action_type", "action_carousel_card_id")),
    "action_conversion_device": (("device_platform",), ("action_type",)),
    "action_product_id": (("product_id",), ("action_type",)),
    "action_reaction": ((), ("action_type", "action_reaction")),
    "action_video_sound": ((), ("action_type", "action_video_sound")),
    "action_video_type": ((), ("action_type", "action_video_type")),
    "delivery_device": (("device_platform",), ()),
    "delivery_platform": (("publisher_platform",), ()),
    "delivery_platform_and_device": (("publisher_platform", "device_platform"), ()),
    "demographics_age": (("age",), ()),
    "demographics_age_and_gender": (("age", "gender"), ()),
    "demographics_country": (("country",), ()),
    "demographics_dma": (("comscore_market",), ()),
    "demographics_gender": (("gender",), ()),
    "demographics_region": (("region",), ()),
}
"""Names that users of other connectors know: breakdowns and action breakdowns of each."""


def _preset(name: str) -> Callable[[Level], Report]:
    breakdowns, actions = _PRESETS[name]
    metrics = ACTIONS if actions else (*DELIVERY, *CONVERSIONS)
    return lambda level: Report(
        name=name,
        level=level,
        metrics=metrics,
        breakdowns=breakdowns,
        action_breakdowns=actions,
    )


PRESETS = {name: _preset(name) for name in _PRESETS}


def check(report: Report) -> Report:
    """The report with default metrics; ConfigurationError names what Meta would refuse."""
    usual = ACTIONS if report.action_breakdowns else (*DELIVERY, *CONVERSIONS)
    report = replace(
        report,
        metrics=tuple(dict.fromkeys(report.metrics)) or usual,
        attribution_windows=tuple(dict.fromkeys(report.attribution_windows)) or (DEFAULT_WINDOW,),
    )
    _known("metric", report.metrics, catalog.METRICS)
    _known("breakdown", report.breakdowns, catalog.BREAKDOWNS)
    _known("action breakdown", report.action_breakdowns, catalog.ACTION_BREAKDOWNS)
    _known("attribution window", report.attribution_windows, catalog.ATTRIBUTION_WINDOWS)
    for name in report.attribution_windows:
        if name in catalog.GONE_WINDOWS:
            raise ConfigurationError(
                f"attribution window {name!r} returns nothing since 2026-01-12; use 1d_view"
            )
    if not 1 <= report.time_increment <= 90:
        raise ConfigurationError(
            f"time_increment is {report.time_increment}; Meta takes 1 to 90 days"
        )
    _combination(report)
    _forbidden(report)
    _of_actions(report)
    return report


def _known(what: str, names: Iterable[str], known: frozenset[str]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else "see Meta's insights documentation."
            raise ConfigurationError(f"Meta has no {what} {name!r}; {hint}")


def _combination(report: Report) -> None:
    asked = frozenset(report.breakdowns)
    if len(asked) != len(report.breakdowns):
        raise ConfigurationError(f"a breakdown is named twice: {', '.join(report.breakdowns)}")
    if len(asked) > 1 and not any(asked <= allowed for allowed in catalog.COMBINATIONS):
        nearest = max(catalog.COMBINATIONS, key=lambda c: (len(c & asked), -len(c)))
        raise ConfigurationError(
            f"Meta does not combine the breakdowns {', '.join(report.breakdowns)};"
            f" the nearest it does are {', '.join(sorted(nearest))}"
        )


def _forbidden(report: Report) -> None:
    for breakdown in report.breakdowns:
        for metric in report.metrics:
            if reason := _clash(breakdown, metric):
                raise ConfigurationError(
                    f"metric {metric!r} cannot be broken down by {breakdown!r}: {reason};"
                    " leave one of the two out"
                )
        if breakdown in {"image_asset", "video_asset"} and report.level is Level.ACCOUNT:
            raise ConfigurationError(f"{breakdown!r} is not available at account level; use ad")


def _of_actions(report: Report) -> None:
    """Beside action breakdowns a row is one action: measures of anything else have no place."""
    for metric in report.metrics if report.action_breakdowns else ():
        if metric not in ACTIONS:
            raise ConfigurationError(
                f"metric {metric!r} cannot be broken down by actions"
                f" ({', '.join(report.action_breakdowns)}); take {' and '.join(ACTIONS)} alone,"
                " and ask for the other metrics in a report of their own"
            )


def _clash(breakdown: str, metric: str) -> str:
    unique = metric in {"reach", "frequency", "cpp"} or metric.startswith("unique_")
    if breakdown.startswith("hourly_") and (unique or metric.startswith("video_")):
        return "people are not counted by the hour"
    if breakdown == "region" and metric.startswith("video_p"):
        return "Meta gives no video quartiles by region"
    return ""


def fields(cut: Slice) -> list[str]:
    """Dimensions and metrics to ask for; a search for ids asks for ids alone."""
    report = _report(cut)
    ids = _IDS[report.level]
    if cut.find_ids:
        return [f"{ids[-1]}_id"]
    named = [f"{name}_{part}" for name in ids for part in ("id", "name")]
    asked = ["account_id", "account_name", "account_currency", *named, *report.metrics]
    return [name for name in asked if name not in cut.without]


def _report(cut: Slice) -> Report:
    if cut.report is None:
        raise ConfigurationError(f"slice {cut.label} is not of a report")
    return cut.report


def submit(cut: Slice) -> Request:
    """Start a report run. Sent twice it only leaves a run that nobody reads; that is counted."""
    report = _report(cut)
    form = {
        "level": LEVELS[report.level],
        "fields": json.dumps(fields(cut)),
        "time_range": json.dumps({"since": str(cut.window.since), "until": str(cut.window.until)}),
    }
    if cut.find_ids:
        form["time_increment"] = "all_days"
    else:
        form["time_increment"] = str(report.time_increment)
        _add(form, "breakdowns", report.breakdowns)
        _add(form, "action_breakdowns", report.action_breakdowns)
        if report.attribution_windows != (DEFAULT_WINDOW,):
            _add(form, "action_attribution_windows", report.attribution_windows)
    if cut.ids and cut.ids.values:
        operator = "NOT_IN" if cut.ids.everything_else else "IN"
        field = f"{_IDS[report.level][-1]}.id"
        form["filtering"] = json.dumps(
            [{"field": field, "operator": operator, "value": list(cut.ids.values)}]
        )
    return Request(
        method="POST",
        path=f"act_{cut.account_id}/insights",
        form=form,
        account=cut.account_id,
    )


def _add(form: dict[str, str], name: str, values: Sequence[str]) -> None:
    if values:
        form[name] = json.dumps(list(values))


def report_id(body: bytes) -> str:
    """The id of a started run."""
    value = json.loads(body)
    found = value.get("report_run_id") if isinstance(value, dict) else None
    if not found:
        raise ValueError("the answer to a report's submission holds no report_run_id")
    return str(found)


_STATUS_FIELDS = (
    "id,async_status,async_percent_completion,error_code,error_subcode,error_message,error_user_msg"
)


def poll(pending: Sequence[Pending]) -> Request:
    """Ask about many runs in one batch.

    It is one request to our own caps; Meta counts every item, and says so in its usage headers.
    """
    calls = [
        {"method": "GET", "relative_url": f"{one.report_id}?fields={_STATUS_FIELDS}"}
        for one in pending
    ]
    form = {"batch": json.dumps(calls), "include_headers": "true"}
    return Request(method="POST", path="", form=form)


def statuses(body: bytes, pending: Sequence[Pending]) -> Sequence[ReportStatus]:
    """One status per run asked about; an item that was not carried out is still running for us."""
    answers = json.loads(body)
    if not isinstance(answers, list) or len(answers) != len(pending):
        raise ValueError("a batch answered with another number of items than were asked")
    return [
        replace(_status(one.report_id, told), headers=_headers(told))
        for one, told in zip(pending, answers, strict=True)
    ]


_FAILED = {"Job Failed": ReportState.FAILED, "Job Skipped": ReportState.FAILED}
_COMPLETE = 100
_GONE = (100, 33)
"""Code and subcode of what does not exist (any more): reports are kept for 30 days."""


def _status(run: str, answer: Mapping[str, Any] | None) -> ReportStatus:
    if not isinstance(answer, dict) or not isinstance(answer.get("body"), str):
        return ReportStatus(report_id=run, state=ReportState.RUNNING)
    try:
        body = json.loads(answer["body"])
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return ReportStatus(report_id=run, state=ReportState.RUNNING)
    if int(answer.get("code", 200)) >= 400 or "error" in body:
        said = wire.vendor_error(body, int(answer.get("code", 200)))
        said = replace(said, wait=said.wait or _wait(_headers(answer)))
        gone = (said.code, said.subcode) == _GONE
        state = ReportState.EXPIRED if gone else ReportState.RUNNING
        return ReportStatus(report_id=run, state=state, error=said)
    percent = int(body.get("async_percent_completion") or 0)
    name = str(body.get("async_status"))
    state = _FAILED.get(name, ReportState.RUNNING)
    # Percent may reach 100 while the run still works, and Completed may be said before 100.
    if name == "Job Completed" and percent >= _COMPLETE:
        state = ReportState.READY
    return ReportStatus(report_id=run, state=state, percent=percent, error=_failure(body, name))


def _headers(answer: object) -> Mapping[str, str]:
    """Headers of an item; the batch's own are without what they say of accounts."""
    headers = answer.get("headers") if isinstance(answer, dict) else None
    items = [h for h in headers if isinstance(h, dict)] if isinstance(headers, list) else []
    return {str(h.get("name")).lower(): str(h.get("value")) for h in items}


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that usage headers name."""
    return max((signal.wait for signal in wire.signals(headers, None)), default=None)


def _failure(body: Mapping[str, Any], name: str) -> VendorError | None:
    if name not in _FAILED:
        return None
    return VendorError(
        code=body.get("error_code"),
        subcode=body.get("error_subcode"),
        message=str(body.get("error_message") or body.get("error_user_msg") or name),
    )


def result(pending: Pending) -> Paged:
    """A run's rows. Its path does not say whose it is, but it counts against that account."""

    def page(limit: int, after: str | None) -> Request:
        asked = wire.edge(f"{pending.report_id}/insights", (), limit, after)
        return replace(asked, account=pending.slice.account_id)

    return Paged(request=page, page=wire.page, page_size=1000)


REPORTS = AsyncReport(
    submit=submit,
    report_id=report_id,
    poll=poll,
    statuses=statuses,
    result=result,
    poll_batch=50,
    timeout=3900.0,
    per_account=32,
)
