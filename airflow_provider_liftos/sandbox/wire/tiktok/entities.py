"""Lists of advertisers, campaigns, ad groups, ads, creatives and audiences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Account, Entity
from airflow_provider_liftos.sandbox.world import World

from . import known_fields as known
from .advertiser_fields import ADVERTISER_FIELDS
from .call import Call, Reply
from .errors import lacking, no_advertiser, unknown_fields
from .listings import LISTINGS
from .narrowing import narrowed
from .paging import Pager
from .view import Getter, View

_MOST_ADVERTISERS = 100


class Entities:
    """Serves every list."""

    def __init__(self, world: World, pager: Pager) -> None:
        self._world = world
        self._dataset = world.dataset("tiktok")
        self._pager = pager

    def advertisers(self, call: Call) -> Reply:
        """Answer ``advertiser/info/``; raises 40001 if the token does not see one of them."""
        ids = call.words("advertiser_ids", most=_MOST_ADVERTISERS)
        if not ids:
            raise lacking("advertiser_ids")
        names = self._fields(call, ADVERTISER_FIELDS, known.ADVERTISER, None)
        found = [find_account(self._world, call, one) for one in ids]
        rows = [_advertiser(one, names, call.now) for one in found]
        return Reply(data={"list": rows}, rows=len(rows))

    def granted(self, call: Call) -> Reply:
        """Answer ``oauth2/advertiser/get/``: every advertiser that the token sees."""
        rows = [
            {"advertiser_id": one.id, "advertiser_name": one.name}
            for one in self._dataset.accounts
            if call.token.sees(one.id)
        ]
        return Reply(data={"list": rows}, rows=len(rows))

    def listed(self, call: Call) -> Reply:
        """Answer a page of one of the LISTINGS."""
        listing = LISTINGS[call.path]
        account = find_account(self._world, call, call.required("advertiser_id"))
        view = View(self._dataset, call.now)
        names = self._fields(call, listing.fields, listing.silent, account.id)
        if call.words("fields"):
            names = tuple(dict.fromkeys((*names, listing.identity)))
        bare = "NULL_FIELD" in call.words("exclude_field_types_in_response")
        wanted = narrowed(call, listing, view)
        book = self._dataset.book(account).of(listing.kind)
        found = [one for one in book if listing.wanted(one) and wanted(one)]
        found.reverse()

        def rows(offset: int, limit: int) -> Sequence[dict[str, Any]]:
            return [
                _show(one, names, listing.fields, view, bare=bare)
                for one in found[offset : offset + limit]
            ]

        return self._pager.page(
            call, account.id, rows, len(found), otherwise=listing.otherwise, most=listing.most
        )

    def _fields(
        self, call: Call, have: Iterable[str], silent: frozenset[str], account: str | None
    ) -> tuple[str, ...]:
        """Return the fields asked for, all without ``fields``; raises 40002 naming the others."""
        asked = call.words("fields")
        wrong = [name for name in asked if name not in have and name not in silent]
        if wrong:
            raise unknown_fields("response", wrong)
        names = asked or (*have, *sorted(silent))
        refuse_gone(self._world, call, account, names, kind="response")
        return names


def refuse_gone(
    world: World, call: Call, account: str | None, names: Sequence[str], *, kind: str
) -> None:
    """Refuse a field that a fault took away, by its name."""
    gone = world.faults.take(
        ("field_gone",),
        platform="tiktok",
        line=call.request.line,
        account=account,
        accept=lambda fault: str(fault.options.get("field")) in names,
    )
    if gone:
        options = {name: value for name, value in gone.options.items() if name != "field"}
        raise unknown_fields(kind, [str(gone.options["field"])]).override(options)


def find_account(world: World, call: Call, identity: str) -> Account:
    """Return an advertiser that the token sees; raises 40001 for any other."""
    account = world.dataset("tiktok").account(identity)
    if account is None or not call.token.sees(account.id):
        raise no_advertiser(identity)
    return account


def _advertiser(account: Account, names: Sequence[str], now: datetime) -> dict[str, Any]:
    have = ADVERTISER_FIELDS
    return {name: have[name](account, now) if name in have else None for name in names}


def _show(
    entity: Entity, names: Sequence[str], fields: Mapping[str, Getter], view: View, *, bare: bool
) -> dict[str, Any]:
    row = {name: fields[name](entity, view) if name in fields else None for name in names}
    return {name: value for name, value in row.items() if value is not None} if bare else row
