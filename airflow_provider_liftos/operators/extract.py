"""Extract: submit all reports of a batch of accounts, wait without a slot, fetch what is ready."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.configuration import conf

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.report import Account, Level, Report, Slice, Window
from airflow_provider_liftos.operators.letters import keep_slices
from airflow_provider_liftos.operators.outcome import told
from airflow_provider_liftos.operators.task import (
    Entry,
    LiftosOperator,
    load_id,
    scope,
    spent,
    write_manifest,
)

if TYPE_CHECKING:
    from airflow_provider_liftos.engine.extraction import Extraction, Waiting
    from airflow_provider_liftos.engine.manifest import Manifest
    from airflow_provider_liftos.model.platform import Platform


class LiftosExtractOperator(LiftosOperator):
    """Bring reports and streams of some accounts to staging; returns where its manifest is.

    ``batch`` is an entry of ``LiftosPlanOperator``'s list. ``reports`` holds ``Report`` objects,
    dictionaries of their parts, or names such as ``basic:ad``; ``streams`` names of streams. A
    retry, a restart or a Clear of an unfinished task goes on where it stopped; after success
    everything is asked for afresh.
    """

    phase: ClassVar[str] = "extract"
    template_fields: Sequence[str] = ("batch", "reports", "streams")

    def __init__(
        self,
        *,
        batch: Mapping[str, Any],
        reports: Sequence[Report | str | Mapping[str, Any]] = (),
        streams: Sequence[str] = (),
        slice_days: int | None = None,
        page_size: int | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 2)
        kwargs["on_success_callback"] = with_consume(kwargs.get("on_success_callback"))
        super().__init__(**kwargs)
        self.batch = batch
        self.reports = reports
        self.streams = streams
        self.slice_days = slice_days
        self.page_size = page_size
        self.deferrable = deferrable

    def execute(
        self, context: Mapping[str, Any], event: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """First stint and, after a deferral, every later one: all state is in the checkpoints."""
        with self.recorded(context, str(self.batch["org_id"])) as entry:
            if event and event.get("status") == "error":
                # Reports go on meanwhile; the next try finds them.
                raise told(event)
            from airflow_provider_liftos.engine.extraction import Finished

            if event is None:
                self._forget_finished(context)
            extraction = self._build(context, new_try=event is None)
            cuts = self._slices(context, extraction.session.platform)
            entry.window = _spanned(cuts)
            while True:
                try:
                    outcome = extraction.advance(cuts)
                finally:
                    self._note(extraction, entry)
                if isinstance(outcome, Finished):
                    break
                self._wait(context, outcome)
            manifest = self._told_where(outcome.manifest)
            keep_slices(context, manifest)
            facts = manifest.facts
            entry.warnings = tuple(facts.get("warnings", ()))
            entry.status = "partial" if manifest.failed else entry.status
            entry.detail = {
                "slices": len(manifest.slices),
                "max_tries": _max_tries(context),
                **entry.detail,
                **_failures(manifest),
            }
            return write_manifest(extraction.staging, manifest, self.phase)

    def _told_where(self, manifest: Manifest) -> Manifest:
        """With where its rows come from and go to, for whoever has to bring them again."""
        where = {
            "conn_id": self.conn_id,
            "warehouse_conn_id": self.batch.get("warehouse_conn_id"),
        }
        return replace(manifest, facts={**manifest.facts, **where})

    def _forget_finished(self, context: Mapping[str, Any]) -> None:
        """Forget what an earlier success left, if this is a Clear of it.

        The success callback does so as a rule; it may have been killed, or never called ("mark
        success"). A Clear raises ``max_tries``, a retry after a kill does not.
        """
        from airflow_provider_liftos.state.ledger import PARTIAL, SUCCESS, Ledger

        ti, org_id = context["ti"], str(self.batch["org_id"])
        ledger = Ledger(config.state_store(), org_id)
        done = [
            entry
            for entry in ledger.rows(dag_id=ti.dag_id, run_id=ti.run_id, phase=self.phase)
            if entry.status in {SUCCESS, PARTIAL}
            and f"{ti.dag_id}/{ti.run_id}/{entry.run.task_id}/{entry.run.map_index}"
            == scope(context)
        ]
        if done and done[0].detail.get("max_tries") != _max_tries(context):
            _forget(context, org_id)

    def _build(self, context: Mapping[str, Any], *, new_try: bool) -> Extraction:
        from airflow_provider_liftos.engine.checkpoint import Checkpoints
        from airflow_provider_liftos.engine.extraction import Extraction, Options
        from airflow_provider_liftos.transport.client import HttpSender

        hook = self.hook
        credentials = hook.credentials()
        store = config.state_store()
        accounts = [Account.from_json(item["account"]) for item in self.batch["accounts"]]
        self.account_url = hook.platform.account_url(accounts[0].account_id)
        return Extraction(
            session=hook.session(credentials, store),
            sender=HttpSender(),
            checkpoints=Checkpoints(store, credentials.org_id, scope(context)),
            staging=config.staging(),
            accounts={account.account_id: account for account in accounts},
            load_id=load_id(context),
            is_mock=credentials.is_mock,
            options=Options(
                report_timeout=config.number("report_timeout_seconds") or None,
                page_size=self.page_size,
                fetch_threads=int(config.number("fetch_threads")),
                last_try=is_last_try(context["ti"]),
                new_try=new_try,
            ),
        )

    def _slices(self, context: Mapping[str, Any], platform: Platform) -> list[Slice]:
        from airflow_provider_liftos.engine import plan

        params = context.get("params") or {}
        given = self.reports if params.get("reports") is None else params["reports"]
        reports = [as_report(platform, report) for report in given]
        streams = self.streams if params.get("streams") is None else params["streams"]
        planned = [(Account.from_json(item["account"]), item) for item in self.batch["accounts"]]
        windows = [(account, window_of(item)) for account, item in planned]
        memories = {
            a.account_id: window_of(item["memory"]) for a, item in planned if "memory" in item
        }
        days = self.slice_days or platform.slice_days
        more = {
            a.account_id: {
                name: [window_of(w) for w in parts] for name, parts in item["more"].items()
            }
            for a, item in planned
            if "more" in item
        }
        listed = {a.account_id: item.get("listed") or {} for a, item in planned}
        return plan.slices(platform, windows, reports, list(streams), days, memories, more, listed)

    def _wait(self, context: Mapping[str, Any], waiting: Waiting) -> None:
        poll_seconds = config.number("poll_seconds")
        if not self.deferrable:
            now = config.state_store().clock.now()
            pause = (waiting.until - now) if waiting.until else poll_seconds
            time.sleep(max(pause, 0.1))
            return
        from airflow_provider_liftos.triggers.report import ReportTrigger

        self.log.info("deferring: %s", waiting.reason)
        self.defer(
            trigger=ReportTrigger(
                platform=self.platform,
                conn_id=self.conn_id,
                scope=scope(context),
                poll_seconds=poll_seconds,
                fire_after=config.state_store().clock.now() + config.number("min_defer_seconds"),
                not_before=waiting.until,
            ),
            method_name="execute",
        )

    def _note(self, extraction: Extraction, entry: Entry) -> None:
        usage, counts = extraction.session.usage, extraction.counts()
        entry.work = replace(
            spent(usage),
            rows=counts.rows,
            reports_submitted=counts.submitted,
            reports_wasted=counts.wasted,
        )
        entry.warnings = tuple(usage.warnings)
        entry.api_version = extraction.session.credentials.version
        entry.detail = {"report_ids": list(counts.report_ids), **usage.told()}


def window_of(value: Mapping[str, Any]) -> Window:
    """The days of an item of the plan."""
    return Window(
        since=date.fromisoformat(value["since"]), until=date.fromisoformat(value["until"])
    )


def _spanned(cuts: Sequence[Slice]) -> tuple[str, str] | None:
    """First and last day of all slices, for the ledger."""
    windows = [cut.window for cut in cuts]
    if not windows:
        return None
    return str(min(w.since for w in windows)), str(max(w.until for w in windows))


def _max_tries(context: Mapping[str, Any]) -> int | None:
    most = getattr(context["ti"], "max_tries", None)
    return None if most is None else int(most)


def is_last_try(task_instance: Any) -> bool:
    """Whether no try is left after this one."""
    most = getattr(task_instance, "max_tries", None)
    return most is not None and int(task_instance.try_number) > int(most)


def as_report(platform: Platform, value: Report | str | Mapping[str, Any]) -> Report:
    """A report from what DAGs and params may hold; ConfigurationError when it makes none."""
    from airflow_provider_liftos.model.errors import ConfigurationError

    if isinstance(value, Report):
        return value
    if isinstance(value, str):
        name, _, level = value.partition(":")
        if level and level not in set(Level):
            levels = ", ".join(Level)
            raise ConfigurationError(f"report {value!r}: unknown level; levels are {levels}")
        return platform.preset(name, Level(level or Level.CAMPAIGN))
    return Report.from_json(value)


def _failures(manifest: Any) -> dict[str, Any]:
    return {"failed": [f"{s.slice.account_id} {s.slice.label}: {s.error}" for s in manifest.failed]}


def consume(context: Mapping[str, Any]) -> None:
    """Forget the checkpoints of a task that has succeeded.

    Runs after Airflow has noted the success: a kill before that resumes, a Clear after it starts
    afresh.
    """
    _forget(context, str(context["task"].batch["org_id"]))


def _forget(context: Mapping[str, Any], org_id: str) -> None:
    from airflow_provider_liftos.engine.checkpoint import Checkpoints

    Checkpoints(config.state_store(), org_id, scope(context)).consume()


def with_consume(callbacks: Any) -> list[Any]:
    """Success callbacks that begin with ``consume``."""
    if callbacks is None:
        return [consume]
    given = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
    return [consume, *(c for c in given if c is not consume)]
