"""Watch how old published data is, and tell people when it is late, once."""

from __future__ import annotations

import copy
import html
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_liftos.hooks import config, registry
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.operators.outcome import translated
from airflow_provider_liftos.operators.task import Entry, LiftosOperator

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier

    from airflow_provider_liftos.quality.freshness import Age
    from airflow_provider_liftos.state.alerts import Alert, Alerts

_SHOWN = 12
_TOLD = 25
"""Alerts that one message has lines for; the gravest."""
GIVEN_UP = "given_up"
"""State of an alert whose data has not come, but is not waited for any more."""

ALL = "all"


class LiftosQualityWatchOperator(LiftosOperator):
    """Look at the age of every published table, per platform and account.

    What is late opens an alert in the state store; it closes itself when the data has come. The
    ``notifiers`` (any of Airflow's: Slack, e-mail, ...) are told of alerts that are new, that grew
    graver, that are open for another ``remind_hours``, and that are over; none of the same twice,
    also where another notifier fails. Their templates know ``alert_title``, ``alert_text``,
    ``alert_slack`` (the same with names that Slack takes for no command), ``alert_html``,
    ``alert_severity``, ``alert_org`` and ``alerts``. ``deadlines`` are hours after the end of a day
    by platform, ``platform/account`` or ``platform/account/report:level``, where 30 do not suit;
    None stops waiting for it. ``platforms`` None means all. ``organizations`` are those to watch,
    one by one: None means ``org_id`` alone, ``"all"`` whichever have data in the warehouse.
    """

    phase: ClassVar[str] = "quality_watch"
    template_fields: Sequence[str] = ("org_id",)

    def __init__(
        self,
        *,
        platforms: Sequence[str] | None = None,
        warehouse_conn_id: str | None = None,
        org_id: str = "default",
        organizations: Sequence[str] | str | None = None,
        deadlines: Mapping[str, float | None] | None = None,
        notifiers: Sequence[BaseNotifier] = (),
        remind_hours: float = 24.0,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 1)
        super().__init__(platform="all", **kwargs)
        self.platforms = list(platforms) if platforms is not None else None
        self.warehouse_conn_id = warehouse_conn_id
        self.org_id = org_id
        self.organizations = organizations
        self.deadlines = dict(deadlines or {})
        self.notifiers = list(notifiers)
        self.remind_hours = remind_hours

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what is watched and what is late.

        Raises what the warehouse refuses, and what a notifier raises, after all organizations and
        all notifiers have been tried; the next run tells the one that failed again.
        """
        told: dict[str, dict[str, Any]] = {}
        refusal: Exception | None = None
        with translated():
            org_ids = self._org_ids()
        for org_id in org_ids:
            try:
                with self.recorded(context, org_id) as entry:
                    told[org_id] = self._watched(context, entry, org_id)
            except Exception as error:  # noqa: BLE001  told when all have been looked at
                self.log.warning("organization %s: %s", org_id, error)
                refusal = refusal or error
        if refusal:
            raise refusal
        return _together(told)

    def _watched(self, context: Mapping[str, Any], entry: Entry, org_id: str) -> dict[str, Any]:
        from airflow_provider_liftos.quality import freshness
        from airflow_provider_liftos.state.alerts import Alerts
        from airflow_provider_liftos.state.ledger import Work

        store = config.state_store()
        now = datetime.fromtimestamp(store.clock.now(), UTC)
        ages = self._ages(org_id, now)
        alerts = Alerts(store, org_id)
        late = [one for found in ages.values() for one in freshness.troubles(found, now)]
        alerts.report(freshness.KIND, list(ages), late)
        open_ = [alert for alert in alerts.open(freshness.KIND) if alert.platform in ages]
        lines = [alert.text for alert in open_]
        for line in lines[:_SHOWN]:
            self.log.warning(line)
        due = self._news(alerts, ages, now)
        entry.work = Work(rows=sum(map(len, ages.values())))
        entry.warnings = tuple(lines)
        entry.detail = {"late": len(lines), "told": len(due) if self.notifiers else 0}
        if due and self.notifiers:
            self._notify(context, alerts, due, org_id)
        return {
            "watched": {name: len(found) for name, found in ages.items()},
            "oldest_hours": {
                name: round(max(a.age(now).total_seconds() for a in found) / 3600, 1)
                for name, found in ages.items()
                if found
            },
            "alerts": lines,
        }

    def _warehouse(self, org_id: str) -> Any:
        warehouse = open_warehouse(self.warehouse_conn_id, org_id, config.state_store())
        warehouse.prepare()
        return warehouse

    def _names(self) -> list[str]:
        declared = [platform.name for platform in registry.declared()]
        return declared if self.platforms is None else self.platforms

    def _org_ids(self) -> list[str]:
        from airflow_provider_liftos.quality.published import organizations

        if self.organizations is None:
            return [self.org_id]
        if self.organizations != ALL:
            given = self.organizations
            return [given] if isinstance(given, str) else list(given)
        warehouse = self._warehouse(self.org_id)
        found = {org for name in self._names() for org in organizations(warehouse, name)}
        return sorted(found) or [self.org_id]

    def _ages(self, org_id: str, now: datetime) -> dict[str, list[Age]]:
        from airflow_provider_liftos.quality import freshness

        warehouse = self._warehouse(org_id)
        known = {platform.name: platform for platform in registry.declared()}
        return {
            name: freshness.ages(
                warehouse, org_id, name, now=now, hours=self.deadlines,
                delay_days=known[name].availability.delay_days if name in known else 1,
            )
            for name in self._names()
        }  # fmt: skip

    def _news(
        self, alerts: Alerts, ages: Mapping[str, Sequence[Age]], now: datetime
    ) -> list[Alert]:
        """What people should be told now of the platforms that are watched here.

        An alert that is over only because a larger or a smaller one has taken its place is no news:
        the data has not come.
        """
        from airflow_provider_liftos.quality.freshness import KIND, still_late

        found = alerts.due(KIND, remind_after=self.remind_hours * 3600)
        due = [alert for alert in found if alert.platform in ages]
        late = {
            alert.key: still_late(alert.key, ages[alert.platform], now)
            for alert in due
            if not alert.is_open
        }
        alerts.told([alert for alert in due if late.get(alert.key)])
        return [
            alert if late.get(alert.key, False) is not None else replace(alert, state=GIVEN_UP)
            for alert in due
            if not late.get(alert.key)
        ]

    def _notify(
        self, context: Mapping[str, Any], alerts: Alerts, due: Sequence[Alert], org_id: str
    ) -> None:
        """Tell every notifier; the first refusal is raised once all have been tried."""
        refusal: Exception | None = None
        for number, notifier in enumerate(self.notifiers):
            way = f"{number} {type(notifier).__name__}"
            news = [alert for alert in due if way not in alert.told_to]
            if not news:
                continue
            try:
                # Rendering changes a notifier, and it may be used again.
                copy.copy(notifier)({**context, **_words(news, org_id)})
            except Exception as error:  # noqa: BLE001  whatever a notifier raises
                self.log.warning("%s could not tell: %s", type(notifier).__name__, error)
                refusal = refusal or error
            else:
                alerts.told_by(way, news)
        if refusal:
            raise refusal
        alerts.told(due)


def _together(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of all organizations: how much is watched, the oldest of each platform, all alerts."""
    watched: dict[str, int] = {}
    oldest: dict[str, float] = {}
    for one in told.values():
        for name, count in one["watched"].items():
            watched[name] = watched.get(name, 0) + count
        for name, hours in one["oldest_hours"].items():
            oldest[name] = max(hours, oldest.get(name, hours))
    alerts = [line for one in told.values() for line in one["alerts"]]
    return {
        "watched": watched, "oldest_hours": oldest, "alerts": alerts, "organizations": dict(told)
    }  # fmt: skip


def _words(due: Sequence[Alert], org_id: str = "default") -> dict[str, Any]:
    """What templates of notifiers may use."""
    lines = [_line(alert) for alert in due[:_TOLD]]
    if len(due) > _TOLD:
        lines.append(f"and {len(due) - _TOLD} more")
    late = [alert for alert in due if alert.is_open]
    over = f"{len(due) - len(late)} resolved" if len(due) > len(late) else ""
    title = ", ".join(part for part in (f"{len(late)} late" if late else "", over) if part)
    whose = "" if org_id == "default" else f" of {org_id}"
    text = "\n".join(lines)
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return {
        "alerts": list(due),
        "alert_org": org_id,
        "alert_title": f"liftos data freshness{whose}: {title}",
        "alert_severity": late[0].severity if late else "resolved",
        "alert_text": text,
        "alert_slack": html.escape(text, quote=False),  # <!channel> would wake everybody
        "alert_html": f"<ul>{items}</ul>",
    }


def _line(alert: Alert) -> str:
    about = alert.text.partition(": newest ")[0]
    if alert.state == GIVEN_UP:
        return (
            f"[closed] {about} has not come, and nobody waits for it any more: its account is gone,"
            " its deadline was taken away, or only its other tables were loaded for a week"
        )
    if not alert.is_open:
        return f"[resolved] {about} is up to date again"
    return f"[{alert.severity}] {alert.text}. {alert.advice}"
