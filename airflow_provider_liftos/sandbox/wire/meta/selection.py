"""Which ads an insights query is about, and which of its rows are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Dataset, Entity

from .errors import invalid
from .filters import Condition
from .node_fields import View, effective_status
from .query import Query

_OWNERS: dict[str, Callable[[Entity], Entity | None]] = {
    "campaign": lambda ad: ad.campaign,
    "adset": lambda ad: ad.group,
    "ad": lambda ad: ad,
}
_MEASURED = frozenset(
    [
        "impressions",
        "clicks",
        "spend",
        "reach",
        "frequency",
        "cpc",
        "cpm",
        "ctr",
        "cpp",
        "inline_link_clicks",
        "unique_clicks",
    ]
)


def check_conditions(conditions: Sequence[Condition]) -> None:
    """Refuse a filter on something that insights cannot be filtered by."""
    for one in conditions:
        owner, _, field = one.field.rpartition(".")
        if one.field in _MEASURED or one.field == "account.id":
            continue
        if owner in _OWNERS and field in ("id", "name", "effective_status", "objective"):
            continue
        raise invalid(f"Filtering field {one.field} is invalid")


def measured(query: Query) -> tuple[Condition, ...]:
    """Return the filters that look at a row's numbers."""
    return tuple(one for one in query.conditions if one.field in _MEASURED)


def chosen_ads(query: Query, dataset: Dataset, view: View) -> list[Entity] | None:
    """Return the ads the query is about; None for all of the account."""
    account = dataset.account(query.account_id)
    if account is None:
        return []
    conditions = [one for one in query.conditions if one.field not in _MEASURED]
    kind, identity = query.scope
    if kind == "account" and not conditions:
        return None
    return [
        ad
        for ad in dataset.book(account).ads
        if _within(ad, kind, identity) and all(_passes(ad, one, view) for one in conditions)
    ]


def _within(ad: Entity, kind: str, identity: str) -> bool:
    if kind == "account":
        return True
    owner = {"campaign": ad.campaign, "ad_group": ad.group, "ad": ad}.get(kind)
    return owner is not None and owner.id == identity


def _passes(ad: Entity, condition: Condition, view: View) -> bool:
    owner, _, field = condition.field.rpartition(".")
    if owner == "account":
        return condition.holds(ad.account.id)
    entity = _OWNERS[owner](ad)
    if entity is None:
        return False
    return condition.holds(_read(entity, field, view))


def _read(entity: Entity, field: str, view: View) -> Any:
    if field == "id":
        return entity.id
    if field == "name":
        return entity.name(view.today)
    if field == "objective":
        return entity.goal.upper()
    return effective_status(entity, view)
