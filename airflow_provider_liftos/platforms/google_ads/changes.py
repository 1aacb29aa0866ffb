"""What changed below campaigns, by ``change_status``.

Facts (Google Ads API v26, "Change status"): the newest change of each resource within 90 days, told
after at most three minutes, at most 10,000 of them in an answer; moments are of the account's zone.
A change of a campaign that shows in its ad groups is told of the campaign alone, so what is to be
read again is everything below the campaigns that had any change. What Google decides, such as
whether an ad is approved, is no change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_liftos.model.platform import Changes, Credentials, Streamed
from airflow_provider_liftos.model.report import Slice
from airflow_provider_liftos.platforms.google_ads import gaql, schema, wire

_KEPT_DAYS = 90
_MOST_CHANGES = 10_000
_MOST_CAMPAIGNS = 500
"""More of them are not named in a condition: one listing is then less to ask and to answer."""

_OVERLAP = timedelta(hours=1, minutes=5)
"""For the delay, and for clocks that are set back: an hour of theirs comes twice."""

_UNTIL = timedelta(days=_KEPT_DAYS + 10)
"""A range must have an end; this one is never before now, or the beginning would be too old."""

_TYPES = ("CAMPAIGN", "AD_GROUP", "AD_GROUP_AD")
_MOMENT, _CAMPAIGN = "change_status.last_change_date_time", "change_status.campaign"


def _read(cut: Slice, credentials: Credentials) -> Streamed:
    begin = datetime.fromisoformat(cut.changed_since) - _OVERLAP
    types = ", ".join(f"'{name}'" for name in _TYPES)
    query = gaql.Query(
        fields=("change_status.resource_type", _CAMPAIGN),
        resource="change_status",
        conditions=(
            f"{_MOMENT} >= '{begin:%Y-%m-%d %H:%M:%S}'",
            f"{_MOMENT} <= '{begin + _UNTIL:%Y-%m-%d %H:%M:%S}'",
            f"change_status.resource_type IN ({types})",
        ),
        rest=f"LIMIT {_MOST_CHANGES} PARAMETERS omit_unselected_resource_names=true",
    )
    leaves = tuple(schema.require(credentials.version, name) for name in query.fields)
    return wire.stream(query.text, leaves, cut.account_id, credentials)


def _campaigns(rows: Iterable[Mapping[str, Any]]) -> Collection[str] | None:
    """Ids of the campaigns; None where changes were cut off, lack one, or are of too many."""
    names = [str(row.get(_CAMPAIGN) or "") for row in rows]
    found = {name.rpartition("/")[2] for name in names}
    cut_off = len(names) >= _MOST_CHANGES
    return None if cut_off or "" in found or len(found) > _MOST_CAMPAIGNS else found


CHANGES = Changes(read=_read, campaigns=_campaigns, days=_KEPT_DAYS)
