"""Which accounts, which days: the first task of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.operators.letters import left_alone, told
from airflow_provider_liftos.operators.task import Entry, LiftosOperator, spent

if TYPE_CHECKING:
    from airflow_provider_liftos.engine.incremental import Known
    from airflow_provider_liftos.engine.plan import DateRange
    from airflow_provider_liftos.model.errors import NotAuthorized
    from airflow_provider_liftos.model.report import Account, Report
    from airflow_provider_liftos.transport.session import Usage
    from airflow_provider_liftos.warehouses.contract import Warehouse


class LiftosPlanOperator(LiftosOperator):
    """Find the accounts, resolve the window in each one's own zone, and make batches of them.

    Returns a list with one entry per batch, to expand an extract task over. An account that cannot
    be planned, or that the token does not see, is left out; the first batch names it under
    ``failed``, with the error, and publish counts it as missing. ``accounts`` narrows the
    connection's accounts; the run's param of that name takes its place. ``last_days`` is what a run
    without dates of its own asks for.

    A run that nobody gave days also brings what the published days of each of its ``reports`` lack:
    days of runs that never were, days that were read while the platform still restated them and
    then left alone, holes and, from ``history_since`` on, history: of these two ``history_days`` a
    run, newest first. Which these are is read from the warehouse. Days that failed on ``[liftos]
    failing_nights`` days, or whose dead letter was discarded, are left alone. Of streams whose
    platform tells what changed, it brings only that, but for a full listing every ``[liftos]
    full_listing_days``.
    """

    phase: ClassVar[str] = "plan"
    template_fields: Sequence[str] = ("accounts", "reports")

    def __init__(
        self,
        *,
        accounts: Sequence[str] = (),
        last_days: int = 30,
        accounts_per_task: int | None = None,
        reports: Sequence[Report | str | Mapping[str, Any]] = (),
        warehouse_conn_id: str | None = None,
        history_since: date | str | None = None,
        history_days: int = 30,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.accounts = accounts
        self.last_days = last_days
        self.reports = reports
        self.warehouse_conn_id = warehouse_conn_id
        self.history_since = history_since
        self.history_days = history_days
        self.accounts_per_task = accounts_per_task

    def execute(self, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Raises for refused tokens, and when no account is left that can be planned."""
        from airflow_provider_liftos.engine import plan
        from airflow_provider_liftos.hooks.liftos import listed
        from airflow_provider_liftos.operators.window import asked, catches_up

        with self.recorded(context) as entry:
            hook = self.hook
            platform = hook.platform
            restated = config.restatement_days(platform)
            wanted = asked(context, restated, self.last_days)
            named = listed((context.get("params") or {}).get("accounts") or self.accounts)
            try:
                accounts, unseen = hook.chosen(named)
            finally:
                usage = hook.usage
                entry.work = spent(usage) if usage else None
            planned, failed = self._planned(wanted, accounts, unseen, entry)
            if usage:
                entry.warnings = (*usage.warnings, *entry.warnings)
                entry.api_version = usage.version.get("used")
            if catches_up(context):
                self._catch_up(context, entry, planned)
                self._look_for_listings(entry, planned)
            size = self.accounts_per_task or int(config.number("accounts_per_task"))
            first = planned[0]["account"]["account_id"]
            self._tell(entry, planned, failed, usage)
            self.account_url = platform.account_url(first)
            batches: list[dict[str, Any]] = [
                {
                    "org_id": entry.org_id,
                    "label": _label(batch),
                    "accounts": batch,
                    "warehouse_conn_id": self.warehouse_conn_id,
                }
                for batch in plan.batches(planned, size)
            ]
            if failed:
                batches[0]["failed"], entry.status = failed, "partial"
            return batches

    def _tell(
        self,
        entry: Entry,
        planned: Sequence[Mapping[str, Any]],
        failed: Sequence[Mapping[str, Any]],
        usage: Usage | None,
    ) -> None:
        """Into the ledger: a plan's rows are its accounts."""
        from airflow_provider_liftos.state.ledger import Work

        entry.work = replace(entry.work or Work(), rows=len(planned))
        entry.window = (
            min(item["since"] for item in planned),
            max(item["until"] for item in planned),
        )
        entry.detail = {
            "accounts": [item["account"]["account_id"] for item in planned],
            "failed": [item["account"]["account_id"] for item in failed],
            "more": {i["account"]["account_id"]: i["more"] for i in planned if "more" in i},
            **(usage.told() if usage else {}),
        }

    def _catch_up(
        self, context: Mapping[str, Any], entry: Entry, planned: Sequence[dict[str, Any]]
    ) -> None:
        """Note under ``more`` which further days of which reports each account lacks.

        Where the warehouse cannot be asked now, the run brings its own days: it may be within
        reach when they are loaded, and the next run finds what is missing.
        """
        from airflow_provider_liftos.engine.incremental import History, missing_by_report
        from airflow_provider_liftos.model.errors import WarehouseError
        from airflow_provider_liftos.operators.extract import as_report, window_of

        platform, params = self.hook.platform, context.get("params") or {}
        given = self.reports if params.get("reports") is None else params["reports"]
        reports = [platform.check(as_report(platform, report)) for report in given]
        if not reports:
            return
        lookback = params.get("lookback_days")
        restated = config.restatement_days(platform) if lookback is None else int(lookback)
        try:
            known = self._published(entry.org_id, restated)
        except WarehouseError as error:
            entry.warnings = (*entry.warnings, f"only the run's own days are asked for: {error}")
            self.log.warning(entry.warnings[-1])
            return
        history = History(since=_first_day(self.history_since), days=self.history_days)
        alone = left_alone(entry.org_id, self.platform, mock=self.hook.credentials().is_mock)
        for item in planned:
            window, kept = window_of(item), window_of(item["memory"])
            account = str(item["account"]["account_id"])
            mine = {name: found for (whose, name), found in alone.items() if whose == account}
            asked = partial(missing_by_report, known, account, reports, window, kept)
            found = asked(
                history, platform.kept_days, {name: left.days for name, left in mine.items()}
            )
            if mine:
                every = asked(replace(history, days=kept.days), platform.kept_days)
                entry.warnings = (*entry.warnings, *told(account, every, mine))
            if found:
                item["more"] = {
                    name: [{"since": str(w.since), "until": str(w.until)} for w in windows]
                    for name, windows in found.items()
                }
                days = sum(w.days for windows in found.values() for w in windows)
                self.log.info("%s: %s further days of reports are missing", account, days)

    def _look_for_listings(self, entry: Entry, planned: Sequence[dict[str, Any]]) -> None:
        """Note under ``listed`` since when changes of which streams are enough for each account.

        Where the warehouse cannot be asked, everything is listed.
        """
        from airflow_provider_liftos.engine.incremental import listings
        from airflow_provider_liftos.model.errors import WarehouseError
        from airflow_provider_liftos.warehouses.progress import listed

        full_days, streams = config.number("full_listing_days"), self.hook.platform.streams
        if full_days <= 0 or not any(stream.changes for stream in streams):
            return
        try:
            known = listed(self._warehouse(entry.org_id), entry.org_id, self.platform)
        except WarehouseError as error:
            self.log.warning("entities are listed in full: %s", error)
            return
        moment = config.state_store().clock.now()
        for item in planned:
            account = str(item["account"]["account_id"])
            if found := listings(known, account, streams, moment, full_days):
                item["listed"] = found

    def _planned(
        self,
        wanted: DateRange,
        accounts: Sequence[Account],
        unseen: Sequence[NotAuthorized],
        entry: Entry,
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Accounts with their windows, and those that have none; raises when all have none."""
        from airflow_provider_liftos.engine import plan
        from airflow_provider_liftos.model.errors import ConfigurationError
        from airflow_provider_liftos.model.report import Account

        moment = config.state_store().clock.now()
        planned: list[dict[str, Any]] = []
        cuts: list[str] = []
        left_out: list[tuple[Account, ConfigurationError]] = [
            (Account(account_id=str(error.account)), error) for error in unseen
        ]
        for account in accounts:
            try:
                window, warnings = plan.resolve(wanted, account, self.hook.platform, moment)
                memory = plan.memory(account, self.hook.platform, moment)
            except ConfigurationError as error:
                left_out.append((account, error))
                continue
            cuts += warnings
            planned.append(
                {
                    "account": asdict(account),
                    "since": str(window.since),
                    "until": str(window.until),
                    "memory": {"since": str(memory.since), "until": str(memory.until)},
                }
            )
        entry.warnings = (*(f"left out of this run: {error}" for _, error in left_out), *cuts)
        for text in entry.warnings:
            self.log.warning(text)
        if not planned:
            raise left_out[-1][1]
        return planned, [{"account": asdict(a), "error": str(error)} for a, error in left_out]

    def _published(self, org_id: str, restated: int) -> Known:
        """The days of every report that people see."""
        from airflow_provider_liftos.warehouses.progress import published

        return published(self._warehouse(org_id), org_id, self.platform, restated)

    def _warehouse(self, org_id: str) -> Warehouse:
        """Ready to be asked; it is made where there is none."""
        from airflow_provider_liftos.hooks.warehouse import open_warehouse

        mock = self.hook.credentials().is_mock
        warehouse = open_warehouse(self.warehouse_conn_id, org_id, config.state_store(), mock=mock)
        warehouse.prepare()
        return warehouse


def _first_day(value: date | str | None) -> date | None:
    from airflow_provider_liftos.model.errors import ConfigurationError

    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ConfigurationError(f"history_since is {value!r}; write it as YYYY-MM-DD") from None


def _label(batch: Sequence[Mapping[str, Any]]) -> str:
    names = [str(item["account"]["name"] or item["account"]["account_id"]) for item in batch]
    shown = ", ".join(name[:24] for name in names[:3])
    return shown + (f" +{len(names) - 3}" if len(names) > 3 else "")
