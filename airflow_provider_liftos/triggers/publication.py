"""A trigger that waits for something to be published."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError
from airflow_provider_liftos.triggers.once import OnceTrigger

_LOOKED_AT = 20  # the newest publications of an organization


class PublicationTrigger(OnceTrigger):
    """Fires when a platform has been published since a moment, or at ``look_again`` at the latest.

    It reads the run ledger in the state store and never opens the warehouse: of a DuckDB file there
    is one, and whoever reads it holds up who writes. What the event means the task finds out.
    Everything is named and nothing is carried. ``since``, ``look_again`` and ``fire_after`` are
    epoch seconds of the state store's clock: no event before the last of them (Airflow 3.3 may
    otherwise see it before it has noted the deferral).
    """

    named = ("platform", "org_ids", "since", "look_again", "poll_seconds", "fire_after")

    def __init__(
        self,
        platform: str,
        org_ids: Sequence[str],
        since: float,
        look_again: float,
        poll_seconds: float,
        fire_after: float,
    ) -> None:
        super().__init__(fire_after)
        self.platform = platform
        self.org_ids = list(org_ids)
        self.since = since
        self.look_again = look_again
        self.poll_seconds = poll_seconds

    async def _wait(self) -> dict[str, Any]:
        while True:
            now, published = await asyncio.to_thread(self._look)
            if published:
                return {"status": "published"}
            if now >= self.look_again:
                return {"status": "time"}
            await asyncio.sleep(max(0.01, min(self.poll_seconds, self.look_again - now)))

    def _look(self) -> tuple[float, bool]:
        """The moment, and whether anything was published since; a store that is away is asked on.

        A publication of which only a part came through counts, too.
        """
        from airflow_provider_liftos.hooks import config
        from airflow_provider_liftos.state.ledger import Ledger

        try:
            store = config.state_store()
            moment = store.clock.now()
            done = any(
                (entry.finished_at or 0.0) > self.since
                for org_id in self.org_ids
                for entry in Ledger(store, org_id).rows(
                    platform=self.platform, phase="publish", limit=_LOOKED_AT
                )
            )
        except ConfigurationError:
            raise
        except LiftosError as error:
            self.log.warning("looking goes on: %s", error)
            return time.time(), False
        return moment, done
