"""The ``filtering`` of lists: an object of ids, statuses, names and moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Entity

from . import entity_fields as having
from .call import Call
from .errors import invalid, too_many_ids
from .listings import Listing
from .view import STATUSES, Getter, View, passes_status, secondary_status

_MOST_IDS = 100
_TEXTS: Mapping[str, Getter] = {
    "objective_type": lambda one, _: having.OBJECTIVES[one.goal],
    "secondary_status": secondary_status,
    "campaign_automation_type": lambda one, view: having.CAMPAIGN_FIELDS[
        "campaign_automation_type"
    ](one.campaign or one, view),
    "optimization_goal": having.GROUP_FIELDS["optimization_goal"],
}
_NAMES = ("campaign_name", "adgroup_name", "ad_name")
# Understood, and true of everything here.
_IGNORED = frozenset(
    "buying_types campaign_system_origins split_test_enabled billing_events bid_strategy "
    "promotion_type creative_material_mode is_smart_performance_campaign campaign_type "
    "campaign_product_source sales_destination creative_campaign_type destination displayable "
    "height width ratio".split()
)
_MOMENTS: Mapping[str, tuple[str, bool]] = {
    "creation_filter_start_time": ("create_time", True),
    "creation_filter_end_time": ("create_time", False),
    "modified_after": ("modify_time", True),
}


def narrowed(call: Call, listing: Listing, view: View) -> Callable[[Entity], bool]:
    """Combine everything that ``filtering`` asks; raises 40002 for what it does not know."""
    given = call.structure("filtering") or {}
    if not isinstance(given, dict):
        raise invalid("filtering: Not a valid object.")
    if listing.flat:
        given = {name: call.words(name) for name in listing.ids if call.words(name)}
    tests = [_test(name, value, listing, view) for name, value in given.items()]
    if listing.has_status and "primary_status" not in given and "secondary_status" not in given:
        tests.append(lambda one: passes_status(one, "STATUS_NOT_DELETE", view))
    if listing.kind == "audience":
        tests.append(lambda one: not view.gone(one))
    return lambda one: all(test(one) for test in tests)


def _test(name: str, value: Any, listing: Listing, view: View) -> Callable[[Entity], bool]:
    if name in listing.ids:
        ids = _ids(name, value)
        return lambda one: listing.ids[name](one, view) in ids
    if name == "primary_status" and listing.has_status:
        if value not in STATUSES:
            raise invalid(f"filtering.primary_status: Must be one of: {STATUSES}.")
        return lambda one: passes_status(one, value, view)
    if name in _NAMES and name in listing.fields:
        text = str(value).lower()
        return lambda one: text in str(listing.fields[name](one, view)).lower()
    if name in _TEXTS and listing.has_status:
        return lambda one: _TEXTS[name](one, view) == value
    if name in _MOMENTS:
        field, later = _MOMENTS[name]
        return lambda one: _since(listing.fields.get(field), one, view, str(value), later=later)
    if name in _IGNORED:
        return lambda _: True
    raise invalid(f"filtering.{name}: Unknown field.")


def _ids(name: str, value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not value:
        raise invalid(f"filtering.{name}: Not a valid list.")
    if len(value) > _MOST_IDS:
        raise too_many_ids(f"filtering.{name}", _MOST_IDS)
    return frozenset(map(str, value))


def _since(getter: Getter | None, one: Entity, view: View, text: str, *, later: bool) -> bool:
    """Compare a moment; what does not tell when it was changed always passes."""
    have = getter(one, view) if getter else None
    return have is None or (have >= text if later else have <= text)
