"""A trigger that waits for a statement which a source's engine runs by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError
from airflow_provider_liftos.triggers.once import OnceTrigger

if TYPE_CHECKING:
    from airflow_provider_liftos.engine.source_remote import Remote

_LONGEST_PAUSE = 60.0
_FAILURES = 30
"""Looks in a row without an answer, after which the task itself sees what is wrong."""


class StatementTrigger(OnceTrigger):
    """Fires when a statement runs no more, whatever became of it: the task finds out.

    It names the connection and the statement; credentials are looked up here, again after each look
    that failed, so that tokens may end meanwhile. ``fire_after`` is in epoch seconds of the state
    store's clock: no event before it (Airflow 3.3 may otherwise see it before it has noted the
    deferral).
    """

    named = ("platform", "conn_id", "statement_id", "poll_seconds", "fire_after")

    def __init__(
        self,
        platform: str,
        conn_id: str,
        statement_id: str,
        poll_seconds: float,
        fire_after: float,
    ) -> None:
        super().__init__(fire_after)
        self.platform = platform
        self.conn_id = conn_id
        self.statement_id = statement_id
        self.poll_seconds = poll_seconds

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
