"""Asynchronous reports: created, checked, downloaded or cancelled, gone after thirty days."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import quote

from airflow_provider_liftos.sandbox.dataset.chance import digest
from airflow_provider_liftos.sandbox.faults import Fault
from airflow_provider_liftos.sandbox.wire import WireRequest
from airflow_provider_liftos.sandbox.world import World

from .call import Call, Reply
from .entities import find_account
from .errors import (
    TikTokError,
    foreign_task,
    invalid,
    no_task,
    not_allowed,
    not_ready,
    task_over,
)
from .files import csv_of
from .query import Query
from .reports import Reports

KEPT = timedelta(days=30)
LINK_LIFE = timedelta(hours=1)
DOWNLOADS = "wsos_v2"
_FORMATS = ("CSV_STRING", "CSV_DOWNLOAD", "XLSX_DOWNLOAD")
_LONGEST_NAME = 255
_MOST = 50_000
_OUTCOMES = {"job_failed": "FAILED", "job_skipped": "CANCELED", "job_stuck": "PROCESSING"}
JOB_FAULTS = tuple(_OUTCOMES)


@dataclass(slots=True, kw_only=True)
class Task:
    """One task. ``outcome`` is the status it will end with, or stay in."""

    id: str
    token: str
    query: Query
    output_format: str
    file_name: str
    translated: bool
    created_at: datetime
    seconds: float
    outcome: str = "SUCCESS"
    options: Mapping[str, Any] = field(default_factory=dict)
    cancelled: bool = False

    def doom(self, fault: Fault) -> None:
        """Let the task end as a fault wants it."""
        self.outcome = _OUTCOMES.get(fault.kind, "FAILED")
        self.options = fault.options

    def status(self, now: datetime) -> str:
        """Return QUEUING, PROCESSING, SUCCESS, FAILED or CANCELED."""
        if self.cancelled:
            return "CANCELED"
        elapsed = (now - self.created_at).total_seconds()
        if elapsed >= self.seconds:
            return self.outcome
        return "QUEUING" if elapsed < self.seconds / 10 else "PROCESSING"

    def message(self, now: datetime) -> str:
        """Return why it failed; empty for every other status."""
        if self.status(now) != "FAILED" or self.options.get("bare"):
            return ""
        return str(self.options.get("message", "internal error"))


class Tasks:
    """All tasks that have not expired."""

    def __init__(self, world: World, reports: Reports) -> None:
        self._world = world
        self._reports = reports
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._tasks: dict[str, Task] = {}
        # Ids of two sandboxes differ, lest a stale id find somebody else's task.
        self._first = int(world.clock.started_at.timestamp()) % 10**9

    def create(self, call: Call) -> Reply:
        """Answer ``report/task/create/``."""
        refused = self._take(call, None, ("async_refused",))
        if refused:
            raise not_allowed(call.path).override(refused.options)
        output_format = call.choice("output_format", _FORMATS, "CSV_STRING")
        if output_format == "XLSX_DOWNLOAD":
            raise TikTokError(40008, "output_format: XLSX_DOWNLOAD is not supported.")
        name = call.text("file_name")
        if len(name) > _LONGEST_NAME:
            raise invalid(f"file_name: Longer than maximum length {_LONGEST_NAME}.")
        query = self._reports.query(call, task=True)
        task = self._begin(call, query, output_format, name)
        fault = self._take(call, task, (*JOB_FAULTS, "too_much_data"))
        if fault:
            task.doom(fault)
            if fault.kind == "too_much_data":
                task.options = {"message": "query timeout", **fault.options}
        return Reply(data={"task_id": task.id}, notes={"task_id": task.id})

    def _begin(self, call: Call, query: Query, output_format: str, name: str) -> Task:
        with self._lock:
            identity = f"{7}{self._first:09d}{next(self._numbers):09d}"
            task = self._tasks[identity] = Task(
                id=identity,
                token=call.token.value,
                query=query,
                output_format=output_format,
                file_name=f"{name or identity}.csv",
                translated=call.flag("enable_report_title_translation", otherwise=True),
                created_at=call.now,
                seconds=self._world.report_seconds,
            )
            while len(self._tasks) > _MOST:
                self._tasks.pop(next(iter(self._tasks)))
        return task

    def check(self, call: Call) -> Reply:
        """Answer ``report/task/check/``."""
        task = self._find(call)
        if task.outcome == "SUCCESS" and task.status(call.now) in ("QUEUING", "PROCESSING"):
            fault = self._take(call, task, JOB_FAULTS)
            if fault:
                task.doom(fault)
        shown = {"status": task.status(call.now), "message": task.message(call.now)}
        return Reply(data=shown, rows=1, notes={"task_id": task.id})

    def cancel(self, call: Call) -> Reply:
        """Answer ``report/task/cancel/``; what is over stays as it is."""
        task = self._find(call)
        running = task.status(call.now) in ("QUEUING", "PROCESSING")
        task.cancelled = task.cancelled or running
        message = "" if running else "The task is over already."
        return Reply(
            data={"status": task.status(call.now), "message": message}, notes={"task_id": task.id}
        )

    def download(self, call: Call) -> Reply:
        """Answer ``report/task/download/``: the file itself, or an envelope with its address."""
        task = self._find(call)
        status = task.status(call.now)
        if status in ("QUEUING", "PROCESSING"):
            raise not_ready()
        if status != "SUCCESS":
            raise task_over(status)
        fault = self._take(call, task, ("result_not_ready",))
        if fault:
            raise not_ready().override(fault.options)
        if task.output_format == "CSV_STRING":
            return self._file(task)
        expire = int((call.now + LINK_LIFE).timestamp())
        sign = _signature(task, expire)
        self._world.keep_secret(sign)
        address = f"{call.request.base_url}/{DOWNLOADS}/{task.id}/{quote(task.file_name)}"
        data = {
            "output_format": task.output_format,
            "file_name": task.file_name,
            "download_url": f"{address}?expire={expire}&sign={sign}",
        }
        return Reply(data=data, notes={"task_id": task.id})

    def fetch(self, request: WireRequest, now: datetime) -> Reply:
        """Answer a download address, which needs no token and is good for an hour."""
        task = self._tasks.get(_task_of(request))
        expire = request.params.get("expire", "")
        good = (
            task is not None
            and expire.isdigit()
            and request.params.get("sign") == _signature(task, int(expire))
            and now < datetime.fromtimestamp(int(expire), UTC)
        )
        if task is None or not good:
            return Reply(
                raw=b"<Error><Code>AccessDenied</Code></Error>",
                content_type="application/xml",
                status=403,
            )
        return self._file(task)

    def account_of(self, request: WireRequest) -> str | None:
        """Return the advertiser of the task that a download address belongs to."""
        task = self._tasks.get(_task_of(request))
        return task.query.accounts[0] if task else None

    def _file(self, task: Task) -> Reply:
        lines = self._reports.lines(task.query, task.created_at) if task.query.level else ()
        text, rows = csv_of(task.query, lines, translated=task.translated)
        return Reply(
            raw=text.encode(),
            rows=rows,
            content_type="text/csv; charset=utf-8",
            notes={"task_id": task.id},
        )

    def _find(self, call: Call) -> Task:
        account = find_account(self._world, call, call.required("advertiser_id"))
        identity = call.required("task_id")
        task = self._tasks.get(identity)
        if task is None or task.created_at + KEPT <= call.now:
            raise no_task(identity)
        if task.token != call.token.value:
            raise foreign_task()
        if account.id not in task.query.accounts:
            raise no_task(identity)
        return task

    def _take(self, call: Call, task: Task | None, kinds: tuple[str, ...]) -> Fault | None:
        """Return the fault that this task meets, counting it only if its conditions hold."""
        account = task.query.accounts[0] if task else call.text("advertiser_id")

        def meant(fault: Fault) -> bool:
            if fault.kind == "too_much_data" and "max_limit" in fault.options:
                return False
            return task is None or self._reports.hits(fault, task.query, call.now)

        return self._world.faults.take(
            kinds, platform="tiktok", line=call.request.line, account=account, accept=meant
        )


def _task_of(request: WireRequest) -> str:
    return (*request.path.split("/"), "")[1]


def _signature(task: Task, expire: int) -> str:
    return digest("file", task.id, task.token, expire).hex()
