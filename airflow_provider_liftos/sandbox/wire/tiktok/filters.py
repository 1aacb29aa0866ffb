"""The ``filtering`` of reports: a list of field, type and value, the value a JSON text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Entity

from . import entity_fields as having
from .call import Call
from .errors import invalid, too_many_ids
from .metrics import METRICS, Row
from .view import STATUSES as ENTITY_STATUSES
from .view import View, passes_status

_MOST_IDS, _MOST_TASK_IDS = 100, 20_000
_LISTS = ("IN", "NOT_IN", "CONTAIN_ANY_OF")
_TYPES = (
    *_LISTS,
    *("MATCH", "GREATER_EQUAL", "GREATER_THAN", "LOWER_EQUAL", "LOWER_THAN", "BETWEEN", "RANGE"),
)
IDS: dict[str, Callable[[Entity, View], str]] = {
    "campaign_ids": lambda ad, _: ad.campaign.id if ad.campaign else "",
    "adgroup_ids": lambda ad, _: ad.group.id if ad.group else "",
    "ad_ids": lambda ad, _: ad.id,
    "ad_ids_v2": lambda ad, view: view.smart_ad(ad),
}
_OWNERS: dict[str, Callable[[Entity], Entity | None]] = {
    "campaign": lambda ad: ad.campaign,
    "adgroup": lambda ad: ad.group,
    "ad": lambda ad: ad,
}
STATUSES = {f"{kind}_status": owner for kind, owner in _OWNERS.items()}
_NAMES = {f"{kind}_name": owner for kind, owner in _OWNERS.items()}
_CAMPAIGN = ("objective_type", "campaign_automation_type")
_TASK = frozenset({*IDS, "country_code"})


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition; ``values`` are texts, also where there is only one."""

    field: str
    kind: str
    values: tuple[str, ...]

    def holds(self, have: str) -> bool:
        """Say whether a value passes."""
        if self.kind in ("IN", "CONTAIN_ANY_OF"):
            return have in self.values
        if self.kind == "NOT_IN":
            return have not in self.values
        if self.kind == "MATCH":
            return any(value.lower() in have.lower() for value in self.values)
        return self._measures(_size(have))

    def _measures(self, have: Decimal | None) -> bool:
        sizes = [_size(value) for value in self.values]
        first, last = sizes[0], sizes[-1]
        if have is None or first is None or last is None:
            return False
        return {
            "GREATER_EQUAL": have >= first,
            "GREATER_THAN": have > first,
            "LOWER_EQUAL": have <= first,
            "LOWER_THAN": have < first,
        }.get(self.kind, first <= have <= last)

    @property
    def about_rows(self) -> bool:
        """Say whether it looks at the numbers of a row."""
        return self.field in METRICS


def _size(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def parse_filters(call: Call, *, task: bool) -> tuple[Filter, ...]:
    """Read ``filtering``; raises 40002 for what is no filter, 40011 for too many ids."""
    given = call.structure("filtering")
    if given is None:
        return ()
    if not isinstance(given, list):
        raise invalid("filtering: Not a valid list.")
    return tuple(_filter(one, at, task=task) for at, one in enumerate(given))


def _filter(given: Any, at: int, *, task: bool) -> Filter:
    parts = ("field_name", "filter_type", "filter_value")
    for name in parts:
        if not isinstance(given, dict) or not given.get(name):
            raise invalid(f"filtering.{at}.{name}: Missing data for required field.")
    field, kind, text = (given[name] for name in parts)
    if kind not in _TYPES:
        raise invalid(f"filtering.{at}.filter_type: Must be one of: {', '.join(_TYPES)}.")
    known = {*IDS, *STATUSES, *_NAMES, *_CAMPAIGN, *METRICS, "country_code"}
    if field not in (_TASK if task else known):
        raise invalid(f"filtering.{at}.field_name: Unsupported field {field}.")
    values = _values(text, at)
    if kind in _LISTS and not isinstance(values, list):
        raise invalid(f"filtering.{at}.filter_value: Not a valid list.")
    found = tuple(map(str, values if isinstance(values, list) else [values]))
    _check(field, found, at, task=task)
    return Filter(field, kind, found)


def _values(text: Any, at: int) -> Any:
    """Read a value, which is a JSON text; a bare word stands for itself."""
    if not isinstance(text, str):
        raise invalid(f"filtering.{at}.filter_value: Not a valid string.")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check(field: str, values: Sequence[str], at: int, *, task: bool) -> None:
    most = _MOST_TASK_IDS if task else _MOST_IDS
    if field in IDS and len(values) > most:
        raise too_many_ids(f"filtering.{at}.filter_value", most)
    if field in STATUSES:
        for value in values:
            if value not in ENTITY_STATUSES:
                raise invalid(f"filtering.{at}.filter_value: Unknown status {value}.")


def chooses(filters: Sequence[Filter], view: View) -> Callable[[Entity], bool]:
    """Return the test that an ad must pass to be looked at."""
    tests = [_test(one, view) for one in filters if not one.about_rows]
    return lambda ad: all(test(ad) for test in tests)


def _test(one: Filter, view: View) -> Callable[[Entity], bool]:
    if one.field in IDS:
        identity, values = IDS[one.field], frozenset(one.values)
        inside = one.kind != "NOT_IN"
        return lambda ad: (identity(ad, view) in values) is inside
    if one.field in STATUSES:
        owner = STATUSES[one.field]
        return lambda ad: _has_status(owner(ad), one, view)
    if one.field in _NAMES:
        named = _NAMES[one.field]
        return lambda ad: one.holds(_name(named(ad), view))
    if one.field in _CAMPAIGN:
        getter = having.CAMPAIGN_FIELDS[one.field]
        return lambda ad: one.holds(str(getter(ad.campaign, view)) if ad.campaign else "")
    return lambda _: True  # country_code looks at parts of a row, not at ads


def _has_status(owner: Entity | None, one: Filter, view: View) -> bool:
    if owner is None:
        return False
    passes = any(passes_status(owner, value, view) for value in one.values)
    return passes is not (one.kind == "NOT_IN")


def _name(owner: Entity | None, view: View) -> str:
    return owner.name(view.today) if owner else ""


def measured(row: Row, filters: Sequence[Filter], view: View) -> bool:
    """Say whether the numbers of a row pass."""
    return all(one.holds(METRICS[one.field](row, view)) for one in filters if one.about_rows)
