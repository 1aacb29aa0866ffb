"""Whose turn it is: the newest days before history, and so many reports at a time."""

from __future__ import annotations

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


def lane(session: Session, cut: Slice, account: Account | None, moment: float) -> Lane:
    """That of a slice: of today or yesterday in the account's zone, or history."""
    if session.pace.lane is Lane.INTERACTIVE:
        return Lane.INTERACTIVE
    local = zone(account or Account(account_id=cut.account_id))
    yesterday = datetime.fromtimestamp(moment, UTC).astimezone(local).date() - timedelta(days=1)
    return Lane.FRESH if cut.window.until >= yesterday else Lane.BULK


def in_lane(reading: Reading, own: Lane) -> Reading:
    """The same, with all its requests in that lane."""
    if not isinstance(reading, Paged):
        return replace(reading, request=replace(reading.request, lane=own))
    ask = reading.request
    return replace(reading, request=lambda size, cursor: replace(ask(size, cursor), lane=own))


def crowded(cut: Slice, now: float, *, patience: float) -> Throttled:
    """Reports of other tasks take all the places; ``patience`` in seconds where own ones run."""
    return Throttled(
        f"{cut.label} is not submitted yet: as many reports as may run at a time are running",
        platform=cut.platform,
        account=cut.account_id,
        retry_at=now + max(_CROWDED, patience),
        hint="It is submitted when one is ready.",
    )
