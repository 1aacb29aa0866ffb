"""The page of a run's quality, for logged-in users who may see the DAG."""

from __future__ import annotations

from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse


def install(app: FastAPI) -> None:
    """Add the route to the plugin's application."""

    @app.get(
        "/quality/{dag_id}/{run_id:path}",
        dependencies=[Depends(requires_access_dag("GET"))],
        response_class=HTMLResponse,
    )
    def quality_page(dag_id: str, run_id: str) -> HTMLResponse:
        from airflow_provider_liftos.hooks import config
        from airflow_provider_liftos.operators.links import page_url
        from airflow_provider_liftos.quality.report import read
        from airflow_provider_liftos.quality.report_page import HEADERS, render

        report = read(config.state_store(), dag_id, run_id)
        content = render(report, ledger_url=page_url("runs", dag_id, run_id))
        return HTMLResponse(content, headers=dict(HEADERS))
