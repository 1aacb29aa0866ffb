"""Pages by number, and what faults do to them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_liftos.sandbox.world import World

from .call import Call, Reply
from .errors import timed_out

Fetch = Callable[[int, int], Sequence[Any]]
_SPOILS = ("empty_page_mid_stream", "duplicate_page")
_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class Spoil:
    """A page that went wrong: every later page comes one number later, so nothing is lost."""

    page: int
    kind: str


class Pager:
    """Serves pages; remembers per list which of its pages were spoiled."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._spoiled: OrderedDict[object, tuple[Spoil, ...]] = OrderedDict()

    def page(
        self,
        call: Call,
        account: str | None,
        fetch: Fetch,
        total: int,
        *,
        otherwise: int = 10,
        most: int = 1000,
        more: dict[str, Any] | None = None,
    ) -> Reply:
        """Answer the page that is asked for, with the numbers of all pages beside it."""
        number = call.number("page", 1)
        size = call.number("page_size", otherwise, most=most)
        self._refuse_large(call, account, size)
        spoils = self._spoils(call, account, number, last=-(-total // size))
        before = sum(one.page < number for one in spoils)
        spoil = next((one for one in spoils if one.page == number), None)
        start = (number - 1 - before) * size
        rows = fetch(max(0, start - size) if spoil else start, size)
        if spoil and spoil.kind == "empty_page_mid_stream":
            rows = []
        doubled = sum(one.kind == "duplicate_page" for one in spoils) * min(size, total)
        info = {
            "page": number,
            "page_size": size,
            "total_number": total + doubled,
            "total_page": -(-total // size) + len(spoils),
        }
        return Reply(data={**(more or {}), "list": list(rows), "page_info": info}, rows=len(rows))

    def _refuse_large(self, call: Call, account: str | None, size: int) -> None:
        heavy = self._world.faults.take(
            ("too_much_data",),
            platform="tiktok",
            line=call.request.line,
            account=account,
            accept=lambda fault: (
                "max_limit" in fault.options and size > int(fault.options["max_limit"])
            ),
        )
        if heavy:
            raise timed_out().override(heavy.options)

    def _spoils(
        self, call: Call, account: str | None, number: int, *, last: int
    ) -> tuple[Spoil, ...]:
        key = _list_of(call)
        fault = self._world.faults.take(
            _SPOILS,
            platform="tiktok",
            line=call.request.line,
            account=account,
            accept=lambda _: number <= last,
        )
        with self._lock:
            # The first page begins a new reading.
            known = () if number == 1 else self._spoiled.get(key, ())
            if fault and not any(one.page == number for one in known):
                known = (*known, Spoil(number, fault.kind))
            self._spoiled.pop(key, None)
            if known:
                self._spoiled[key] = known
            while len(self._spoiled) > _REMEMBERED:
                self._spoiled.popitem(last=False)
        return known


def _list_of(call: Call) -> object:
    """Return what makes a list the same one on its next page."""
    asked = {name: str(value) for name, value in call.given.items() if name != "page"}
    return call.path, call.token.value, tuple(sorted(asked.items()))
