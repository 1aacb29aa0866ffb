"""A small client of Airflow's REST API (``/api/v2``, Airflow 3.2 and later)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2

from airflow_provider_liftos.model.errors import LiftosError

JSON = dict[str, Any]

_HTTP_OK = 300
_UNAUTHORIZED = 401
_NOT_FOUND = 404
_CONFLICT = 409
_LOG_FRAME = frozenset(
    {"event", "timestamp", "level", "logger", "filename", "lineno"}
    | {"dag_id", "run_id", "task_id", "map_index", "ti_id", "try_number"}
)
"""Keys of a log event that say where it comes from, which the reader of a task's log knows."""
_FINISHED = frozenset({"success", "failed"})


class AirflowApiError(LiftosError):
    """Airflow refused a request, or what was waited for did not come."""


class AirflowApi:
    """Calls as the only user of an Airflow whose SimpleAuthManager takes everybody as admin.

    Every method raises ``AirflowApiError`` when Airflow answers with an error or not at all.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 60.0,
        poll: float = 0.5,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._poll = poll
        self._token: str | None = None
        # trust_env off: a proxy of the caller's environment never sees loopback traffic
        self._http = httpx2.Client(
            base_url=self.base_url, timeout=timeout, trust_env=False, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # --- the server ---------------------------------------------------------------------------

    def token(self) -> str:
        """Return a bearer token (valid for a day), asked for once and again after a 401."""
        if self._token is None:
            answer = self._send("GET", "/auth/token")
            self._token = str(_body(answer, "GET /auth/token")["access_token"])
        return self._token

    def health(self) -> JSON:
        """Return Airflow's verdict on the database and each component; needs no token."""
        path = "/api/v2/monitor/health"
        return _body(self._send("GET", path), f"GET {path}")

    def warm_up(self) -> None:
        """Ask the Execution API once; it is built on the first request, which takes seconds."""
        self._send("GET", "/execution/health")

    def jobs(self, job_type: str) -> list[JSON]:
        """Return the newest jobs of a type (``SchedulerJob``, ``TriggererJob``, ...)."""
        found: list[JSON] = self.get("jobs", job_type=job_type, order_by="-start_date", limit=20)[
            "jobs"
        ]
        return found

    # --- DAGs and runs ------------------------------------------------------------------------

    def wait_for_dag(self, dag_id: str, timeout: float = 60.0) -> JSON:
        """Wait until the DAG is read; fail early if a file named after it cannot be imported."""
        until = time.monotonic() + timeout
        while True:
            answer = self._authorized("GET", f"/api/v2/dags/{quote(dag_id)}")
            if answer.status_code != _NOT_FOUND:
                return _body(answer, f"DAG {dag_id}")
            errors = self.import_errors()
            late = time.monotonic() >= until
            if late or any(PurePath(name).stem == dag_id for name in errors):
                seen = "".join(f"\n--- {name}\n{trace}" for name, trace in errors.items())
                raise AirflowApiError(
                    f"DAG {dag_id} does not appear.{seen or ' No import errors.'}"
                )
            time.sleep(self._poll)

    def import_errors(self) -> dict[str, str]:
        """Return the stack trace of each DAG file that cannot be imported."""
        found = self.get("importErrors", limit=100)["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in found}

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler start runs of the DAG."""
        self.call("PATCH", f"dags/{quote(dag_id)}", {"is_paused": False})

    def post_dag_run(
        self,
        dag_id: str,
        conf: Mapping[str, Any] | None = None,
        logical_date: datetime | None = None,
        **fields: Any,
    ) -> str:
        """Start a manual run and return its id; ``fields`` are further ones of the request."""
        date = logical_date.isoformat() if logical_date else None
        body = {"conf": dict(conf or {}), "logical_date": date, **fields}
        return str(self.call("POST", f"dags/{quote(dag_id)}/dagRuns", body)["dag_run_id"])

    def dag_run(self, dag_id: str, run_id: str) -> JSON:
        """Return one run."""
        return self.get(_run(dag_id, run_id))

    def dag_runs(self, dag_id: str) -> list[JSON]:
        """Return the newest runs of a DAG, newest first."""
        path = f"dags/{quote(dag_id)}/dagRuns"
        found: list[JSON] = self.get(path, order_by="-run_after", limit=100)["dag_runs"]
        return found

    def wait_dag_run(self, dag_id: str, run_id: str, timeout: float = 300.0) -> str:
        """Wait until the run is over and return ``success`` or ``failed``."""
        until = time.monotonic() + timeout
        while (state := str(self.dag_run(dag_id, run_id)["state"])) not in _FINISHED:
            if time.monotonic() >= until:
                tasks = {t["task_id"]: t["state"] for t in self.task_instances(dag_id, run_id)}
                raise AirflowApiError(
                    f"run {run_id} of {dag_id} is still {state} after {timeout:g} s: {tasks}"
                )
            time.sleep(self._poll)
        return state

    def create_backfill(
        self, dag_id: str, from_date: datetime, to_date: datetime, **fields: Any
    ) -> int:
        """Start a backfill, both dates inclusive, and return its id."""
        dates = {"from_date": from_date.isoformat(), "to_date": to_date.isoformat()}
        return int(self.call("POST", "backfills", {"dag_id": dag_id, **dates, **fields})["id"])

    def clear(
        self,
        dag_id: str,
        run_id: str,
        task_ids: Sequence[str | tuple[str, int]],
        *,
        downstream: bool = False,
        only_failed: bool = False,
    ) -> list[JSON]:
        """Clear tasks of a run so that they run again, and return them."""
        body = {
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "include_downstream": downstream,
            "only_failed": only_failed,
            "dry_run": False,
        }
        path = f"dags/{quote(dag_id)}/clearTaskInstances"
        cleared: list[JSON] = self.call("POST", path, body)["task_instances"]
        return cleared

    # --- task instances -----------------------------------------------------------------------

    def task_instances(self, dag_id: str, run_id: str) -> list[JSON]:
        """Return the task instances of a run, mapped ones included."""
        found: list[JSON] = []
        while True:
            page = self.get(f"{_run(dag_id, run_id)}/taskInstances", limit=100, offset=len(found))
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """Return a value that a task pushed."""
        path = f"{_task(dag_id, run_id, task_id)}/xcomEntries/{quote(key)}"
        return self.get(path, map_index=map_index, stringify=False)["value"]

    def task_log(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        try_number: int | None = None,
        map_index: int = -1,
    ) -> str:
        """Return the log of a try (the latest unless told), one event per line."""
        task = _task(dag_id, run_id, task_id)
        if try_number is None:
            instance = task if map_index < 0 else f"{task}/{map_index}"
            try_number = int(self.get(instance)["try_number"])
        found = self.get(f"{task}/logs/{try_number}", map_index=map_index, full_content=True)
        return "\n".join(_line(event) for event in found["content"])

    def extra_links(
        self, dag_id: str, run_id: str, task_id: str, map_index: int = -1
    ) -> dict[str, str | None]:
        """Return the extra links of a task by name; a link that is not there yet is None."""
        found = self.get(f"{_task(dag_id, run_id, task_id)}/links", map_index=map_index)
        links: dict[str, str | None] = found["extra_links"]
        return links

    # --- connections --------------------------------------------------------------------------

    def create_connection(
        self,
        conn_id: str,
        conn_type: str,
        *,
        extra: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Create a connection, or replace it; ``fields``: host, login, password, schema, port."""
        body = _connection(conn_id, conn_type, extra, fields)
        answer = self._authorized("POST", "/api/v2/connections", body)
        if answer.status_code == _CONFLICT:
            self.call("PATCH", f"connections/{quote(conn_id)}", body)
        else:
            _body(answer, f"connection {conn_id}")

    def test_connection(self, payload: Mapping[str, Any]) -> tuple[bool, str]:
        """Press the form's "Test" button; ``extra`` of the payload may be a mapping."""
        fields = dict(payload)
        conn_id, conn_type = fields.pop("connection_id"), fields.pop("conn_type")
        body = _connection(conn_id, conn_type, fields.pop("extra", None), fields)
        found = self.call("POST", "connections/test", body)
        return bool(found["status"]), str(found["message"])

    # --- requests -----------------------------------------------------------------------------

    def get(self, path: str, **params: Any) -> JSON:
        """GET a path below ``/api/v2``."""
        return _body(self._authorized("GET", f"/api/v2/{path}", params=params), f"GET {path}")

    def call(self, method: str, path: str, body: Mapping[str, Any]) -> JSON:
        """Send a JSON body to a path below ``/api/v2``."""
        return _body(self._authorized(method, f"/api/v2/{path}", body), f"{method} {path}")

    def _authorized(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> httpx2.Response:
        answer = self._send(method, path, body, params, self.token())
        if answer.status_code == _UNAUTHORIZED:
            self._token = None
            answer = self._send(method, path, body, params, self.token())
        return answer

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        token: str | None = None,
    ) -> httpx2.Response:
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            return self._http.request(method, path, json=body, params=params, headers=headers)
        except httpx2.HTTPError as error:
            raise AirflowApiError(
                f"Airflow at {self.base_url} did not answer {method} {path}: {error}.",
                hint="Is it running?",
            ) from None


def _run(dag_id: str, run_id: str) -> str:
    return f"dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"


def _task(dag_id: str, run_id: str, task_id: str) -> str:
    return f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}"


def _connection(
    conn_id: str,
    conn_type: str,
    extra: Mapping[str, Any] | str | None,
    fields: Mapping[str, Any],
) -> JSON:
    text = extra if extra is None or isinstance(extra, str) else json.dumps(dict(extra))
    return {"connection_id": conn_id, "conn_type": conn_type, "extra": text, **fields}


def _line(event: JSON | str) -> str:
    if isinstance(event, str):
        return event
    rest = {k: v for k, v in event.items() if k not in _LOG_FRAME}
    facts = " ".join(f"{key}={value}" for key, value in rest.items())
    when, level = event.get("timestamp") or "", event.get("level") or ""
    return " ".join(part for part in (when, level, event["event"], facts) if part)


def _body(answer: httpx2.Response, what: str) -> JSON:
    if answer.status_code >= _HTTP_OK:
        raise AirflowApiError(f"{what}: {_reason(answer)}", status=answer.status_code)
    found: JSON = answer.json()
    return found


def _reason(answer: httpx2.Response) -> str:
    """Return why Airflow refused, without the values it echoes: they may be secrets."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in detail)
    return str(detail)
