"""DAGs that only the live tests run: the shipped pipeline on warehouses of their own."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, BaseOperator

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.pipelines import PlatformPipeline
from airflow_provider_liftos.triggers.report import ReportTrigger

SOON = {"retry_delay": timedelta(seconds=1)}
PATIENT = {"retry_delay": timedelta(minutes=5)}


def pipeline(
    name: str, *, conn_id: str = "liftos_meta_live", **options: object
) -> PlatformPipeline:
    options.setdefault("reports", ["basic:campaign", "basic:ad"])
    options.setdefault("streams", ["campaigns"])
    return PlatformPipeline(
        "meta", conn_id=conn_id, warehouse_conn_id=f"warehouse_{name}", **options
    )


def manual(name: str, default_args: dict = SOON, **options: object) -> DAG:
    return pipeline(name, **options).dag(
        f"live_{name}", schedule=None, default_args=default_args, max_active_runs=4
    )


steady = manual("steady")
killed = manual("killed")
cleared = manual("cleared", conn_id="liftos_meta_some", reports=["basic:campaign"], streams=())
faulty = manual("faulty", conn_id="liftos_meta_faulty", reports=["basic:campaign"], streams=())
capped = manual("capped", conn_id="liftos_meta_capped", reports=["basic:campaign"], streams=())
refused = manual("refused", PATIENT, conn_id="liftos_meta_refused")


def scheduled(name: str, schedule: str) -> DAG:
    some = pipeline(name, conn_id="liftos_meta_some", reports=["basic:campaign"], streams=())
    return some.dag(f"live_{name}", schedule=schedule, default_args=SOON, max_active_runs=2)


weekly = scheduled("weekly", "0 10 * * 1")
daily = scheduled("daily", "0 10 * * *")


class Wait(BaseOperator):
    """Defers once, as an extract task does that waits for a limit."""

    def __init__(self, *, number: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.number = number

    def execute(self, context: dict, event: dict | None = None) -> str:
        if event is None:
            self._wait(context)
        return event["status"]

    def _wait(self, context: dict) -> None:
        seconds = context["params"]["min_defer_seconds"]
        now = time.time()
        least = config.number("min_defer_seconds") if seconds is None else seconds
        self.defer(
            trigger=ReportTrigger("meta", "liftos_meta_live", "none", 1.0, now + least, now + 0.5),
            method_name="execute",
        )


with DAG(
    "live_deferrals",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    params={"min_defer_seconds": None},
    max_active_runs=3,
):
    Wait.partial(task_id="wait", retries=0).expand(number=list(range(30)))
