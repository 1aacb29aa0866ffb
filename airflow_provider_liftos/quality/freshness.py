"""How old published data is, when the next day of it is due, and what of it is late.

A day is due some hours after it has ended in its account's zone, plus the days that its platform
is late by nature; a listing of entities, some hours after the last one. Days without rows count as
there: what is watched is loading, not spending.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider_liftos.model.report import CHANGES, SNAPSHOT
from airflow_provider_liftos.quality.days import Reader
from airflow_provider_liftos.state.alerts import Trouble

KIND = "freshness"
HOURS = 30.0
"""Hours after its end in which a day is to be published: a day's own schedule, and its run."""
RETIRED = timedelta(days=7)
"""Reports that are later than this, while others of their account are not, are asked for no more.
"""
HIGH, CRITICAL = timedelta(hours=24), timedelta(hours=72)
"""How late is grave."""
_NEVER = 87_600.0  # hours; who waits for ten years waits for nothing
_LONGEST = 80  # characters of an account's name, which is anybody's text: it stays on its line
_LAST_ZONE = "Etc/GMT+12"  # of an account whose zone nobody knows, days end there at the latest
_ENTITIES = (SNAPSHOT, CHANGES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """How old one table of one account is. ``name`` is a report with its level, or a stream.

    ``newest`` is the last day that is there, of entities the moment they were listed; the next is
    ``due`` then.
    """

    platform: str
    account_id: str
    account_name: str
    name: str
    newest: date | datetime
    ended: datetime
    due: datetime

    def age(self, now: datetime) -> timedelta:
        """How long ago the newest day ended."""
        return now - self.ended

    def late(self, now: datetime) -> timedelta:
        """How long the next one has been due; nothing or less while it is not."""
        return now - self.due


def ages(
    warehouse: Reader,
    org_id: str,
    platform: str,
    *,
    now: datetime,
    delay_days: int = 1,
    hours: Mapping[str, float | None] | None = None,
) -> list[Age]:
    """Of every table of every account of a platform that is loaded regularly.

    ``hours`` are deadlines by platform, ``platform/account`` or ``platform/account/name``, where
    they are to differ from ``HOURS``; None: it is not waited for. Accounts that are gone, reports
    that were loaded only once, and those that nobody asks for any more are left out, too. Raises
    WarehouseError as the warehouse does.
    """
    accounts = _accounts(warehouse, org_id, platform)
    found: list[Age] = []
    for row in _newest(warehouse, org_id, platform):
        account = accounts.get(row[0], ("", "", False))
        patience = _hours(hours or {}, platform, row[0], _name(row))
        if patience is not None and not account[2]:
            found.append(_age(row, account, platform, delay_days, patience))
    return sorted(_still_asked(found, now), key=lambda age: (age.account_id, age.name))


def troubles(found: Sequence[Age], now: datetime) -> list[Trouble]:
    """What is late: a whole platform, a whole account, or single tables of one."""
    late = [age for age in found if age.late(now) > timedelta()]
    if not late:
        return []
    by_account = _grouped(found)
    all_late = {a for a, of_account in by_account.items() if all(x in late for x in of_account)}
    if len(all_late) == len(by_account) and len(by_account) > 1:
        return [_trouble(late, now, "")]
    whole = [_trouble(by_account[a], now, a) for a in sorted(all_late)]
    return whole + [
        _trouble([age], now, age.account_id, age.name)
        for age in late
        if age.account_id not in all_late
    ]


def still_late(key: str, found: Iterable[Age], now: datetime) -> bool | None:
    """Whether what a trouble of that key was about is late after all; None: nobody waits for it.

    A trouble goes when the data has come, but also when it is told as part of a larger one.
    """
    scope = key.removeprefix(f"{KIND}/") + "/"
    mine = [
        age for age in found if f"{age.platform}/{age.account_id}/{age.name}/".startswith(scope)
    ]
    return any(age.late(now) > timedelta() for age in mine) if mine else None


def _grouped(found: Iterable[Age]) -> dict[str, list[Age]]:
    grouped: dict[str, list[Age]] = {}
    for age in found:
        grouped.setdefault(age.account_id, []).append(age)
    return grouped


def _trouble(late: Sequence[Age], now: datetime, account_id: str, name: str = "") -> Trouble:
    worst = max(late, key=lambda age: age.late(now))
    platform = worst.platform
    accounts = len({age.account_id for age in late})
    whose = f"account {account_id}" if account_id else f"all {accounts} accounts"
    if account_id and (called := " ".join(worst.account_name.split())[:_LONGEST]):
        whose += f" ({called})"
    newest = f"{worst.newest:%Y-%m-%d}"
    return Trouble(
        key="/".join(part for part in (KIND, platform, account_id, name) if part),
        platform=platform,
        account_id=account_id,
        severity=_severity(worst.late(now)),
        text=f"{platform} {whose}{f', {name}' if name else ''}: newest {newest}, the next was due"
        f" {worst.due:%Y-%m-%d %H:%M} UTC, {_told(worst.late(now))} ago",
        advice=f"Open the newest run of liftos_{platform}: a run that failed or did not start, an"
        " account the connection no longer reaches, or slices that the quality gate holds back."
        " What is not to be loaded any more goes into deadlines, with None.",
    )


def _severity(late: timedelta) -> str:
    return "critical" if late >= CRITICAL else "high" if late >= HIGH else "medium"


def _told(late: timedelta) -> str:
    hours = int(late.total_seconds() // 3600)
    return f"{hours // 24} d {hours % 24} h" if hours >= 48 else f"{hours} h"


def _still_asked(found: Sequence[Age], now: datetime) -> Iterator[Age]:
    """Without what others of its account have left behind by more than ``RETIRED``.

    Listings that come are no sign that a report is asked for no more, only other reports are.
    """
    for of_account in _grouped(found).values():
        living = [age for age in of_account if age.late(now) <= RETIRED]
        reported = any(not _lists(age) for age in living)
        yield from (
            age for age in of_account if age in living or not (living if _lists(age) else reported)
        )


def _lists(age: Age) -> bool:
    """Whether it is a listing of entities."""
    return isinstance(age.newest, datetime)


def _accounts(warehouse: Reader, org_id: str, platform: str) -> dict[str, tuple[str, str, bool]]:
    """Name, zone, and whether it is gone, of each account as published."""
    i = warehouse.layout.capabilities.ident
    columns = ", ".join(i(n) for n in ("account_id", "name", "timezone", "is_deleted"))
    rows = warehouse.query(
        f"SELECT {columns} FROM {warehouse.layout.published('accounts')}"
        f" WHERE {i('org_id')} = ? AND {i('platform')} = ? AND {i('valid_to')} IS NULL",
        (org_id, platform),
    )
    return {account: (name or "", zone or "", bool(gone)) for account, name, zone, gone in rows}


def _newest(warehouse: Reader, org_id: str, platform: str) -> list[tuple[Any, ...]]:
    """Account, report, level, newest day and listing of what was loaded more than once.

    A basic report, or a stream, is watched from its first load on.
    """
    i = warehouse.layout.capabilities.ident
    keys = ", ".join(i(n) for n in ("account_id", "report"))
    level = f"CASE WHEN {i('level')} = '{CHANGES}' THEN '{SNAPSHOT}' ELSE {i('level')} END"
    return warehouse.query(
        f"SELECT {keys}, {level}, MAX({i('date')}), MAX({i('as_of')})"
        f" FROM {warehouse.layout.published('loads')}"
        f" WHERE {i('org_id')} = ? AND {i('platform')} = ? GROUP BY {keys}, {level}"
        f" HAVING COUNT(DISTINCT {i('load_id')}) > 1 OR {i('report')} = 'basic'"
        f" OR {level} = '{SNAPSHOT}'",
        (org_id, platform),
    )


def _age(
    row: Sequence[Any],
    account: tuple[str, str, bool],
    platform: str,
    delay_days: int,
    patience: float,
) -> Age:
    account_id, _, level, day, as_of = row
    of_entities, name = level in _ENTITIES, _name(row)
    if of_entities:
        ended = as_of.astimezone(UTC)
        due = ended + timedelta(hours=24 + patience)
    else:
        newest = date(day.year, day.month, day.day)
        ended = _end(newest, account[1])
        # Days that the platform is late by nature; one means that it has a day when it is over.
        due = _end(newest + timedelta(days=max(1, delay_days)), account[1])
        due += timedelta(hours=patience)
    return Age(
        platform=platform, account_id=account_id, account_name=account[0], name=name,
        newest=ended if of_entities else newest, ended=ended, due=due,
    )  # fmt: skip


def _name(row: Sequence[Any]) -> str:
    """A report with its level, or a stream."""
    return str(row[1]) if row[2] in _ENTITIES else f"{row[1]}:{row[2]}"


def _hours(hours: Mapping[str, float | None], *parts: str) -> float | None:
    """The deadline that says most about where it is for; None where nobody waits."""
    for length in range(len(parts), 0, -1):
        place = "/".join(parts[:length])
        if place in hours:
            given = hours[place]
            return None if given is None or float(given) >= _NEVER else float(given)
    return HOURS


def _end(day: date, zone: str) -> datetime:
    """When a day is over in a zone, in UTC."""
    midnight = datetime.combine(day + timedelta(days=1), time())
    try:
        return midnight.replace(tzinfo=ZoneInfo(zone or _LAST_ZONE)).astimezone(UTC)
    except (ZoneInfoNotFoundError, ValueError):
        return midnight.replace(tzinfo=ZoneInfo(_LAST_ZONE)).astimezone(UTC)
