"""Lists of entities: which are listed, and how they can be filtered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Account, Dataset, Entity
from airflow_provider_liftos.sandbox.world import World

from .call import Call, Reply, Selection, select
from .errors import invalid, nonexisting_field
from .filters import Condition, parse_conditions
from .node_fields import GONE, View, effective_status
from .nodes import NODE_KINDS, NodeKind, render
from .paging import check_statuses, listed, page

# edge -> kind, per kind of node that has the edge
EDGES: dict[str, dict[str, str]] = {
    "account": {
        "campaigns": "campaign",
        "adsets": "ad_group",
        "ads": "ad",
        "adcreatives": "creative",
        "customaudiences": "audience",
    },
    "campaign": {"adsets": "ad_group", "ads": "ad"},
    "ad_group": {"ads": "ad", "adcreatives": "creative"},
    "ad": {"adcreatives": "creative"},
}
_WIRE_NAMES = {"campaign": "campaign", "ad_group": "adset", "ad": "ad", "creative": "adcreative"}


def view_at(dataset: Dataset, now: datetime) -> View:
    """Return how entities look at a moment; they change at midnight UTC."""
    return View(dataset, now.astimezone(UTC).date(), now)


def node(world: World, call: Call, thing: Account | Entity) -> Reply:
    """Answer for one node."""
    kind = NODE_KINDS[thing.kind if isinstance(thing, Entity) else "account"]
    account = thing.account if isinstance(thing, Entity) else thing
    selections = selected(world, call, kind, account.id)
    payload = render(thing, selections, kind, view_at(world.dataset("meta"), call.now))
    return Reply(payload=payload, rows=1)


def selected(
    world: World, call: Call, kind: NodeKind, account: str | None
) -> tuple[Selection, ...]:
    """Read ``fields``; a field that a fault took away is refused by name."""
    selections = select(call.text("fields"))
    names = {one.name for one in selections} | {
        f"{one.name}.{inner.name}" for one in selections for inner in one.inner
    }
    gone = world.faults.take(
        ("field_gone",),
        platform="meta",
        line=call.request.line,
        account=account,
        accept=lambda fault: str(fault.options.get("field")) in names,
    )
    if gone:
        raise nonexisting_field(str(gone.options["field"]), kind.name).override(
            {name: value for name, value in gone.options.items() if name != "field"}
        )
    return selections


def accounts(world: World, call: Call, found: Sequence[Account]) -> Reply:
    """Answer a list of ad accounts."""
    kind = NODE_KINDS["account"]
    selections = selected(world, call, kind, None) or (Selection("account_id"),)
    view = view_at(world.dataset("meta"), call.now)
    rows = [render(account, selections, kind, view) for account in found]
    return _page(world, call, rows, None)


def edge(world: World, call: Call, owner: Account | Entity, kind_name: str) -> Reply:
    """Answer a list of entities below ``owner``."""
    account = owner.account if isinstance(owner, Entity) else owner
    dataset = world.dataset("meta")
    kind, view = NODE_KINDS[kind_name], view_at(dataset, call.now)
    selections = selected(world, call, kind, account.id)
    wanted = _wanted(call, kind_name, kind, view)
    found = [
        entity for entity in dataset.book(account).of(kind_name)
        if _below(entity, owner, dataset) and wanted(entity)
    ]  # fmt: skip
    # Check the fields even if nothing is found, as the platform does.
    rows = [render(entity, selections, kind, view) for entity in found]
    for one in selections:
        if one.name not in kind.known:
            raise nonexisting_field(one.name, kind.name)
    return _page(world, call, rows, account.id)


def _page(world: World, call: Call, rows: Sequence[dict[str, Any]], account: str | None) -> Reply:
    summary = call.text("summary").lower() in ("true", "1", "total_count")
    more = {"summary": {"total_count": len(rows)}} if summary else None
    return page(world, call, listed(rows), account=account, more=more)


def _below(entity: Entity, owner: Account | Entity, dataset: Dataset) -> bool:
    if isinstance(owner, Account):
        return True
    if entity.kind == "creative":
        ads = dataset.book(owner.account).ads
        users = (ad for ad in ads if ad.creative == entity.index)
        return any(ad is owner or ad.group is owner for ad in users)
    return entity.campaign is owner or entity.group is owner


Wanted = Callable[[Entity], bool]


def _wanted(call: Call, name: str, kind: NodeKind, view: View) -> Wanted:
    """Combine the status rule, ``filtering``, ``updated_since`` and the time range."""
    statuses = check_statuses(call, kind.statuses) if kind.statuses else ()
    conditions = parse_conditions(call)
    read = {id(one): _reader(one, name, view) for one in conditions}
    asks_status = any(one.field.endswith("effective_status") for one in conditions)
    since = call.number("updated_since", 0)
    span = _span(call) if name == "campaign" else None

    def wanted(entity: Entity) -> bool:
        status = effective_status(entity, view)
        if entity.kind == "creative":
            status = "ACTIVE"
        if statuses and status not in statuses:
            return False
        if not statuses and not asks_status and status in GONE:
            return False
        if since and entity.updated_at(view.today).timestamp() < since:
            return False
        if span and not _runs_within(entity, *span):
            return False
        return all(one.holds(read[id(one)](entity)) for one in conditions)

    return wanted


def _reader(condition: Condition, name: str, view: View) -> Callable[[Entity], Any]:
    """Return what a filter reads of an entity; raises for a field that cannot be filtered."""
    own, _, field = condition.field.rpartition(".")
    wire_name = _WIRE_NAMES.get(name, name)
    readers: dict[str, Callable[[Entity], Any]] = {
        "id": lambda entity: entity.id,
        "name": lambda entity: entity.name(view.today),
        "effective_status": lambda entity: effective_status(entity, view),
        "status": lambda entity: entity.status(view.today),
        "updated_time": lambda entity: int(entity.updated_at(view.today).timestamp()),
        "created_time": lambda entity: int(entity.created_at.timestamp()),
    }
    if own in ("", wire_name) and field in readers:
        return readers[field]
    parents: dict[str, Callable[[Entity], Any]] = {
        "campaign.id": lambda entity: entity.campaign.id if entity.campaign else "",
        "adset.id": lambda entity: entity.group.id if entity.group else "",
    }
    if condition.field in parents and name in ("ad", "ad_group"):
        return parents[condition.field]
    raise invalid(f"Filtering field {condition.field} is invalid")


def _span(call: Call) -> tuple[date, date] | None:
    value = call.json("time_range")
    if value is None:
        return None
    try:
        return date.fromisoformat(value["since"]), date.fromisoformat(value["until"])
    except (KeyError, TypeError, ValueError):
        raise invalid("param time_range must have since and until like 2026-11-01") from None


def _runs_within(entity: Entity, since: date, until: date) -> bool:
    start = entity.created_at.date()
    return start <= until and start + timedelta(days=900) >= since
