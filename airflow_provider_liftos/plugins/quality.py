"""A run's quality as a page and as JSON, for logged-in users who may see the DAG; the rules."""

from __future__ import annotations

import json
from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response


def install(app: FastAPI) -> None:
    """Add the routes to the plugin's application."""
    of_dag = [Depends(requires_access_dag("GET"))]
    app.get("/quality/{dag_id}/{run_id:path}", dependencies=of_dag, response_class=HTMLResponse)(
        quality_page
    )
    app.get("/api/quality/rules")(quality_rules)
    app.get("/api/quality/{dag_id}", dependencies=of_dag)(quality_newest)
    app.get("/api/quality/{dag_id}/{run_id:path}", dependencies=of_dag)(quality_run)


def quality_page(dag_id: str, run_id: str) -> HTMLResponse:
    """The page of a run."""
    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.operators.links import page_url
    from airflow_provider_liftos.quality.report import read
    from airflow_provider_liftos.quality.report_page import HEADERS, render

    report = read(config.state_store(), dag_id, run_id)
    content = render(report, ledger_url=page_url("runs", dag_id, run_id))
    return HTMLResponse(content, headers=dict(HEADERS))


def quality_rules(user: GetUserDep) -> Response:  # noqa: ARG001  that there is one is asked
    """Every built-in rule with severity, weight, dimension and advice."""
    from airflow_provider_liftos.quality.report_json import all_rules

    return _told({"rules": all_rules()})


def quality_newest(dag_id: str) -> Response:
    """What the page shows of the run that was audited last."""
    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.quality.report_json import newest_run

    run_id = newest_run(config.state_store(), dag_id)
    return quality_run(dag_id, run_id) if run_id else _not_judged()


def quality_run(dag_id: str, run_id: str) -> Response:
    """What the page of a run shows."""
    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.quality.report import read
    from airflow_provider_liftos.quality.report_json import as_json

    report = read(config.state_store(), dag_id, run_id)
    return _told(as_json(report)) if report.platforms else _not_judged()


def _not_judged() -> Response:
    return _told({"detail": "nothing of it has been judged, or it is older than what is kept"}, 404)


def _told(content: Any, status: int = 200) -> Response:
    """JSON in ASCII: words of strangers may hold what has no other form."""
    return Response(
        json.dumps(content), status, {"Cache-Control": "no-store"}, "application/json"
    )  # fmt: skip
