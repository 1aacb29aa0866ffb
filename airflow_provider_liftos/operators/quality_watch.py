"""Watch how old published data is, and tell people when it is late, once."""

from __future__ import annotations

import copy
import html
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_liftos.hooks import config, registry
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.operators.task import LiftosOperator

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier

    from airflow_provider_liftos.state.alerts import Alert

_SHOWN = 12


class LiftosQualityWatchOperator(LiftosOperator):
    """Look at the age of every published table, per platform and account.

    What is late opens an alert in the state store; it closes itself when the data has come. The
    ``notifiers`` (any of Airflow's: Slack, e-mail, ...) are told of alerts that are new, that grew
    graver, that are open for another ``remind_hours``, and that are over; never of the same twice.
    Their templates know ``alert_title``, ``alert_text``, ``alert_html``, ``alert_severity`` and
    ``alerts``. ``deadlines`` are hours after the end of a day by platform, ``platform/account`` or
    ``platform/account/report:level``, where 30 do not suit; ``platforms`` None means all.
    """

    phase: ClassVar[str] = "quality_watch"
    template_fields: Sequence[str] = ("org_id",)

    def __init__(
        self,
        *,
        platforms: Sequence[str] | None = None,
        warehouse_conn_id: str | None = None,
        org_id: str = "default",
        deadlines: Mapping[str, float] | None = None,
        notifiers: Sequence[BaseNotifier] = (),
        remind_hours: float = 24.0,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 1)
        super().__init__(platform="all", **kwargs)
        self.platforms = list(platforms) if platforms is not None else None
        self.warehouse_conn_id = warehouse_conn_id
        self.org_id = org_id
        self.deadlines = dict(deadlines or {})
        self.notifiers = list(notifiers)
        self.remind_hours = remind_hours

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what is watched and what is late.

        Raises what the warehouse refuses, and what a notifier raises after all have been tried; the
        alerts that it was about are told again by the next run.
        """
        from airflow_provider_liftos.quality import freshness
        from airflow_provider_liftos.state.alerts import Alerts
        from airflow_provider_liftos.state.ledger import Work

        with self.recorded(context, self.org_id) as entry:
            store = config.state_store()
            now = datetime.fromtimestamp(store.clock.now(), UTC)
            ages = self._ages(now)
            alerts = Alerts(store, self.org_id)
            late = {name: freshness.troubles(found, now) for name, found in ages.items()}
            alerts.report(
                freshness.KIND, list(ages), [one for found in late.values() for one in found]
            )
            lines = [alert.text for alert in alerts.open(freshness.KIND)]
            for line in lines[:_SHOWN]:
                self.log.warning(line)
            due = alerts.due(freshness.KIND, remind_after=self.remind_hours * 3600)
            entry.work = Work(rows=sum(map(len, ages.values())))
            entry.warnings = tuple(lines)
            entry.detail = {"late": len(lines), "told": len(due)}
            if due and self.notifiers:
                self._notify(context, due)
                alerts.told(due)
            return {
                "watched": {name: len(found) for name, found in ages.items()},
                "oldest_hours": {
                    name: round(max(a.age(now).total_seconds() for a in found) / 3600, 1)
                    for name, found in ages.items()
                    if found
                },
                "alerts": lines,
            }

    def _ages(self, now: datetime) -> dict[str, Any]:
        from airflow_provider_liftos.quality import freshness

        warehouse = open_warehouse(self.warehouse_conn_id, self.org_id, config.state_store())
        warehouse.prepare()
        known = {platform.name: platform for platform in registry.declared()}
        names = list(known) if self.platforms is None else self.platforms
        return {
            name: freshness.ages(
                warehouse, self.org_id, name, now=now, hours=self.deadlines,
                delay_days=known[name].availability.delay_days if name in known else 1,
            )
            for name in names
        }  # fmt: skip

    def _notify(self, context: Mapping[str, Any], due: Sequence[Alert]) -> None:
        """Tell every notifier; the first refusal is raised once all have been tried."""
        told = {**context, **_words(due)}
        refusal: Exception | None = None
        for notifier in self.notifiers:
            try:
                copy.copy(notifier)(told)  # rendering changes it, and it may be used again
            except Exception as error:  # noqa: BLE001  whatever a notifier raises
                self.log.warning("%s could not tell: %s", type(notifier).__name__, error)
                refusal = refusal or error
        if refusal:
            raise refusal


def _words(due: Sequence[Alert]) -> dict[str, Any]:
    """What templates of notifiers may use."""
    lines = [_line(alert) for alert in due]
    late = [alert for alert in due if alert.is_open]
    over = f"{len(due) - len(late)} resolved" if len(due) > len(late) else ""
    title = ", ".join(part for part in (f"{len(late)} late" if late else "", over) if part)
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return {
        "alerts": list(due),
        "alert_title": f"liftos data freshness: {title}",
        "alert_severity": late[0].severity if late else "resolved",
        "alert_text": "\n".join(lines),
        "alert_html": f"<ul>{items}</ul>",
    }


def _line(alert: Alert) -> str:
    if not alert.is_open:
        return f"[resolved] {alert.text.partition(': ')[0]} is up to date again"
    return f"[{alert.severity}] {alert.text}. {alert.advice}"
