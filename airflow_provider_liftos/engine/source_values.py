"""Values of a source as the texts that raw rows hold; what cannot fill its column is an error.

A driver's types are those of the source's columns, so a wrong one is wrong in every row, and is
told at once. Texts are judged like a platform's, one by one, when rows are normalized; only where
none of the first thousand can be read, the column itself is the wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.source import Fill
from airflow_provider_liftos.model.unified import Kind

Text = Callable[[Any], Any]
_JUDGED = 1_000


class _UnfitError(ValueError):
    """A value that cannot fill such a column; what it is."""


def _whole(value: float | Decimal) -> str:
    if value != value // 1:
        raise _UnfitError("numbers with fractions")
    return str(int(value))


_NUMBERS: Mapping[type, Text] = {
    int: str,
    Decimal: lambda value: format(value, "f"),
    float: repr,
    str: str,
}
_TEXTS: Mapping[type, Text] = {
    **_NUMBERS,
    bool: lambda value: str(value).lower(),
    UUID: str,
    date: date.isoformat,
    datetime: datetime.isoformat,
    time: time.isoformat,
}
_FORMS: Mapping[Kind, Mapping[type, Text]] = {
    Kind.INT: {**_NUMBERS, Decimal: _whole, float: _whole},
    Kind.DECIMAL: _NUMBERS,
    Kind.MONEY: _NUMBERS,
    Kind.ID: {int: str, str: str, Decimal: _whole, float: _whole, UUID: str},
    Kind.TEXT: _TEXTS,
    Kind.DATE: {date: date.isoformat, str: str},
    Kind.TIMESTAMP: {datetime: datetime.isoformat, date: date.isoformat, str: str},
    Kind.BOOL: {bool: lambda value: str(value).lower(), int: str, str: str},
    Kind.JSON: {dict: lambda value: value, list: lambda value: value, str: str},
}
_TOLD = {
    Kind.INT: "a whole number", Kind.DECIMAL: "a number", Kind.MONEY: "an amount of money",
    Kind.ID: "an id", Kind.TEXT: "text", Kind.DATE: "a date", Kind.TIMESTAMP: "a moment",
    Kind.BOOL: "true or false", Kind.JSON: "an object",
}  # fmt: skip
_READABLE: Mapping[Kind, Callable[[str], object]] = {
    Kind.INT: Decimal,
    Kind.DECIMAL: Decimal,
    Kind.MONEY: Decimal,
    Kind.DATE: date.fromisoformat,
    Kind.TIMESTAMP: datetime.fromisoformat,
}


@dataclass(slots=True, kw_only=True)
class Filling:
    """Makes the values of one column of the source those of one raw field."""

    fill: Fill
    zone: ZoneInfo
    platform: str
    _forms: dict[type, Text]
    _texts: int = 0
    _read: int = 0

    @classmethod
    def of(cls, fill: Fill, zone: ZoneInfo, platform: str) -> Filling:
        """For a declared column."""
        made = cls(fill=fill, zone=zone, platform=platform, _forms=dict(_FORMS[fill.kind]))
        if fill.kind in {Kind.DATE, Kind.TIMESTAMP}:
            made._forms[datetime] = made._moment
        if fill.kind in _READABLE:
            made._forms[str] = made._judged
        return made

    def text(self, value: Any) -> Any:
        """The value as raw rows hold it; None stays None. ConfigurationError names the column."""
        if value is None:
            return None
        form = self._forms.get(type(value)) or self._of_kind(value)
        try:
            return form(value)
        except _UnfitError as unfit:
            raise self._error(str(unfit)) from None
        except (InvalidOperation, OverflowError, ValueError):
            raise self._error("numbers that are none") from None

    def finish(self) -> None:
        """ConfigurationError when all texts that came were unreadable."""
        if self._texts and not self._read:
            raise self._error(f"texts that are not {_TOLD[self.fill.kind]}")

    def _of_kind(self, value: Any) -> Text:
        """For types that are derived from a known one."""
        kinds = (kind for kind in self._forms if isinstance(value, kind))
        found = None if isinstance(value, bool) else next(kinds, None)
        if found is None:
            raise self._error(f"{type(value).__name__} values")
        return self._forms.setdefault(type(value), self._forms[found])

    def _moment(self, value: datetime) -> str:
        """Without a zone it is by the source's clock; days are the source's days."""
        if self.fill.kind is Kind.DATE:
            return str((value.astimezone(self.zone) if value.tzinfo else value).date())
        return (value if value.tzinfo else value.replace(tzinfo=self.zone)).isoformat()

    def _judged(self, value: str) -> str:
        if self._texts < _JUDGED and value.strip():
            self._texts += 1
            try:
                _READABLE[self.fill.kind](value[:10] if self._is_day else value.strip())
                self._read += 1
            except (ValueError, InvalidOperation):
                pass
            if self._texts == _JUDGED:
                self.finish()
        return value[:10] if self._is_day else value

    @property
    def _is_day(self) -> bool:
        return self.fill.kind is Kind.DATE

    def _error(self, holds: str) -> ConfigurationError:
        name = self.fill.name.partition(":")[2] or self.fill.name
        return ConfigurationError(
            f"column {self.fill.source!r} of the source holds {holds}, but fills {name!r}, which"
            f" is {_TOLD[self.fill.kind]}",
            platform=self.platform,
            hint="Correct columns, or cast it in your query.",
        )
