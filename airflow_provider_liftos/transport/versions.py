"""When the API version that a connection asks for is dead: another one, said loudly, and only once.

Versions die by the calendar, which a session is opened with, and by what the platform answers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from airflow_provider_liftos.model.errors import VersionGone
from airflow_provider_liftos.model.platform import Credentials, Platform
from airflow_provider_liftos.transport.flow import Flow, Sender, run

T = TypeVar("T")


class Versions:
    """What a session may speak besides its connection's version, best first: one of them, once."""

    def __init__(self, fallbacks: Sequence[str]) -> None:
        self._fallbacks = tuple(fallbacks)
        self._replaced: dict[str, str] = {}
        self._one_by_one = threading.Lock()

    def after(self, dead: str) -> str:
        """The version to speak when that one was refused; empty where there is none (any more).

        Threads that hear of the same death are told the same.
        """
        with self._one_by_one:
            if not self._replaced:
                left = [version for version in self._fallbacks if version != dead]
                self._replaced = {dead: left[0] if left else ""}
            return self._replaced.get(dead, "")


def told(platform: Platform, credentials: Credentials, dead: str, why: str) -> str:
    """Words about a version that was replaced by the one of ``credentials``."""
    used = credentials.version
    return (
        f"{platform.title} has switched off API version {dead} ({why}); {used} is used instead:"
        f" set api_version of connection {credentials.conn_id!r} to {used} or leave it empty"
    )


def anew(session: Any, make: Callable[[], Flow[T]], sender: Sender) -> T:
    """Carry out a flow, and make it anew if the session had to change its version on the way."""
    version = session.credentials.version
    try:
        return run(make(), sender)
    except VersionGone:
        if session.credentials.version == version:
            raise
        return run(make(), sender)
