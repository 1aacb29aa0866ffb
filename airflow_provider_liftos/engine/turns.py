"""Whose turn it is: the newest days before history, and so many reports at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from airflow_provider_liftos.engine.plan import zone
from airflow_provider_liftos.model.errors import Throttled
from airflow_provider_liftos.model.platform import Paged, Reading
from airflow_provider_liftos.model.report import Account, Slice
from airflow_provider_liftos.model.wire import Lane
from airflow_provider_liftos.transport.session import Session

_CROWDED = 60.0
"""Seconds until it is seen whether reports of other tasks are ready."""


def lane(session: Session, cut: Slice, known: Mapping[str, Account], moment: float) -> Lane:
    """That of a slice: of today or yesterday in the account's zone, or history."""
    if session.pace.lane is Lane.INTERACTIVE:
        return Lane.INTERACTIVE
    local = zone(known.get(cut.account_id) or Account(account_id=cut.account_id))
    yesterday = datetime.fromtimestamp(moment, UTC).astimezone(local).date() - timedelta(days=1)
    return Lane.FRESH if cut.window.until >= yesterday else Lane.BULK


def in_lane(reading: Reading, own: Lane) -> Reading:
    """The same, with all its requests in that lane."""
    if not isinstance(reading, Paged):
        return replace(reading, request=replace(reading.request, lane=own))
    ask = reading.request
    return replace(reading, request=lambda size, cursor: replace(ask(size, cursor), lane=own))


def crowded(cut: Slice, now: float, running: Mapping[str, int], patience: float) -> Throttled:
    """Reports of other tasks take the places; where own ones run, their end is waited for.

    ``running`` are own reports by account; longer than ``patience`` (seconds) is until they end.
    """
    wait = patience + 1.0 if running.get(cut.account_id) else _CROWDED
    return Throttled(
        f"{cut.label} is not submitted yet: as many reports as may run at a time are running",
        platform=cut.platform,
        account=cut.account_id,
        retry_at=now + wait,
        hint="It is submitted when one is ready.",
    )
