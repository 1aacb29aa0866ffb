"""Keeping the house small: what is older than its retention goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.operators.task import Entry, LiftosOperator

if TYPE_CHECKING:
    from airflow_provider_liftos.model.errors import LiftosError

_DAY = 86_400.0


class LiftosMaintenanceOperator(LiftosOperator):
    """Delete what is kept for longer than ``[liftos] retention_days`` says; returns the counts.

    That is the state store's ledgers, results, letters, checkpoints and idle limits, of all
    organizations; staged files, also those of killed tasks in this host's temporary folder; and
    what waits in the audit schema of the warehouses (None: the default one). What one of them
    refuses does not stop the others. A warehouse that is a file is rewritten when more than half of
    it is free. It may be killed anywhere, and goes on the next time.
    """

    phase: ClassVar[str] = "maintenance"

    def __init__(
        self, *, warehouse_conn_ids: Sequence[str | None] = (None,), **kwargs: Any
    ) -> None:
        kwargs.setdefault("retries", 2)
        super().__init__(platform="all", **kwargs)
        self.warehouse_conn_ids = list(warehouse_conn_ids)

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Raises what the state store, staging or a warehouse refuses, after doing all the rest."""
        from airflow_provider_liftos.model.errors import LiftosError
        from airflow_provider_liftos.state.ledger import Work

        with self.recorded(context) as entry:
            days = config.retention_days()
            troubles: list[LiftosError] = []
            for name, part in self._parts(days).items():
                try:
                    entry.detail = {**entry.detail, name: part()}
                except LiftosError as error:
                    self.log.warning("%s: %s", name, error)
                    troubles.append(error)
            self._sum_up(entry, troubles)
            self.log.info("deleted: %s", entry.detail)
            entry.work = Work(
                rows=sum(entry.detail.get("state_store", {}).values()),
                bytes=entry.detail.get("staging", {}).get("bytes", 0),
            )
            if troubles:
                raise troubles[0]
            return entry.detail

    def _parts(self, days: Mapping[str, int]) -> dict[str, Callable[[], Any]]:
        return {
            "staging": lambda: _sweep(days["staging"]),
            "temporary": lambda: _clear(days["staging"]),
            **{
                f"audit_schema {conn_id or ''}".strip(): lambda c=conn_id: _discard(  # type: ignore[misc]
                    c, days["audit_schema"]
                )
                for conn_id in self.warehouse_conn_ids
            },
            **{
                f"compacted {conn_id or ''}".strip(): lambda c=conn_id: _compact(c)  # type: ignore[misc]
                for conn_id in self.warehouse_conn_ids
            },
            # Last: staged files are kept as long as checkpoints name them.
            "state_store": lambda: _enforce(days),
        }

    def _sum_up(self, entry: Entry, troubles: Sequence[LiftosError]) -> None:
        entry.warnings = tuple(str(error) for error in troubles)
        if undated := entry.detail.get("staging", {}).get("undated"):
            entry.warnings += (
                f"{undated} staged files stay: their store does not say how old they are",
            )


class LiftosMirrorOperator(LiftosOperator):
    """Copy the control tables of organizations into a warehouse, where people can query them.

    ``run_ledger``, ``quality_results``, ``quality_scores``, ``dead_letters``, ``restatements`` and
    ``audit_log``, beside the published tables and without payloads. Name those organizations in
    ``org_ids`` whose readers may read this warehouse.
    """

    phase: ClassVar[str] = "mirror"

    def __init__(
        self,
        *,
        warehouse_conn_id: str | None = None,
        org_ids: Sequence[str] = ("default",),
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 2)
        super().__init__(platform="all", **kwargs)
        self.warehouse_conn_id = warehouse_conn_id
        self.org_ids = list(org_ids)

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Returns how many entries were copied of each table. Raises what a warehouse refuses."""
        from airflow_provider_liftos.state.leases import Leases
        from airflow_provider_liftos.state.ledger import Work
        from airflow_provider_liftos.warehouses.mirror import mirror

        with self.recorded(context, self.org_ids[0]) as entry:
            store = config.state_store()
            for org_id in self.org_ids:
                warehouse = open_warehouse(self.warehouse_conn_id, org_id, store)
                warehouse.prepare()
                # Two at once would copy everything twice.
                with Leases(store, org_id).held(f"mirror/{self.warehouse_conn_id}", ttl=3600.0):
                    entry.detail = {**entry.detail, org_id: mirror(store, warehouse, org_id)}
            entry.work = Work(rows=sum(sum(one.values()) for one in entry.detail.values()))
            return entry.detail


def _enforce(days: Mapping[str, int]) -> dict[str, int]:
    from airflow_provider_liftos.state.retention import enforce

    found = enforce(config.state_store(), days)
    return {name: count for name, count in found.items() if count}


def _sweep(days: int) -> dict[str, int]:
    from dataclasses import asdict

    from airflow_provider_liftos.engine.sweeping import needed, sweep

    # Files have the time of their own store, which is a clock of this world.
    before = time.time() - days * _DAY
    return asdict(sweep(config.staging(), before=before, keep=needed(config.state_store())))


def _clear(days: int) -> int:
    from airflow_provider_liftos.engine.temporary import clear_temporary

    return clear_temporary(time.time() - days * _DAY)


def _compact(conn_id: str | None) -> dict[str, int]:
    store = config.state_store()
    return dict(open_warehouse(conn_id, "default", store).compact())


def _discard(conn_id: str | None, days: int) -> int:
    from airflow_provider_liftos.warehouses.waiting import discard_old, is_there

    store, discarded = config.state_store(), 0
    for mock in (False, True):
        warehouse = open_warehouse(conn_id, "default", store, mock=mock)
        if not mock:
            warehouse.prepare()
        if is_there(warehouse):
            discarded += discard_old(warehouse, store.clock.now() - days * _DAY)
    return discarded
