"""One trigger that waits for all reports of a task, or until a known moment."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow_provider_liftos.model.errors import (
    CircuitOpen,
    Throttled,
    Unavailable,
)
from airflow_provider_liftos.triggers.once import OnceTrigger, until


class ReportTrigger(OnceTrigger):
    """Polls the submitted reports of a scope; fires when none is running any more.

    Everything it needs is named, nothing is carried: reports are in the state store, secrets in the
    connection. ``not_before`` and ``fire_after`` are epoch seconds of the state store's clock: no
    polling before the first (a limit is used up until then), no event before the second (Airflow
    3.3 may otherwise see the event before it has noted the deferral).
    """

    named = ("platform", "conn_id", "scope", "poll_seconds", "fire_after", "not_before")

    def __init__(
        self,
        platform: str,
        conn_id: str,
        scope: str,
        poll_seconds: float,
        fire_after: float,
        not_before: float | None = None,
    ) -> None:
        super().__init__(fire_after)
        self.platform = platform
        self.conn_id = conn_id
        self.scope = scope
        self.poll_seconds = poll_seconds
        self.not_before = not_before

    async def _wait(self) -> dict[str, Any]:
        if self.not_before is not None:
            await until(self.not_before)
            return {"status": "time"}
        from airflow_provider_liftos.transport.client import AsyncHttpSender

        session, checkpoints = await self._session()
        note = await asyncio.to_thread(_Note, self.scope, session)
        try:
            async with AsyncHttpSender() as sender:
                payload = await self._poll(session, checkpoints, sender)
            note.status = "success"
        finally:
            await asyncio.to_thread(note.finish)
        return payload

    async def _poll(self, session: Any, checkpoints: Any, sender: Any) -> dict[str, Any]:
        while True:
            try:
                progress = await self._watch(session, checkpoints, sender)
            except Throttled as pause:
                self.log.info("waiting for a limit: %s", pause)
                await until(pause.retry_at)
            except CircuitOpen as pause:
                self.log.info("%s", pause)
                await until(pause.until)
            except Unavailable as error:
                self.log.warning("polling goes on: %s", error)
                if await asyncio.to_thread(_overdue, checkpoints):
                    return {"status": "overdue"}
                await asyncio.sleep(self.poll_seconds)
            else:
                return {"status": "done", "ready": progress.ready, "failed": progress.failed}

    async def _watch(self, session: Any, checkpoints: Any, sender: Any) -> Any:
        from airflow_provider_liftos.engine import polling
        from airflow_provider_liftos.transport.flow import arun

        flow = polling.watch(session, checkpoints, first=self.poll_seconds, longest=60.0)
        return await arun(flow, sender)

    async def _session(self) -> tuple[Any, Any]:
        from airflow_provider_liftos.engine.checkpoint import Checkpoints
        from airflow_provider_liftos.hooks import config, observing, registry

        observing.begin(observing.load_id(*_told_by(self.scope)[:3], self.platform, self.conn_id))
        hook = registry.hook(self.platform, self.conn_id)
        credentials = await hook.acredentials()
        store = await asyncio.to_thread(config.state_store)
        session = await asyncio.to_thread(hook.session, credentials, store)
        return session, Checkpoints(store, credentials.org_id, self.scope)

    async def on_kill(self) -> None:
        """A person ended or cleared the waiting task: tell the platform, where it takes that.

        Checkpoints stay, because a cleared task may be at work again already: it goes on with what
        still runs, and submits again what was cancelled. Airflow 3.2 does not call this: there a
        report that nobody waits for ends by itself, and costs nothing but itself.
        """
        from airflow_provider_liftos.engine import polling
        from airflow_provider_liftos.hooks import registry
        from airflow_provider_liftos.transport.client import AsyncHttpSender
        from airflow_provider_liftos.transport.flow import arun

        prepared = registry.hook(self.platform, self.conn_id).platform.prepared
        if prepared is None or prepared.cancel is None:
            return
        session, checkpoints = await self._session()
        async with AsyncHttpSender() as sender:
            cancelled = await arun(polling.cancel(session, checkpoints), sender)
        self.log.info("%s running reports were cancelled", cancelled)


def _told_by(scope: str) -> tuple[str, str, str, str]:
    """DAG, run, task and map index of a scope; ids of runs may hold slashes."""
    dag_id, _, rest = scope.partition("/")
    rest, _, map_index = rest.rpartition("/")
    run_id, _, task_id = rest.rpartition("/")
    return dag_id, run_id, task_id, map_index


class _Note:
    """The wait's entry in the run ledger: what polling costs is spent here, not by the task."""

    def __init__(self, scope: str, session: Any) -> None:
        from airflow_provider_liftos.hooks import config
        from airflow_provider_liftos.state.ledger import Ledger, TaskRun

        dag_id, run_id, task_id, map_index = _told_by(scope)
        self.status = "interrupted"
        self._session = session
        self._ledger = Ledger(config.state_store(), session.credentials.org_id)
        self._id = self._ledger.start(
            TaskRun(
                dag_id=dag_id, run_id=run_id, task_id=task_id, phase="wait",
                map_index=int(map_index) if map_index.lstrip("-").isdecimal() else -1,
                platform=session.platform.name, api_version=session.credentials.version,
            )
        )  # fmt: skip

    def finish(self) -> None:
        from airflow_provider_liftos.state.ledger import Work

        usage, spoken = self._session.usage, self._session.credentials.version
        work = Work(bytes=usage.bytes, requests=usage.requests, retries=usage.retries,
                    throttled_seconds=usage.throttled_seconds)  # fmt: skip
        self._ledger.finish(
            self._id, status=self.status, work=work, api_version=spoken,
            warnings=tuple(usage.warnings),
            detail=usage.told(),
        )  # fmt: skip


def _overdue(checkpoints: Any) -> bool:
    """Whether no report has time left: the worker decides then, instead of polling for ever."""
    from airflow_provider_liftos.engine.checkpoint import SUBMITTED

    now = checkpoints.clock.now()
    running = [p for p in checkpoints.load().values() if p.state == SUBMITTED]
    return all(p.deadline is not None and p.deadline < now for p in running)
