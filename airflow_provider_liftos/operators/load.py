"""Load: everything a run brought, into the audit schema, where nobody but the audit looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.model.errors import Rejected
from airflow_provider_liftos.operators import lineage
from airflow_provider_liftos.operators.task import (
    LiftosOperator,
    days_of,
    read_manifest,
    staged,
    write_manifest,
)


class LiftosLoadOperator(LiftosOperator):
    """Load normalized manifests. ``normalized`` is one result of a normalize task, or several."""

    phase: ClassVar[str] = "load"
    template_fields: Sequence[str] = ("normalized",)

    def __init__(
        self,
        *,
        normalized: Any,
        warehouse_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 2)
        super().__init__(**kwargs)
        self.normalized = normalized
        self.warehouse_conn_id = warehouse_conn_id
        self.datasets: list[str] = []

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Raises StagingError when a file is not what its manifest says; nothing is loaded then."""
        from airflow_provider_liftos.engine.manifest import join

        with self.recorded(context) as entry:
            staging = config.staging()
            manifest = join([read_manifest(staging, item) for item in self._items()])
            entry.window = days_of(manifest)
            store = config.state_store()
            warehouse = open_warehouse(
                self.warehouse_conn_id, manifest.org_id, store, mock=manifest.is_mock
            )
            rows = warehouse.load(manifest, staging=staging)
            complete = [cut for cut in manifest.slices if cut.status == "complete"]
            entry.work = replace(staged(complete), rows=rows)
            entry.warnings = tuple(f"{s.slice.account_id} {s.slice.label}: {s.error}"
                                   for s in manifest.failed)  # fmt: skip
            self.datasets = sorted(
                {warehouse.layout.audit_schema + "." + s.table for s in manifest.slices}
            )
            return write_manifest(staging, manifest, self.phase)

    def _items(self) -> list[Mapping[str, Any]]:
        given = self.normalized
        items = [given] if isinstance(given, Mapping) else [item for item in given or () if item]
        if not items:
            raise Rejected(
                "there is nothing to load: no extract task of this run has ended well",
                platform=self.platform,
                hint="Look at the extract tasks; each says what went wrong.",
            )
        return items

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> Any:
        """The platform as input, the audit tables as output."""
        return lineage.facets(self.platform, self.warehouse_conn_id, outputs=self.datasets)
