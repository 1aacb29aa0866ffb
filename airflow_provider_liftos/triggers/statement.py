"""A trigger that waits for a statement which a source's engine runs by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError

if TYPE_CHECKING:
    from airflow_provider_liftos.engine.source_remote import Remote

_LONGEST_PAUSE = 60.0
_FAILURES = 30
"""Looks in a row without an answer, after which the task itself sees what is wrong."""


class StatementTrigger(BaseTrigger):
    """Fires when a statement runs no more, whatever became of it: the task finds out.

    It names the connection and the statement; credentials are looked up here, again after each look
    that failed, so that tokens may end meanwhile. ``fire_after`` is in epoch seconds of the state
    store's clock: no event before it (Airflow 3.3 may otherwise see it before it has noted the
    deferral).
    """

    def __init__(
        self,
        platform: str,
        conn_id: str,
        statement_id: str,
        poll_seconds: float,
        fire_after: float,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.platform = platform
        self.conn_id = conn_id
        self.statement_id = statement_id
        self.poll_seconds = poll_seconds
        self.fire_after = fire_after

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Plain JSON only."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "platform": self.platform,
                "conn_id": self.conn_id,
                "statement_id": self.statement_id,
                "poll_seconds": self.poll_seconds,
                "fire_after": self.fire_after,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event, in any case: what an exception says would not reach the task."""
        try:
            payload = await self._wait()
        except ConfigurationError as error:
            payload = {"status": "error", "message": str(error), "final": True}
        except Exception as error:
            self.log.exception("the trigger failed")
            payload = {"status": "error", "message": f"the trigger failed: {type(error).__name__}"}
        await asyncio.sleep(max(0.0, self.fire_after - time.time()))
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def _wait(self) -> dict[str, Any]:
        from airflow_provider_liftos.engine.source_remote import RUNNING

        remote: Remote | None = None
        pause, failures = self.poll_seconds, 0
        while failures < _FAILURES:
            try:
                if remote is None:
                    remote = await asyncio.to_thread(self._remote)
                look = await asyncio.to_thread(remote.look, self.statement_id)
            except ConfigurationError:
                raise
            except LiftosError as error:
                self.log.warning("looking goes on: %s", error)
                remote, failures = None, failures + 1
            else:
                failures = 0
                if look.state != RUNNING:
                    return {"status": look.state, "statement_id": self.statement_id}
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)
        return {"status": "unknown", "statement_id": self.statement_id}

    async def on_kill(self) -> None:
        """A person ended or cleared the waiting task: nobody will read the statement's result.

        Airflow 3.2 does not call this, nor does any when ``execution_timeout`` is over.
        """
        remote = await asyncio.to_thread(self._remote)
        await asyncio.to_thread(remote.cancel, self.statement_id)
        self.log.info("statement %s was cancelled", self.statement_id)

    def _remote(self) -> Remote:
        from airflow_provider_liftos.hooks import source

        return source.statements(self.conn_id, self.platform)[0]
