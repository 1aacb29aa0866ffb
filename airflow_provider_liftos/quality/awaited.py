"""Whether what is to be graded has been published: which days of which tables are still lacking.

A table is a report with its level, such as ``basic:ad``, or a stream, such as ``campaigns``. A
listing counts for every day that had begun when it was made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
        there = _there(warehouse, self.platform, org_id)
        lines = (
            self._line(key, there.get(key, set()), self._days(now, accounts.get(key[0])))
            for key in sorted(wanted)
        )
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

    def _line(self, key: tuple[str, str], there: set[date], days: list[date]) -> str:
        account, table = key
        if ":" not in table:  # a listing is of now, and tells of all days before it
            days = [] if there and max(there) >= days[-1] else days[-1:]
        missing = [day for day in days if day not in there]
        if not missing:
            return ""
        more = f" and {len(missing) - 1} more days" if len(missing) > 1 else ""
        return f"{self.platform} account {account} lacks {missing[0]}{more} of {table}"


def _there(warehouse: Reader, platform: str, org_id: str) -> Tables:
    ident = warehouse.layout.capabilities.ident
    columns = ", ".join(ident(name) for name in ("account_id", "report", "level", "date"))
    rows = warehouse.query(
        f"SELECT {columns} FROM {warehouse.layout.published('loads')}"
        f" WHERE {ident('org_id')} = ? AND {ident('platform')} = ?",
        (org_id, platform),
    )
    found: Tables = {}
    for account, report, level, day in rows:
        table = report if level in {SNAPSHOT, CHANGES} else f"{report}:{level}"
        found.setdefault((account, table), set()).add(day)
    return found
