"""Rows of a source, one by one: whose they are, of which day, and what they become on staging."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_liftos.engine.source_cuts import Cuts
from airflow_provider_liftos.engine.source_values import Filling
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import Account
from airflow_provider_liftos.model.source import Source


@dataclass(slots=True, kw_only=True)
class Rows:
    """Makes raw rows of a source's.

    ``columns`` are what is to be selected: first ``key``, the day and the account.
    """

    source: Source
    zone: ZoneInfo
    key: tuple[str, ...]
    columns: tuple[str, ...]
    _fillings: tuple[tuple[int, str, Filling], ...]
    _account: tuple[int, Filling] | None
    _accounts: dict[str, Account] = field(default_factory=dict)
    _without_currency: set[str] = field(default_factory=set)
    _lost: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, source: Source, zone: ZoneInfo, platform: str) -> Rows:
        """For a declared source."""
        names = ("date", "account_id")
        key = tuple(source.columns[name] for name in names if name in source.columns)
        columns = tuple(dict.fromkeys((*key, *(fill.source for fill in source.fills))))
        made = {fill.name: Filling.of(fill, zone, platform) for fill in source.fills}
        by_account = made.pop("account_id", None)
        fillings = tuple((columns.index(f.fill.source), n, f) for n, f in made.items())
        return cls(
            source=source, zone=zone, key=key, columns=columns, _fillings=fillings,
            _account=(columns.index(by_account.fill.source), by_account) if by_account else None,
        )  # fmt: skip

    def place(self, row: Sequence[Any]) -> tuple[str, date] | None:
        """Account and day of a row that begins with the key; None is counted."""
        day = None if self.source.stream else day_of(row[0], self.zone)
        account = self._whose(row)
        if day is None and not self.source.stream:
            self._lost[f"no readable day in {self.source.columns['date']!r}"] += 1
        elif not account:
            self._lost[f"no account in {self.source.columns['account_id']!r}"] += 1
        else:
            return account, day or date.min
        return None

    def sorted_out(self, batch: Sequence[Sequence[Any]], cuts: Cuts) -> dict[int, list[bytes]]:
        """Raw rows of a batch by the numbers of their slices.

        ConfigurationError for values that cannot fill their column.
        """
        found: dict[int, list[bytes]] = {}
        for row in batch:
            if (place := self.place(row)) is None:
                continue
            account, day = place
            if cuts.whole and self.source.stream:
                day = cuts.whole.since
            if (number := cuts.find(account, day)) is not None:
                found.setdefault(number, []).append(self._line(account, row))
        return found

    def finish(self) -> None:
        """ConfigurationError when a column held nothing that its field can take."""
        for _, _, filling in self._fillings:
            filling.finish()

    def account(self, account_id: str) -> Account:
        """What is known of an account.

        Of one with rows that have no currency, none is: these would be taken to be in it.
        """
        known = self._accounts.get(account_id) or self._described(account_id, {})
        if account_id in self._without_currency:
            return replace(known, currency=self.source.currency)
        return known

    def warnings(self) -> tuple[str, ...]:
        """What was left out, and why."""
        return tuple(f"{count} rows were left out: {why}" for why, count in self._lost.items())

    def _whose(self, row: Sequence[Any]) -> str:
        if self._account is None:
            return self.source.account
        position, filling = self._account
        given = filling.text(row[position])
        if given and "\x00" in given:
            raise ConfigurationError(
                f"column {filling.fill.source!r} of the source holds accounts with a NUL"
                " character, which no database keeps"
            )
        return given or self.source.account

    def _line(self, account: str, row: Sequence[Any]) -> bytes:
        import msgspec

        fields = {
            name: text
            for position, name, filling in self._fillings
            if (text := filling.text(row[position])) is not None
        }
        if not str(fields.get("currency") or "").strip():
            fields.pop("currency", None)
            self._without_currency.add(account)
        if self.source.stream:
            self._complete(fields)
        if account not in self._accounts:
            self._accounts[account] = self._described(account, fields)
        try:
            return msgspec.json.encode(fields)
        except UnicodeEncodeError:  # halves of a surrogate pair, which no file can hold
            whole = {n: _whole(text) for n, text in fields.items()}
            return msgspec.json.encode(whole)

    def _complete(self, fields: dict[str, Any]) -> None:
        """Entities say currency and zone themselves."""
        names = self.source.table.names()
        for name, value in (("currency", self.source.currency), ("timezone", self.source.timezone)):
            if value and name in names:
                fields.setdefault(name, value)

    def _described(self, account_id: str, fields: dict[str, Any]) -> Account:
        return Account(
            account_id=account_id,
            name=str(fields.get("account_name") or account_id),
            currency=self.source.currency or str(fields.get("currency") or ""),
            timezone=self.source.timezone,
        )


def day_of(value: Any, zone: ZoneInfo) -> date | None:
    """The day of a date, a moment or a text that begins with one; None for anything else."""
    if isinstance(value, datetime):
        return (value.astimezone(zone) if value.tzinfo else value).date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def _whole(text: Any) -> Any:
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else text
