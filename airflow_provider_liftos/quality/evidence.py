"""Signs by which one cause is told from another, gathered where a rule has failed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.model.quality import Quality, Sign
from airflow_provider_liftos.model.unified import PERFORMANCE
from airflow_provider_liftos.quality.days import Reader
from airflow_provider_liftos.quality.facts import ABLE, NOT_LOADED, day_in

_LATE = re.compile(r"^newest day (\S+), expected (\S+)$")
_FACTORS = ((80, 125), (800, 1250), (8e5, 1.25e6))  # minor units, mills, millionths


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What a run and its warehouse tell beside the findings; the warehouse is asked at most once.

    ``today`` and ``restatement_days`` say which days may still move.
    """

    manifest: Manifest
    warehouse: Reader
    quality: Quality
    today: date | datetime
    restatement_days: int
    _settings: dict[str, tuple[str, str]] | None = field(init=False, default=None)
    _errors: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for result in self.manifest.slices:
            if result.error:
                account = result.slice.account_id
                self._errors[account] = f"{self._errors.get(account, '')} {result.error}"

    def signs(
        self, rule: str, subject: SliceResult | str, said: str, number: float = 0.0
    ) -> set[Sign]:
        """Of a slice, or an account without one; ``said`` is what the finding observed."""
        account = subject if isinstance(subject, str) else subject.slice.account_id
        error = self._errors.get(account, "") if isinstance(subject, str) else subject.error
        found = set(self._of_words(f"{said} {error}"))
        found |= set(self._of_numbers(rule, said, number))
        if isinstance(subject, str):
            return found
        found |= set(self._of_slice(rule, subject))
        return found

    def _of_words(self, text: str) -> Iterator[Sign]:
        for pattern, sign in self.quality.words.items():
            if re.search(pattern, text):
                yield sign

    def _of_numbers(self, rule: str, said: str, number: float) -> Iterator[Sign]:
        if rule == "settled_days_stay" and said.startswith("conversions"):
            yield Sign.ONLY_CONVERSIONS
        if rule == "data_fresh" and (days := _LATE.match(said)):
            newest, expected = map(date.fromisoformat, days.groups())
            if (expected - newest).days == 1:
                yield Sign.LATE
        if rule == "data_fresh" and said.endswith(NOT_LOADED):
            yield Sign.NOT_LOADED
        if rule == "entities_go_on":
            yield Sign.ENTITIES_GONE
        if said.startswith("CPM") and any(low <= number <= high for low, high in _FACTORS):
            yield Sign.MINOR_UNITS

    def _of_slice(self, rule: str, result: SliceResult) -> Iterator[Sign]:
        account = result.account
        if account.status.lower() not in ABLE:
            yield Sign.ACCOUNT_STOPPED
        if result.dropped:
            yield Sign.FIELD_GONE
        age = (day_in(account.timezone, self.today) - result.slice.window.until).days
        yield Sign.UNSETTLED if age <= self.restatement_days else Sign.SETTLED
        zone, currency = self._known_settings().get(result.slice.account_id, ("", ""))
        if zone and account.timezone and zone != account.timezone:
            yield Sign.ZONE_CHANGED
        if currency and account.currency and currency != account.currency:
            yield Sign.CURRENCY_CHANGED
        if rule == "settled_days_stay" and self._attribution_changed(result):
            yield Sign.ATTRIBUTION_CHANGED

    def _known_settings(self) -> dict[str, tuple[str, str]]:
        """Zone and currency of each account, as the newest rows that people see have them."""
        if self._settings is None:
            ident = self.warehouse.layout.capabilities.ident
            account, day = ident("account_id"), ident("date")
            table = self.warehouse.layout.published(PERFORMANCE.name)
            scope = f"{ident('org_id')} = ? AND {ident('platform')} = ?"
            found = self.warehouse.query(
                f"SELECT p.{account}, MAX(p.{ident('account_timezone')}),"
                f" MAX(p.{ident('currency')}) FROM {table} AS p JOIN (SELECT {account},"
                f" MAX({day}) AS newest FROM {table} WHERE {scope} GROUP BY {account}) AS n"
                f" ON n.{account} = p.{account} AND n.newest = p.{day}"
                f" WHERE p.{ident('org_id')} = ? AND p.{ident('platform')} = ?"
                f" GROUP BY p.{account}",
                (*(self.manifest.org_id, self.manifest.platform) * 2,),
            )
            self._settings = {row[0]: (row[1] or "", row[2] or "") for row in found}
        return self._settings

    def _attribution_changed(self, result: SliceResult) -> bool:
        """Whether rows of the slice under audit name another setting than the published ones."""
        setting = self.warehouse.layout.capabilities.ident("attribution_setting")
        now = self._values(self.warehouse.layout.audit(PERFORMANCE.name), setting, result)
        seen = self._values(self.warehouse.layout.published(PERFORMANCE.name), setting, result)
        return bool(now and seen and now != seen)

    def _values(self, table: str, column: str, result: SliceResult) -> set[str]:
        ident = self.warehouse.layout.capabilities.ident
        window, report = result.slice.window, result.slice.report
        found = self.warehouse.query(
            f"SELECT DISTINCT {column} FROM {table} WHERE {ident('org_id')} = ?"
            f" AND {ident('platform')} = ? AND {ident('account_id')} = ? AND {ident('report')} = ?"
            f" AND {ident('level')} = ? AND {ident('date')} BETWEEN ? AND ?"
            f" AND {column} IS NOT NULL",
            (self.manifest.org_id, self.manifest.platform, result.slice.account_id,
             report.name if report else "", result.slice.level, window.since, window.until),
        )  # fmt: skip
        return {value for (value,) in found}
