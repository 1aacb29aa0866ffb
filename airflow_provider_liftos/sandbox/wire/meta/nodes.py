"""The kinds of nodes, and how one is shown with the fields asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Entity

from . import known_fields, node_fields
from .call import Selection
from .errors import nonexisting_field
from .node_fields import Getter, View


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKind:
    """A kind of node: its name on the wire, what it knows and what it has."""

    name: str
    known: frozenset[str]
    fields: Mapping[str, Getter]
    statuses: tuple[str, ...] = ()
    identify: Callable[[Any], str] = lambda thing: thing.id


_CAMPAIGN_STATUSES = ("ACTIVE", "PAUSED", "DELETED", "ARCHIVED", "IN_PROCESS", "WITH_ISSUES")
_GROUP_STATUSES = (*_CAMPAIGN_STATUSES, "CAMPAIGN_PAUSED")
NODE_KINDS: dict[str, NodeKind] = {
    "account": NodeKind(
        name="AdAccount",
        known=known_fields.AD_ACCOUNT,
        fields=node_fields.ACCOUNT_FIELDS,
        identify=lambda account: f"act_{account.id}",
    ),
    "campaign": NodeKind(
        name="Campaign",
        known=known_fields.CAMPAIGN,
        fields=node_fields.CAMPAIGN_FIELDS,
        statuses=_CAMPAIGN_STATUSES,
    ),
    "ad_group": NodeKind(
        name="AdSet",
        known=known_fields.AD_SET,
        fields=node_fields.GROUP_FIELDS,
        statuses=_GROUP_STATUSES,
    ),
    "ad": NodeKind(
        name="Ad",
        known=known_fields.AD,
        fields=node_fields.AD_FIELDS,
        statuses=(
            *_GROUP_STATUSES,
            *("ADSET_PAUSED", "PENDING_REVIEW", "DISAPPROVED", "PREAPPROVED"),
            "PENDING_BILLING_INFO",
        ),
    ),
    "creative": NodeKind(
        name="AdCreative",
        known=known_fields.CREATIVE,
        fields=node_fields.CREATIVE_FIELDS,
        statuses=("ACTIVE",),
    ),
    "audience": NodeKind(
        name="CustomAudience", known=known_fields.AUDIENCE, fields=node_fields.AUDIENCE_FIELDS
    ),
}


def render(
    thing: Any, selections: Sequence[Selection], kind: NodeKind, view: View
) -> dict[str, Any]:
    """Return the fields asked for and the id; fields without a value are absent.

    Raises GraphError for a field that the kind of node does not have.
    """
    row: dict[str, Any] = {}
    for one in selections:
        if one.name not in kind.known:
            raise nonexisting_field(one.name, kind.name)
        getter = kind.fields.get(one.name)
        value = getter(thing, view) if getter else None
        if isinstance(value, Entity):
            value = render(value, one.inner, NODE_KINDS[value.kind], view)
        elif one.inner and isinstance(value, dict):
            value = {inner.name: value[inner.name] for inner in one.inner if inner.name in value}
        if value is not None:
            row[one.name] = value
    row["id"] = kind.identify(thing)
    return row
