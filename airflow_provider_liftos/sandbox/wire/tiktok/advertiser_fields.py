"""What the fields of an advertiser say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Account
from airflow_provider_liftos.sandbox.dataset.chance import number


def etc_zone(account: Account, now: datetime) -> str:
    """Return the zone as some accounts show it: fixed, with the sign turned around.

    ``Etc/GMT+8`` is eight hours behind UTC and knows no summer time; only
    ``display_timezone`` names the zone whose days the reports have.
    """
    winter = min(
        datetime(now.year, month, 1, tzinfo=account.zone).utcoffset() or timedelta()
        for month in (1, 7)
    )
    hours, rest = divmod(int(winter.total_seconds()), 3600)
    if account.index == 0 or rest:
        return account.timezone
    return f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT"


ADVERTISER_FIELDS: Mapping[str, Callable[[Account, datetime], Any]] = {
    "advertiser_id": lambda one, _: one.id,
    "name": lambda one, _: one.name,
    "company": lambda one, _: one.name,
    "currency": lambda one, _: one.currency,
    "timezone": etc_zone,
    "display_timezone": lambda one, _: one.timezone,
    "country": lambda one, _: one.country,
    "status": lambda one, _: "STATUS_LIMIT" if one.empty else "STATUS_ENABLE",
    "role": lambda _, __: "ROLE_ADVERTISER",
    "balance": lambda one, _: float(number(10_000, one.id, "balance")),
    "create_time": lambda one, _: 1_630_000_000 + number(10**7, one.id, "born"),
    "language": lambda _, __: "en",
    "industry": lambda _, __: "290305",
    "advertiser_account_type": lambda _, __: "AUCTION",
    "owner_bc_id": lambda _, __: "7150000000000000001",
    "description": lambda _, __: "",
    "email": lambda _, __: "***",
    "telephone_number": lambda _, __: "***",
}
