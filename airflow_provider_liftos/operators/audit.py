"""Audit: judge what was loaded, before anybody can see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from airflow.sdk import XComArg

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.operators.task import (
    LiftosOperator,
    days_of,
    read_manifest,
    staged,
)

_SHOWN = 12


class LiftosAuditOperator(LiftosOperator):
    """Run the suite over all slices of a run; returns decisions and scores.

    ``loaded`` is the load task's result, ``planned`` the plan task's: accounts that were planned
    and did not come are findings, and ``missing`` in the result. ``block_on`` and
    ``minimum_score`` say what keeps a slice from being published.
    """

    phase: ClassVar[str] = "audit"
    template_fields: Sequence[str] = ("loaded", "planned")

    def __init__(
        self,
        *,
        loaded: Mapping[str, Any] | XComArg,
        planned: Sequence[Mapping[str, Any]] | XComArg = (),
        warehouse_conn_id: str | None = None,
        block_on: Sequence[str] = ("critical",),
        minimum_score: float = 60.0,
        severities: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 1)
        super().__init__(**kwargs)
        self.loaded: Any = loaded
        self.planned: Any = planned
        self.warehouse_conn_id = warehouse_conn_id
        self.block_on = block_on
        self.minimum_score = minimum_score
        self.severities = severities

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Never fails for bad data: it says what may be published, and publish does the rest."""
        from airflow_provider_liftos.quality.audit import audit
        from airflow_provider_liftos.quality.policy import Policy
        from airflow_provider_liftos.quality.results import record

        with self.recorded(context) as entry:
            staging = config.staging()
            manifest = read_manifest(staging, self.loaded)
            entry.window = days_of(manifest)
            store = config.state_store()
            platform = self.hook.platform
            outcome = audit(
                manifest,
                warehouse=open_warehouse(
                    self.warehouse_conn_id, manifest.org_id, store, mock=manifest.is_mock
                ),
                expected_accounts=self._expected("accounts"),
                unplanned=self._expected("failed"),
                today=datetime.fromtimestamp(store.clock.now(), UTC),
                policy=Policy(block_on=frozenset(self.block_on), minimum_score=self.minimum_score),
                delay_days=platform.availability.delay_days,
                coverage=platform.coverage,
                severities=self.severities,
                staging=staging,
            )
            ti = context["ti"]
            record(
                store, outcome, org_id=manifest.org_id, dag_id=ti.dag_id, run_id=ti.run_id,
                load_id=manifest.load_id,
            )  # fmt: skip
            self.log.info(
                "score %s (%s): %s findings, %s of %s slices blocked", outcome.score.value,
                outcome.score.level, len(outcome.failed), len(outcome.blocked),
                len(outcome.decisions),
            )  # fmt: skip
            if outcome.settled:
                self.log.info(
                    "%s slices are published already and were judged as they are there",
                    len(outcome.settled),
                )
            lines = [finding.told for finding in outcome.failed]
            for line in lines[:_SHOWN]:
                self.log.warning(line)
            entry.work = staged(manifest.slices)
            entry.warnings = tuple(lines)
            entry.detail = {"score": outcome.score.value, "level": outcome.score.level}
            folder = staging.folder("manifests", manifest.platform, manifest.load_id, self.phase)
            return {
                **self.loaded,
                "decisions": staging.write_json(folder, outcome.to_json()),
                "score": outcome.score.value,
                "level": outcome.score.level,
                "blocked": len(outcome.blocked),
                "missing": list(outcome.missing),
            }

    def _expected(self, key: str) -> dict[str, str]:
        """Accounts of the plan's batches, with what kept one from being planned."""
        items = [item for batch in self.planned or () for item in batch.get(key) or ()]
        return {_account_id(item): str(item.get("error", "")) for item in items}


def _account_id(item: Mapping[str, Any]) -> str:
    account = item.get("account", item)
    return str(account["account_id"] if isinstance(account, Mapping) else account)
