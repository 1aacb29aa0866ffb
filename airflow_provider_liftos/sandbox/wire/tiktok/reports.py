"""Reports that are answered at once: ``report/integrated/get/``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from airflow_provider_liftos.sandbox.dataset import Account
from airflow_provider_liftos.sandbox.faults import Fault
from airflow_provider_liftos.sandbox.wire import Headers
from airflow_provider_liftos.sandbox.world import World

from .call import Call, Reply
from .entities import find_account, refuse_gone
from .errors import invalid, timed_out
from .paging import Pager
from .query import Query, parse_query
from .rows import KEYS, Kept, Scene, Written, chosen, gathered, ordered, total, writer
from .view import View

NEWEST_ADS = 20_000
_THROTTLE = (
    "X-Tt-Ads-Throttle",
    "Number of ad ids is equal or more than 20k. Only the newest 20k ads are returned.",
)
_CONDITIONS = frozenset({"max_days", "max_ids", "ad_ids", "field", "date"})


class Reports:
    """Reads reports for both of their ways: at once, and as tasks."""

    def __init__(self, world: World, pager: Pager) -> None:
        self._world = world
        self._dataset = world.dataset("tiktok")
        self._pager = pager
        self._kept = Kept()

    def at_once(self, call: Call) -> Reply:
        """Answer a page of a report; raises TikTokError for what may not be asked."""
        if call.flag("multi_adv_report_in_utc_time"):
            raise invalid("multi_adv_report_in_utc_time: Not supported by the sandbox.")
        query = self.query(call, task=False)
        if not query.level:  # catalogues, playables, shops and reservations: there are none
            return self._pager.page(call, query.accounts[0], lambda _, __: [], 0)
        self._refuse_heavy(call, query)
        most, headers = self._considered(call, query)
        rows = self._page_rows(query, call.now, most)
        more: dict[str, Any] = {}
        if call.flag("enable_total_metrics"):
            closed = [
                row for scene in self._scenes(query, call.now, most) for row in gathered(scene)
            ]
            more = {"total_metrics": total(closed, query.metrics, self._view(call.now))}
        reply = self._pager.page(
            call,
            query.accounts[0],
            lambda offset, limit: rows[offset : offset + limit],
            len(rows),
            more=more,
        )
        reply.headers = headers
        return reply

    def query(self, call: Call, *, task: bool) -> Query:
        """Read a report's parameters and see that its advertisers may be seen."""
        query = parse_query(call, task=task)
        for identity in query.accounts:
            find_account(self._world, call, identity)
        names = (*query.metrics, *query.dimensions)
        refuse_gone(self._world, call, query.accounts[0], names, kind="metric")
        return query

    def lines(self, query: Query, now: datetime) -> Iterator[Written]:
        """Yield the rows of a report as it was known at a moment."""
        write = writer(query, self._view(now))
        for scene in self._scenes(query, now, None):
            yield from map(write, gathered(scene))

    def hits(self, fault: Fault, query: Query, now: datetime) -> bool:
        """Say whether a fault with conditions means this query: every condition must hold.

        ``max_days``, ``max_ids`` (entities of the query's level), ``ad_ids`` (any of them is
        covered), ``field``, ``date`` (it is covered).
        """
        options = fault.options
        if not _CONDITIONS & set(options):
            return True
        view = self._view(now)
        ads = [ad for one in self._accounts(query) for ad in chosen(query, one, view)]
        named = {KEYS[query.identity](ad, view) for ad in ads}
        checks: dict[str, Callable[[Any], bool]] = {
            "max_days": lambda most: query.days > int(most),
            "max_ids": lambda most: len(named) > int(most),
            "ad_ids": lambda ids: bool({ad.id for ad in ads} & set(map(str, ids))),
            "field": lambda name: name in (*query.metrics, *query.dimensions),
            "date": lambda day: str(query.since) <= str(day) <= str(query.until),
        }
        return all(check(options[name]) for name, check in checks.items() if name in options)

    def _accounts(self, query: Query) -> list[Account]:
        found = (self._dataset.account(identity) for identity in query.accounts)
        return [one for one in found if one is not None]

    def _view(self, now: datetime) -> View:
        return View(self._dataset, now)

    def _scenes(self, query: Query, now: datetime, most: int | None) -> list[Scene]:
        view = self._view(now)
        scenes = []
        for account in self._accounts(query):
            ads = chosen(query, account, view)
            if most is not None and len(ads) > most:
                ads = sorted(ads, key=lambda ad: (ad.created_at, ad.index))[-most:]
            moment = self._dataset.moment(account, now)
            scenes.append(Scene(query, self._dataset, account, moment, view, ads))
        return scenes

    def _page_rows(self, query: Query, now: datetime, most: int | None) -> list[msgspec.Raw]:
        moments = tuple(self._dataset.moment(one, now) for one in self._accounts(query))
        key = (query, most, moments, self._view(now).today)
        rows = self._kept.get(key)
        if rows is None:
            write = writer(query, self._view(now))
            texts = [
                write(row) for scene in self._scenes(query, now, most) for row in gathered(scene)
            ]
            rows = [msgspec.Raw(msgspec.json.encode(one)) for one in ordered(texts, query.order)]
            self._kept.keep(key, rows)
        return rows

    def _considered(self, call: Call, query: Query) -> tuple[int | None, Headers]:
        """Return how many ads are looked at, and the header that is the only sign of it."""
        if query.level != "ad":
            return None, []
        fault = self._world.faults.take(
            ("ads_cut",), platform="tiktok", line=call.request.line, account=query.accounts[0]
        )
        most = int(fault.options.get("threshold", NEWEST_ADS)) if fault else NEWEST_ADS
        view = self._view(call.now)
        reached = any(len(chosen(query, one, view)) >= most for one in self._accounts(query))
        return most, [_THROTTLE] if reached else []

    def _refuse_heavy(self, call: Call, query: Query) -> None:
        heavy = self._world.faults.take(
            ("too_much_data",),
            platform="tiktok",
            line=call.request.line,
            account=query.accounts[0],
            accept=lambda fault: (
                "max_limit" not in fault.options and self.hits(fault, query, call.now)
            ),
        )
        if heavy:
            raise timed_out().override(heavy.options)
