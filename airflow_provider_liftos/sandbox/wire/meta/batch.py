"""Many requests in one: ``POST /`` with a list under ``batch``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_liftos.sandbox.faults import TRANSPORT
from airflow_provider_liftos.sandbox.wire import WireRequest, WireResponse
from airflow_provider_liftos.sandbox.world import World

from .call import Reply
from .errors import GraphError, invalid

_MOST = 50
# An item that meets one of these was not executed: the client must send it again.
_UNDONE = (*sorted(TRANSPORT - {"slow"}), "batch_null")


def serve_batch(
    world: World,
    request: WireRequest,
    version: str,
    serve: Callable[[WireRequest], WireResponse],
) -> Reply:
    """Serve each item as a request of its own; raises GraphError for what is no batch."""
    items = _items(request)
    with_headers = request.params.get("include_headers", "true").lower() not in ("false", "0")
    answers = [
        _serve_item(world, _item_request(request, version, item), serve, with_headers)
        for item in items
    ]
    # The rows of the items are counted with the items.
    return Reply(payload=answers, notes={"batch_size": len(items)})


def _items(request: WireRequest) -> list[dict[str, Any]]:
    try:
        items = json.loads(request.params["batch"])
    except ValueError:
        raise invalid("param batch must be a JSON array") from None
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise invalid("param batch must be a JSON array of objects")
    if len(items) > _MOST:
        raise GraphError(
            f"Too many requests in batch message. Maximum batch size is {_MOST}", code=100
        )
    return items


def _item_request(outer: WireRequest, version: str, item: dict[str, Any]) -> WireRequest:
    """Build the request of an item: its own token, else that of the batch."""
    address = urlsplit(str(item.get("relative_url", "")))
    path = address.path.strip("/")
    if version and not path.partition("/")[0].startswith("v"):
        path = f"{version}/{path}".strip("/")
    inherited = {
        name: outer.params[name]
        for name in ("access_token", "appsecret_proof")
        if name in outer.params
    }
    given = dict(parse_qsl(address.query, keep_blank_values=True))
    given.update(parse_qsl(str(item.get("body", "")), keep_blank_values=True))
    if "access_token" in given:
        inherited.pop("appsecret_proof", None)
    route = outer.base_url.rpartition("/")[2]
    return WireRequest(
        method=str(item.get("method", "GET")).upper(),
        path=path,
        route=f"/{route}/{path}",
        base_url=outer.base_url,
        params={**inherited, **given},
        headers=outer.headers,
    )


def _serve_item(
    world: World,
    request: WireRequest,
    serve: Callable[[WireRequest], WireResponse],
    with_headers: bool,
) -> dict[str, Any] | None:
    begun = time.perf_counter()
    undone = world.faults.take(_UNDONE, platform="meta", line=request.line)
    response = None if undone else serve(request)
    world.note(
        "meta",
        request,
        response,
        fault=undone.kind if undone else None,
        seconds=time.perf_counter() - begun,
        part_of_batch=True,
    )
    if response is None:
        return None
    answer: dict[str, Any] = {"code": response.status}
    if with_headers:
        answer["headers"] = [{"name": name, "value": value} for name, value in response.headers]
    return {**answer, "body": response.body.decode()}
