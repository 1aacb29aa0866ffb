"""Secrets are masked in Airflow's logs and left out of our own texts: one place for both."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping

from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.transport import redact

_told: set[tuple[int, str]] = set()
"""By process: a fork has the masks of its parent, but another supervisor."""


def mask(secrets: Mapping[str, Secret]) -> None:
    """Show none of these any more, here and in the supervisor, which writes the task's log.

    To be called where the work is done, never from a thread beside a trigger's event loop: with
    Airflow 3.2 a message from there would garble the line to the supervisor.
    """
    from airflow.sdk.log import mask_secret

    for secret in secrets.values():
        for value in _parts(secret.reveal()):
            if (os.getpid(), value) not in _told:
                _told.add((os.getpid(), value))
                redact.remember(Secret(value))
                mask_secret(value)


def _parts(value: str) -> Iterator[str]:
    """The secret, and what is secret in it where it is a document; a few signs cannot be masked."""
    if len(value) >= redact.SHORTEST:
        yield value
    if value.lstrip().startswith("{"):
        try:
            found = json.loads(value)
        except ValueError:
            return
        for name in ("private_key", "private_key_id"):
            if isinstance(found.get(name), str):
                yield found[name]
