"""Resources that are lists and nothing more: customers, changes, audiences, actions, places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Dataset, Entity
from airflow_provider_liftos.sandbox.dataset.google_ads import (
    ACTIONS,
    Action,
    Place,
    action_id,
    all_places,
    keywords,
)

from .hierarchy import Customer, Hierarchy
from .subjects import ATTRIBUTES, Getter, Subject

_LIST_SIZES = (0, 480, 12_500, 1_900_000)


def customer_clients(customer: Customer, hierarchy: Hierarchy, today: date) -> Iterator[Subject]:
    """Yield the whole tree below a customer, itself first."""
    for client, level in hierarchy.tree(customer):
        yield Subject(customer, today, values={"client": client, "level": level})


def changes(customer: Customer, dataset: Dataset, now: datetime) -> Iterator[Subject]:
    """Yield the latest change of every campaign, ad group and ad.

    Listings show a day's edits from its first minute in the account's zone; changes are dated then.
    """
    if customer.account is None:
        return
    book, zone = dataset.book(customer.account), customer.account.zone
    today = now.astimezone(zone).date()
    for kind, listed in (
        ("CAMPAIGN", book.campaigns),
        ("AD_GROUP", book.groups),
        ("AD_GROUP_AD", book.ads),
    ):
        for entity in listed:
            day, minute = entity.updated_at(today).date(), time(0, entity.index % 3)
            moment = datetime.combine(day, minute, zone)
            if moment <= now:
                values = {"kind": kind, "moment": moment, "state": _state(entity, today)}
                yield _of(customer, today, entity, values)


def _state(entity: Entity, today: date) -> str:
    if entity.status(today) in ("DELETED", "ARCHIVED"):
        return "REMOVED"
    return "CHANGED" if entity.revision(today) else "ADDED"


def _of(customer: Customer, today: date, entity: Entity, values: dict[str, Any]) -> Subject:
    campaign, group, ad = owners(entity)
    return Subject(customer, today, campaign, group, ad, values)


def owners(entity: Entity) -> tuple[Entity | None, Entity | None, Entity | None]:
    """Return campaign, ad group and ad of an entity, itself among them."""
    if entity.kind == "campaign":
        return entity, None, None
    if entity.kind == "ad_group":
        return entity.campaign, entity, None
    return entity.campaign, entity.group, entity


def user_lists(customer: Customer, dataset: Dataset, today: date) -> Iterator[Subject]:
    """Yield the audiences of an account."""
    if customer.account is not None:
        for entity in dataset.book(customer.account).audiences:
            yield Subject(customer, today, values={"list": entity})


def actions(customer: Customer, today: date) -> Iterator[Subject]:
    """Yield the conversion actions of an account."""
    if customer.account is not None:
        for action in ACTIONS:
            yield Subject(customer, today, values={"conversion_action": action})


def constants(customer: Customer, today: date) -> Iterator[Subject]:
    """Yield countries and regions, which belong to nobody."""
    countries = {one.country_id: Place(one.country, one.country_id) for one in all_places()}
    for place in (*countries.values(), *(one for one in all_places() if one.region_id)):
        yield Subject(customer, today, values={"place": place})


def criteria(customer: Customer, dataset: Dataset, today: date) -> Iterator[Subject]:
    """Yield the keywords of an account's ad groups."""
    if customer.account is not None:
        for group in dataset.book(customer.account).groups:
            for word in keywords(group):
                yield Subject(customer, today, group.campaign, group, values={"keyword": word})


def assets(customer: Customer, dataset: Dataset, today: date) -> Iterator[Subject]:
    """Yield the texts of an account's ads."""
    if customer.account is not None:
        for ad in dataset.book(customer.account).ads:
            for kind, count in (("HEADLINE", 3), ("DESCRIPTION", 2)):
                for step in range(count):
                    values = {"asset": f"{kind}:{ad.id}:{step}"}
                    yield Subject(customer, today, ad.campaign, ad.group, ad, values)


def _client(name: str) -> Getter:
    return lambda s: getattr(s.values["client"], name)


def _place(s: Subject) -> Place:
    found: Place = s.values["place"]
    return found


def _action(s: Subject) -> Action:
    found: Action = s.values["conversion_action"]
    return found


def _action_name(s: Subject) -> str:
    account = s.customer.account
    return s.name("conversionActions", action_id(account, _action(s)) if account else "0")


def _list(s: Subject) -> Entity:
    found: Entity = s.values["list"]
    return found


def constant_name(identity: int) -> str:
    """Return the resource name of a place."""
    return f"geoTargetConstants/{identity}"


def _changed(kind: str, resource: str, word: str = "resource_name") -> Getter:
    getter = ATTRIBUTES[resource][word]
    return lambda s: getter(s) if s.values["kind"] == kind else None


ATTRIBUTES |= {
    "customer_client": {
        "resource_name": lambda s: s.name("customerClients", s.values["client"].id),
        "client_customer": _client("resource_name"),
        "id": lambda s: int(s.values["client"].id),
        "level": lambda s: s.values["level"],
        "hidden": lambda _: False,
        "manager": _client("manager"),
        "status": _client("status"),
        "currency_code": _client("currency"),
        "time_zone": _client("timezone"),
        "descriptive_name": _client("name"),
        "test_account": lambda _: False,
    },
    "change_status": {
        "resource_name": lambda s: s.name(
            "changeStatus",
            f"{int(s.values['moment'].timestamp() * 1e6)}-{s.values['kind']}-"
            f"{(s.ad or s.group or s.campaign or s.customer).id}",
        ),
        "last_change_date_time": lambda s: f"{s.values['moment']:%Y-%m-%d %H:%M:%S.%f}",
        "resource_type": lambda s: s.values["kind"],
        "resource_status": lambda s: s.values["state"],
        "campaign": ATTRIBUTES["campaign"]["resource_name"],
        "ad_group": lambda s: ATTRIBUTES["ad_group"]["resource_name"](s) if s.group else None,
        "ad_group_ad": _changed("AD_GROUP_AD", "ad_group_ad"),
    },
    "user_list": {
        "resource_name": lambda s: s.name("userLists", _list(s).id),
        "id": lambda s: int(_list(s).id),
        "name": lambda s: _list(s).name(s.today),
        "description": lambda _: "Made by the sandbox",
        "type": lambda s: ("CRM_BASED", "RULE_BASED", "LOOKALIKE")[_list(s).index % 3],
        "membership_status": lambda s: (
            "OPEN" if _list(s).status(s.today) in ("ACTIVE", "PAUSED") else "CLOSED"
        ),
        "membership_life_span": lambda s: 30 * (1 + _list(s).index % 18),
        "size_for_search": lambda s: _LIST_SIZES[_list(s).index % 4],
        "size_for_display": lambda s: _LIST_SIZES[(_list(s).index + 1) % 4],
        "match_rate_percentage": lambda s: 40 + _list(s).index if _list(s).index % 3 == 0 else None,
        "read_only": lambda _: False,
    },
    "conversion_action": {
        "resource_name": _action_name,
        "id": lambda s: int(_action_name(s).rpartition("/")[2]),
        "name": lambda s: _action(s).name,
        "status": lambda _: "ENABLED",
        "type": lambda _: "WEBPAGE",
        "category": lambda s: _action(s).category,
        "owner_customer": lambda s: s.customer.resource_name,
        "primary_for_goal": lambda s: _action(s).primary,
        "include_in_conversions_metric": lambda s: _action(s).primary,
        "counting_type": lambda s: (
            "MANY_PER_CLICK" if _action(s).category == "PURCHASE" else "ONE_PER_CLICK"
        ),
        "click_through_lookback_window_days": lambda _: 30,
        "view_through_lookback_window_days": lambda _: 1,
        "attribution_model_settings.attribution_model": lambda _: (
            "GOOGLE_SEARCH_ATTRIBUTION_DATA_DRIVEN"
        ),
    },
    "geo_target_constant": {
        "resource_name": lambda s: constant_name(_place(s).region_id or _place(s).country_id),
        "id": lambda s: _place(s).region_id or _place(s).country_id,
        "name": lambda s: _place(s).region or _place(s).country,
        "canonical_name": lambda s: ",".join(filter(None, (_place(s).region, _place(s).country))),
        "country_code": lambda s: _place(s).country,
        "target_type": lambda s: "Region" if _place(s).region_id else "Country",
        "status": lambda _: "ENABLED",
        "parent_geo_target": lambda s: (
            constant_name(_place(s).country_id) if _place(s).region_id else None
        ),
    },
}
Lister = Callable[[Customer, Dataset, Hierarchy, datetime, date], Iterator[Subject]]
LISTS: dict[str, Lister] = {
    "customer_client": lambda c, _d, h, _n, today: customer_clients(c, h, today),
    "change_status": lambda c, d, _h, now, _t: changes(c, d, now),
    "user_list": lambda c, d, _h, _n, today: user_lists(c, d, today),
    "geo_target_constant": lambda c, _d, _h, _n, today: constants(c, today),
    "ad_group_criterion": lambda c, d, _h, _n, today: criteria(c, d, today),
    "asset": lambda c, d, _h, _n, today: assets(c, d, today),
}
ATTRIBUTES["click_view"] = {
    "resource_name": lambda s: s.name("clickViews", f"{s.values['day']}~{s.values['gclid']}"),
    "gclid": lambda s: s.values["gclid"],
    "ad_group_ad": ATTRIBUTES["ad_group_ad"]["resource_name"],
    "keyword": lambda s: (
        ATTRIBUTES["ad_group_criterion"]["resource_name"](s) if s.values["keyword"] else None
    ),
    "keyword_info.text": lambda s: s.values["keyword"].text if s.values["keyword"] else None,
    "keyword_info.match_type": lambda s: (
        s.values["keyword"].match_type if s.values["keyword"] else None
    ),
}
