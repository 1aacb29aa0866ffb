"""Whether what is to be graded has been published: which days of which tables are still lacking.

A table is a report with its level, such as ``basic:ad``, or a stream, such as ``campaigns``. A
listing counts for every day that had begun when it was made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from airflow_provider_liftos.model.report import CHANGES, SNAPSHOT, Account, Window
from airflow_provider_liftos.quality.days import Reader
from airflow_provider_liftos.quality.facts import due_day
from airflow_provider_liftos.quality.freshness import ages
from airflow_provider_liftos.quality.published import living_accounts

Tables = dict[tuple[str, str], set[date]]
"""By account and table: days of ``loads``, with rows or without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """What is waited for: ``tables`` (None: all that are loaded regularly) on the days of a window.

    Without a window it is the newest day that the platform can have by now, in each account's zone.
    """

    platform: str
    tables: Collection[str] | None = None
    window: Window | None = None
    delay_days: int = 1

    def lacking(self, warehouse: Reader, org_id: str, now: datetime) -> list[str]:
        """Lines on what is not published yet, one for each account and table.

        Raises WarehouseError as the warehouse does.
        """
        accounts = living_accounts(warehouse, self.platform, org_id)
        wanted = self._wanted(warehouse, org_id, now, accounts)
        if not wanted:
            return [f"nothing of {self.platform} is published"]
        days = {key: self._days(now, accounts.get(key[0])) for key in sorted(wanted)}
        there = _there(warehouse, self.platform, org_id, days)
        lines = (self._line(key, there.get(key, set()), days[key]) for key in days)
        return [line for line in lines if line]

    def _wanted(
        self, warehouse: Reader, org_id: str, now: datetime, accounts: Mapping[str, Account]
    ) -> set[tuple[str, str]]:
        found = ages(warehouse, org_id, self.platform, now=now, delay_days=self.delay_days)
        if self.tables is None:
            return {(age.account_id, age.name) for age in found}
        known = {*accounts, *(age.account_id for age in found)}
        return {(account, table) for account in known for table in self.tables}

    def _days(self, now: datetime, account: Account | None) -> list[date]:
        if self.window:
            return list(self.window.dates())
        return [due_day(now, account.timezone if account else "", self.delay_days)]

    def _line(self, key: tuple[str, str], there: set[date], days: Sequence[date]) -> str:
        account, table = key
        if ":" not in table:  # a listing is of now, and tells of all days before it
            days = [] if there and max(there) >= days[-1] else days[-1:]
        missing = [day for day in days if day not in there]
        if not missing:
            return ""
        more = f" and {len(missing) - 1} more days" if len(missing) > 1 else ""
        return f"{self.platform} account {account} lacks {missing[0]}{more} of {table}"


def _there(
    warehouse: Reader,
    platform: str,
    org_id: str,
    days: Mapping[tuple[str, str], Sequence[date]],
) -> Tables:
    """What is there of these days of these tables; of a listing, the day of the newest."""
    ident = warehouse.layout.capabilities.ident
    account, report, level, day = map(ident, ("account_id", "report", "level", "date"))
    start = (
        f" FROM {warehouse.layout.published('loads')} WHERE {ident('org_id')} = ?"
        f" AND {ident('platform')} = ? AND {report} IN "
    )
    found: Tables = {}
    listings = sorted({name for _, name in days if ":" not in name})
    if listings:
        rows = warehouse.query(
            f"SELECT {account}, {report}, MAX({day}){start}({_marks(listings)})"
            f" AND {level} IN (?, ?) GROUP BY {account}, {report}",
            (org_id, platform, *listings, SNAPSHOT, CHANGES),
        )
        found |= {(whose, stream): {newest} for whose, stream, newest in rows}
    levels = sorted({name for _, name in days if ":" in name})
    if levels:
        names = sorted({name.rpartition(":")[0] for name in levels})
        asked = [one for key in days if ":" in key[1] for one in days[key]]
        rows = warehouse.query(
            f"SELECT {account}, {report}, {level}, {day}{start}({_marks(names)})"
            f" AND {day} BETWEEN ? AND ?",
            (org_id, platform, *names, min(asked), max(asked)),
        )
        for whose, name, its_level, one in rows:
            found.setdefault((whose, f"{name}:{its_level}"), set()).add(one)
    return found


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
