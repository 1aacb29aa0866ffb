"""Publish: what passed the audit replaces what people see, one transaction per slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import XComArg

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.model.errors import QualityError, WarehouseError
from airflow_provider_liftos.operators import lineage
from airflow_provider_liftos.operators.letters import keep_slices, settle
from airflow_provider_liftos.operators.links import page_url
from airflow_provider_liftos.operators.task import (
    Entry,
    LiftosOperator,
    days_of,
    read_manifest,
    staged,
)

if TYPE_CHECKING:
    from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
    from airflow_provider_liftos.model.report import Slice
    from airflow_provider_liftos.state.store import StateStore
    from airflow_provider_liftos.warehouses.contract import Restatement, Warehouse

_NAMED = 3
_SHOWN = 20
_HELD = frozenset({"quarantine", "fail"})


class LiftosPublishOperator(LiftosOperator):
    """Publish the slices that the audit allows, then say whether anything is missing.

    ``audited`` is the audit task's result. ``on_partial`` is what becomes of the task when some
    slices could not be published or planned accounts are missing: ``fail`` (after publishing the
    others) or ``warn``; None is ``[liftos] on_partial``. Either way the run ledger calls it
    partial. The result, and the asset event, say ``status`` (``complete`` or ``partial``), which
    accounts are ``missing``, and the ``warnings`` of all tasks of the run.
    """

    phase: ClassVar[str] = "publish"
    template_fields: Sequence[str] = ("audited",)

    def __init__(
        self,
        *,
        audited: Mapping[str, Any] | XComArg,
        warehouse_conn_id: str | None = None,
        on_partial: str | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 2)
        super().__init__(**kwargs)
        self.audited: Any = audited
        self.warehouse_conn_id = warehouse_conn_id
        self.on_partial = on_partial
        if on_partial is not None:
            config.on_partial(on_partial)
        self.datasets: list[str] = []

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Raises QualityError if something was held back, after publishing all the rest."""
        with self.recorded(context) as entry:
            policy = config.on_partial(self.on_partial)
            staging = config.staging()
            manifest = read_manifest(staging, self.audited)
            verdicts = staging.read_json(str(self.audited["decisions"]))
            entry.window = days_of(manifest)
            held = {d["fingerprint"]: d for d in verdicts["decisions"] if d["verdict"] in _HELD}
            missing = verdicts.get("missing") or {}
            store = config.state_store()
            warehouse = open_warehouse(
                self.warehouse_conn_id, manifest.org_id, store, mock=manifest.is_mock
            )
            free = [cut for cut in manifest.slices if cut.slice.fingerprint() not in held]
            published = restated = 0
            work = staged(())
            for cut, done in warehouse.publish_each(
                free,
                manifest.load_id,
                manifest.org_id,
                store.clock.now,
                table_of=self._table,
                note=lambda cut: partial(self._note, store, manifest, cut.slice),
            ):
                settle(context, manifest, cut)
                published += 1
                size = work.bytes + staged([cut]).bytes
                work = entry.work = replace(work, rows=work.rows + done.rows_after, bytes=size)
                restated += len({one.date for one in done.restated})
                entry.detail = {"slices": published, "held": len(held), "days_restated": restated}
            keep_slices(context, manifest, {print_: _why(d) for print_, d in held.items()})
            warehouse.discard(manifest.load_id, keep=held)
            warehouse.settle(
                manifest.org_id,
                manifest.platform,
                config.restatement_days(self.hook.platform),
                store.clock.now(),
            )
            self._refresh(entry, warehouse)
            entry.warnings = (
                *(f"{account} was not extracted: {why}" for account, why in missing.items()),
                *(_line(d) for d in held.values()),
            )
            self.datasets = sorted(
                {f"{warehouse.layout.schema}.{s.table}" for s in manifest.slices}
            )
            summary = self._summary(manifest, work.rows, published, len(entry.warnings))
            ti = context["ti"]
            summary["quality_report"] = page_url("quality", ti.dag_id, ti.run_id)
            summary |= self._partial(context, entry, manifest, sorted(missing))
            self._tell(context, summary)
            if entry.warnings and policy == "fail":
                raise QualityError(
                    _told(published, len(held), len(missing), entry.warnings),
                    score=float(self.audited["score"] or 0),
                    failed=entry.warnings,
                )
            return summary

    def _refresh(self, entry: Entry, warehouse: Warehouse) -> None:
        """Give readers what is published; or else they keep what they had."""
        try:
            warehouse.after_run()
        except WarehouseError as error:
            self.log.warning("published, but: %s", error)
            entry.detail = {**entry.detail, "not_refreshed": str(error)}

    def _table(self, cut: SliceResult) -> str:
        if cut.slice.report:
            return cut.table
        return self.hook.platform.stream(str(cut.slice.stream)).table

    def _summary(self, manifest: Manifest, rows: int, published: int, held: int) -> dict[str, Any]:
        keep = ("platform", "load_id", "since", "until", "score", "level")
        facts = {name: self.audited.get(name) for name in keep}
        accounts = len({cut.slice.account_id for cut in manifest.slices})
        if manifest.is_mock:
            facts["is_mock"] = True
        return {**facts, "rows": rows, "accounts": accounts, "published": published, "held": held}

    def _partial(
        self, context: Mapping[str, Any], entry: Entry, manifest: Manifest, missing: Sequence[str]
    ) -> dict[str, Any]:
        """Whether the run is whole, and what its tasks had to say, for people and downstream."""
        for line in entry.warnings:
            self.log.warning(line)
        if entry.warnings:
            entry.status = "partial"
        warnings = [*entry.warnings, *self._said_before(context, manifest.org_id)]
        status = "partial" if entry.warnings else "complete"
        shown = list(dict.fromkeys(warnings))[:_SHOWN]
        return {"status": status, "missing": list(missing), "warnings": shown}

    def _said_before(self, context: Mapping[str, Any], org_id: str) -> list[str]:
        """Warnings of plan and extract in this run, such as fields and versions that are gone."""
        from airflow_provider_liftos.state.ledger import Ledger

        ti, ledger = context["ti"], Ledger(config.state_store(), org_id)
        entries = ledger.rows(dag_id=ti.dag_id, run_id=ti.run_id, platform=self.platform)
        return [
            text
            for entry in reversed(entries)
            if entry.run.phase in {"plan", "extract"}
            for text in entry.warnings
        ]

    def _tell(self, context: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
        """Put the numbers beside the asset event, where downstream DAGs find them."""
        self.log.info("published %(rows)s rows of %(published)s slices", dict(summary))
        events = context.get("outlet_events")
        if events is None:
            return
        for outlet in self.outlets or ():
            events[outlet].extra = dict(summary)

    def _note(
        self, store: StateStore, manifest: Manifest, cut: Slice, moved: Sequence[Restatement]
    ) -> None:
        """Into the restatement ledger; the warehouse calls it before it commits."""
        from airflow_provider_liftos.state import restatements

        if cut.report is not None and not manifest.is_mock:
            restatements.note(
                store, manifest.org_id, platform=manifest.platform, account_id=cut.account_id,
                report=cut.report.name, level=str(cut.report.level), load_id=manifest.load_id,
                moved=[(str(m.date), m.metric, m.old, m.new) for m in moved],
            )  # fmt: skip

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> Any:
        """The published tables as output."""
        return lineage.facets(self.platform, self.warehouse_conn_id, outputs=self.datasets)


def _told(published: int, held: int, missing: int, lines: Sequence[str]) -> str:
    accounts = f", {missing} of the accounts did not come" if missing else ""
    more = f"; and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return (
        f"{published} slices are published, {held} were held back{accounts}: "
        + "; ".join(lines[:_NAMED])
        + more
    )


def _why(decision: Mapping[str, Any]) -> str:
    return "held back by the audit: " + ", ".join(decision.get("reasons") or ("no reason given",))


def _line(decision: Mapping[str, Any]) -> str:
    reasons = ", ".join(decision.get("reasons") or ())
    return f"{decision['account_id']} {decision['label']}: {reasons}"
