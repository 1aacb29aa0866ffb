"""All platforms side by side, whenever one of them has published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.operators.assets import CROSS_PLATFORM_ASSET
from airflow_provider_liftos.operators.task import LiftosOperator


class LiftosCrossPlatformOperator(LiftosOperator):
    """Compare what each platform cost and earned in the last ``last_days`` published days.

    Money is in ``[liftos] reporting_currency``. Returns ``platforms`` (totals of each, amounts as
    texts), ``since``, ``until`` and ``warnings``: a platform that lags behind the others, days
    without an exchange rate. Asks no platform anything.
    """

    phase: ClassVar[str] = "cross_platform"
    template_fields: Sequence[str] = ("org_id",)

    def __init__(
        self,
        *,
        warehouse_conn_id: str | None = None,
        org_id: str = "default",
        last_days: int = 30,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 2)
        kwargs.setdefault("outlets", [CROSS_PLATFORM_ASSET])
        super().__init__(platform="all", **kwargs)
        self.warehouse_conn_id = warehouse_conn_id
        self.org_id = org_id
        self.last_days = last_days

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the comparison. Raises what the warehouse refuses."""
        from airflow_provider_liftos.state.ledger import Work
        from airflow_provider_liftos.warehouses.cross_platform import totals

        with self.recorded(context, self.org_id) as entry:
            store = config.state_store()
            warehouse = open_warehouse(self.warehouse_conn_id, self.org_id, store)
            until = datetime.fromtimestamp(store.clock.now(), UTC).date()
            since = until - timedelta(days=self.last_days)
            found, warnings = totals(warehouse, self.org_id, since, until)
            for one in found:
                self.log.info(
                    "%s: %s accounts, %s to %s, spend %s %s, %s conversions, ROAS %s",
                    one.platform, one.accounts, one.first_day, one.last_day, one.spend,
                    one.currency, one.conversions, one.roas,
                )  # fmt: skip
            for text in warnings:
                self.log.warning(text)
            entry.work = Work(rows=len(found))
            entry.window = (str(since), str(until))
            entry.warnings = tuple(warnings)
            return {
                "since": str(since),
                "until": str(until),
                "platforms": [one.to_json() for one in found],
                "warnings": warnings,
            }
