"""Routes of the plugin; each asks for a logged-in user who may see the DAG."""

from __future__ import annotations

import html
import time
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

from airflow_provider_liftos.plugins import oauth, quality

if TYPE_CHECKING:
    from airflow_provider_liftos.state.ledger import Entry


def create_app() -> FastAPI:
    """The application that Airflow mounts."""
    app = FastAPI(title="liftos", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get(
        "/runs/{dag_id}/{run_id:path}",
        dependencies=[Depends(requires_access_dag("GET"))],
        response_class=HTMLResponse,
    )
    def run_page(dag_id: str, run_id: str) -> str:
        return page(dag_id, run_id, entries(dag_id, run_id))

    oauth.install(app)
    quality.install(app)
    return app


def entries(dag_id: str, run_id: str) -> list[Entry]:
    """The run's ledger entries, oldest first, whichever organization its connection names."""
    from sqlalchemy import select

    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.state.ledger import Ledger
    from airflow_provider_liftos.state.tables import run_ledger

    store = config.state_store()
    column = run_ledger.c
    mine = select(column.org_id).where(column.dag_id == dag_id, column.run_id == run_id).distinct()
    with store.read() as connection:
        organizations = connection.execute(mine).scalars().all()
    found = [
        entry
        for org_id in organizations
        for entry in Ledger(store, org_id).rows(dag_id=dag_id, run_id=run_id)
    ]
    return sorted(found, key=lambda entry: entry.started_at)


_COLUMNS = (
    "task", "try", "status", "started", "seconds", "rows", "requests", "retries", "waited",
    "reports", "wasted", "warnings and errors",
)  # fmt: skip


def page(dag_id: str, run_id: str, found: list[Any]) -> str:
    """A plain table that reads on a phone and needs no network."""
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    body = "".join(f"<tr>{_cells(entry)}</tr>" for entry in found)
    title = html.escape(f"Run ledger: {dag_id} / {run_id}")
    empty = "" if found else "<p>No entry yet: no task of this run has started.</p>"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>{empty}"
        f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></html>"
    )


def _cells(entry: Entry) -> str:
    run, work = entry.run, entry.work
    task = run.task_id + (f"[{run.map_index}]" if run.map_index >= 0 else "")
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(entry.started_at)) + " UTC"
    seconds = f"{entry.finished_at - entry.started_at:.1f}" if entry.finished_at else ""
    words = "\n".join((*([entry.error] if entry.error else []), *entry.warnings))
    values = (
        task, run.try_number, entry.status, started, seconds, f"{work.rows:,}", work.requests,
        work.retries, f"{work.throttled_seconds:.0f} s", work.reports_submitted,
        work.reports_wasted, words,
    )  # fmt: skip
    return "".join(f"<td>{html.escape(str(value))}</td>" for value in values)


_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:1.5rem;color:#1a202c;background:#fff}"
    "h1{font-size:1.1rem}div{overflow-x:auto}table{border-collapse:collapse}"
    "th,td{padding:.35rem .6rem;border-bottom:1px solid #e2e8f0;text-align:left;"
    "vertical-align:top;white-space:nowrap}td:last-child{white-space:pre-line;min-width:24rem}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}th,td{border-color:#333}}"
)
