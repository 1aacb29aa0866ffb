"""What our triggers have in common: they tell one event, whatever happens, and not too soon."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError, Rejected


class OnceTrigger(BaseTrigger, ABC):
    """A trigger of one event, which is what ``_wait`` found, or what went wrong.

    Errors come as ``{"status": "error", "message": ...}``, with ``final`` where trying again does
    not help. ``named`` are its parameters: it names what it needs and carries nothing, for its row
    may be read. ``fire_after`` is one of them: epoch seconds of the state store's clock, before
    which it tells nothing (Airflow 3.3 may otherwise see the event before it has noted the
    deferral).
    """

    named: ClassVar[tuple[str, ...]]

    def __init__(self, fire_after: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fire_after = fire_after

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Plain JSON only; no secret, no hook."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {name: getattr(self, name) for name in self.named}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event, in any case: what an exception says would not reach the task."""
        try:
            payload = await self._wait()
        except (ConfigurationError, Rejected) as error:
            payload = {"status": "error", "message": str(error), "final": True}
        except LiftosError as error:
            payload = {"status": "error", "message": str(error)}
        except Exception as error:
            self.log.exception("the trigger failed")
            payload = {"status": "error", "message": f"the trigger failed: {type(error).__name__}"}
        await until(self.fire_after)
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]

    @abstractmethod
    async def _wait(self) -> dict[str, Any]:
        """What the event says; blocks no loop."""


async def until(moment: float) -> None:
    """Sleep until a moment of the state store's clock, in epoch seconds."""
    pause = moment - await asyncio.to_thread(_now)
    if pause > 0:
        await asyncio.sleep(pause)


def _now() -> float:
    """By the store's clock: this host's may be another than the worker's."""
    from airflow_provider_liftos.hooks import config

    try:
        return config.state_store().clock.now()
    except LiftosError:  # what is wrong with the store, the event will tell
        return time.time()
