"""Exchange rates of the European Central Bank, into the warehouse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import Asset

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.operators.task import LiftosOperator

if TYPE_CHECKING:
    from airflow_provider_liftos.state.store import StateStore
    from airflow_provider_liftos.warehouses.contract import Warehouse
    from airflow_provider_liftos.warehouses.rates import Gap

ECB = "ecb"
FILES = ("auto", "daily", "hist-90d", "hist")
FX_RATES_ASSET = Asset(name="liftos_fx_rates", uri="liftos://fx_rates")

_LOOKED_AT = 20
_RECENT = timedelta(days=80)  # hist-90d reaches back a little further
_KEPT = timedelta(days=11 * 366)  # no platform keeps reports for longer


class LiftosFxRatesOperator(LiftosOperator):
    """Load the reference rates, and name the accounts whose currency has none.

    ``file`` is ``daily`` (one day), ``hist-90d``, ``hist`` (eleven years of it are kept), or
    ``auto``: 90 days, or all of it where more than that is missing. Rates are the same for all
    organizations; ``org_ids`` says whose rows they are to convert. With ``auto`` a file that is in
    the warehouse already is not sent again: the ledger's last entry knows its validators.
    """

    phase: ClassVar[str] = "fx_rates"
    template_fields: Sequence[str] = ("file",)

    def __init__(
        self,
        *,
        conn_id: str = "liftos_ecb_default",
        warehouse_conn_id: str | None = None,
        org_ids: Sequence[str] = ("default",),
        file: str = "auto",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 3)
        kwargs.setdefault("outlets", [FX_RATES_ASSET])
        super().__init__(platform=ECB, conn_id=conn_id, **kwargs)
        self.warehouse_conn_id = warehouse_conn_id
        self.org_ids = list(org_ids)
        self.file = file

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Raises Unavailable when the file does not come or is broken; known rates stay."""
        from airflow_provider_liftos.hooks.ecb import EcbHook
        from airflow_provider_liftos.quality.rates import record_gaps
        from airflow_provider_liftos.state.ledger import Work
        from airflow_provider_liftos.transforms.rates import every_day, read_ecb
        from airflow_provider_liftos.warehouses.rates import gaps

        with self.recorded(context, self.org_ids[0]) as entry:
            store = config.state_store()
            now = store.clock.now()
            today = datetime.fromtimestamp(now, UTC).date()
            warehouse = open_warehouse(self.warehouse_conn_id, self.org_ids[0], store)
            warehouse.prepare()
            file = self._file(warehouse, today)
            before = self._loaded(store, warehouse, file)
            found = EcbHook(self.conn_id).rates(file, before.get("validators", {}))
            if found.content is None:
                rows, span = 0, before["days"]
            else:
                published = read_ecb(found.content)
                span = [str(min(published)), str(max(published))]
                rates = list(every_day({d: r for d, r in published.items() if d >= today - _KEPT}))
                rows = sum(warehouse.replace_rates(rates, org, now) for org in self.org_ids)
            missing: dict[str, list[Gap]] = {}
            for org in self.org_ids:
                missing[org] = list(gaps(warehouse, org))
                record_gaps(store, missing[org], org_id=org, run=context["ti"])
            entry.work = Work(rows=rows, requests=1, bytes=len(found.content or b""))
            entry.window = (span[0], span[1])
            entry.warnings = tuple(_told(gap) for gaps_ in missing.values() for gap in gaps_)
            summary = {"file": file, "newest": span[1], "unchanged": found.content is None}
            entry.detail = {
                **summary, "days": span, "validators": dict(found.validators),
                "org_ids": self.org_ids, "warehouse": self._warehouse(),
            }  # fmt: skip
            for line in entry.warnings:
                self.log.warning(line)
            return {"rows": rows, **summary, "without_rate": list(entry.warnings)}

    def _loaded(self, store: StateStore, warehouse: Warehouse, file: str) -> dict[str, Any]:
        """What the ledger says of this file, if the warehouse has it still; else nothing.

        A person who names a file wants it in full.
        """
        from airflow_provider_liftos.state.ledger import SUCCESS, Ledger
        from airflow_provider_liftos.warehouses.rates import newest

        if self.file != "auto":
            return {}
        ledger = Ledger(store, self.org_ids[0])
        entries = ledger.rows(platform=ECB, phase=self.phase, status=SUCCESS, limit=_LOOKED_AT)
        here = {"file": file, "org_ids": self.org_ids, "warehouse": self._warehouse()}
        for entry in entries:
            if {name: entry.detail.get(name) for name in here} == here:
                days = {str(newest(warehouse, org)) for org in self.org_ids}
                return dict(entry.detail) if days == {entry.detail["newest"]} else {}
        return {}

    def _warehouse(self) -> str:
        from airflow_provider_liftos.hooks.warehouse import lineage_of

        return "".join(lineage_of(self.warehouse_conn_id))

    def _file(self, warehouse: Warehouse, today: date) -> str:
        from airflow_provider_liftos.warehouses.rates import newest

        if self.file not in FILES:
            raise ConfigurationError(f"file is {self.file!r}; it is one of {', '.join(FILES)}")
        if self.file != "auto":
            return self.file
        known = [newest(warehouse, org) for org in self.org_ids]
        return "hist-90d" if all(day and today - day < _RECENT for day in known) else "hist"


def _told(gap: Gap) -> str:
    where = f"{gap.platform} {gap.account_id}"
    return f"{where}: {gap.line}; its money stays null in the reporting currency"
