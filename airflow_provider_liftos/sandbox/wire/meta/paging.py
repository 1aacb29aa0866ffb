"""Lists: limits, opaque cursors, and what faults do to a page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlencode

import msgspec

from airflow_provider_liftos.sandbox.dataset.chance import digest
from airflow_provider_liftos.sandbox.world import World

from .call import Call, Reply
from .errors import invalid, reduce_data

DEFAULT_LIMIT = 25
Fetch = Callable[[int, int], Sequence[bytes]]
_nonces = count(1)
_SPOILS = ("empty_page_mid_stream", "duplicate_page")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins; ``since`` is the second in which the first page was read."""

    offset: int
    since: int


def place_of(call: Call) -> Place:
    """Read the cursor of a call; the start of the list without one. Raises GraphError."""
    text = call.text("after")
    if not text:
        return Place(0, int(call.now.timestamp()))
    try:
        tag, offset, since, _ = base64.urlsafe_b64decode(text.encode()).decode().split(":")
        place = Place(int(offset), int(since))
    except (ValueError, binascii.Error):
        raise invalid("Invalid cursors values") from None
    if tag != _tag(call):
        raise invalid("Invalid cursors values")
    return place


def _tag(call: Call) -> str:
    """Tie a cursor to its list: a cursor from elsewhere is refused."""
    return digest(*call.segments, size=4).hex()


def _cursor(call: Call, offset: int, since: int) -> str:
    # The number makes every cursor look new, also one that leads to a place seen before.
    text = f"{_tag(call)}:{offset}:{since}:{next(_nonces)}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def page(
    world: World,
    call: Call,
    fetch: Fetch,
    *,
    account: str | None,
    more: dict[str, Any] | None = None,
    change: Callable[[Sequence[bytes]], Sequence[bytes]] = lambda rows: rows,
) -> Reply:
    """Answer one page of a list whose rows ``fetch(offset, limit)`` returns as JSON texts.

    ``change`` has the last word on the rows of the page.
    """
    limit = call.number("limit", DEFAULT_LIMIT, least=1)
    line = call.request.line
    heavy = world.faults.take(
        ("too_much_data",),
        platform="meta",
        line=line,
        account=account,
        accept=lambda fault: (
            "max_limit" in fault.options and limit > int(fault.options["max_limit"])
        ),
    )
    if heavy:
        raise reduce_data().override(heavy.options)
    here = place_of(call)
    spoil = world.faults.take(_SPOILS, platform="meta", line=line, account=account)
    start, proceed = here.offset, here.offset + limit
    if spoil:
        start, proceed = max(0, here.offset - limit), here.offset
    rows = list(fetch(start, limit + 1))
    rest = bool(spoil) or len(rows) > limit
    if spoil and spoil.kind == "empty_page_mid_stream":
        rows = []
    shown = change(rows[:limit])
    return _reply(call, shown, here, proceed=proceed if rest else None, more=more or {})


def _reply(
    call: Call,
    rows: Sequence[bytes],
    here: Place,
    *,
    proceed: int | None,
    more: dict[str, Any],
) -> Reply:
    parts = [b'{"data":[', b",".join(rows), b"]"]
    if rows or proceed is not None:
        end = proceed if proceed is not None else here.offset + len(rows)
        after = _cursor(call, end, here.since)
        paging: dict[str, Any] = {
            "cursors": {"before": _cursor(call, here.offset, here.since), "after": after}
        }
        if proceed is not None:
            paging["next"] = _next(call, after)
        parts += [b',"paging":', msgspec.json.encode(paging)]
    for name, value in more.items():
        parts += [b',"', name.encode(), b'":', msgspec.json.encode(value)]
    return Reply(payload=b"".join([*parts, b"}"]), rows=len(rows))


def _next(call: Call, after: str) -> str:
    """Write the address of the next page, token and all: the platform does so too."""
    params = {name: value for name, value in call.params.items() if name != "after"}
    query = urlencode({**params, "access_token": call.token.value, "after": after})
    return f"{call.request.base_url}/{call.version}/{'/'.join(call.segments)}?{query}"


def listed(items: Sequence[Any]) -> Fetch:
    """Return a fetch over things that are already at hand."""
    return lambda offset, limit: [
        msgspec.json.encode(item) for item in items[offset : offset + limit]
    ]


def check_statuses(call: Call, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return the statuses asked for by ``effective_status``; raises for one that is not one."""
    asked = call.names("effective_status")
    for at, status in enumerate(asked):
        if status not in allowed:
            known = ", ".join(allowed)
            raise invalid(f"Param effective_status[{at}] must be one of {{{known}}}")
    return asked
