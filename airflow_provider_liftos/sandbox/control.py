"""The control interface under ``/_sandbox``: health, truth, secrets, faults, journal, clock."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from . import truth_google_ads, truth_tiktok
from .dataset.dimensions import own_name
from .faults import UnknownFaultError
from .truth import Question, UnknownTruthError, ask, default_range, entities, parse_moment
from .wire import Wire, platforms
from .world import World

Endpoint = Callable[[Request], Awaitable[JSONResponse]]


def truth(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a question as it comes over the wire or from ``Sandbox.truth``.

    Raises UnknownTruthError for a question that makes no sense.
    """
    platform = str(asked.get("platform") or "")
    if platform not in platforms():
        raise UnknownTruthError(f"platform={platform!r} is none of {', '.join(platforms())}")
    dataset = world.dataset(platform)
    as_of = parse_moment(asked.get("as_of"), world.clock.now())
    account = str(asked["account"]) if asked.get("account") else None
    if platform == "google_ads" and asked.get("stream") == "keywords":
        return truth_google_ads.keyword_entities(account, dataset)
    if asked.get("stream"):
        return entities(str(asked["stream"]), account, dataset, as_of)
    first, last = default_range(dataset, as_of)
    question = Question(
        level=str(asked.get("level") or "account"),
        since=_day(asked.get("from"), first),
        until=_day(asked.get("to"), last),
        account=account,
        breakdowns=tuple(
            own_name(platform, name)
            for name in str(asked.get("breakdown") or "").split(",")
            if name
        ),
        window=str(asked.get("window") or "default"),
        as_of=as_of,
    )
    return _OWN_TRUTH.get(platform, ask)(question, dataset)


_OWN_TRUTH = {"google_ads": truth_google_ads.ask, "tiktok": truth_tiktok.ask}


def _day(text: Any, otherwise: date) -> date:
    try:
        return date.fromisoformat(str(text)) if text else otherwise
    except ValueError as error:
        raise UnknownTruthError(f"{text!r} is not a date like 2026-11-01") from error


def build_control(world: World, wires: Mapping[str, Wire]) -> Starlette:
    """Return the application that serves ``/_sandbox``."""
    routes = [
        Route("/_sandbox/health", _health(world), methods=["GET"]),
        Route("/_sandbox/connections", _connections(wires), methods=["GET"]),
        Route("/_sandbox/truth", _truth(world), methods=["GET"]),
        Route("/_sandbox/secrets", _secrets(world), methods=["GET"]),
        Route("/_sandbox/faults", _faults(world), methods=["GET", "POST", "DELETE"]),
        Route("/_sandbox/journal", _journal(world), methods=["GET", "DELETE"]),
        Route("/_sandbox/clock", _clock(world), methods=["GET", "POST"]),
    ]
    return Starlette(routes=routes)


def _refusal(error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=400)


def _health(world: World) -> Endpoint:
    async def health(_: Request) -> JSONResponse:
        return JSONResponse(
            {
                "status": "ok",
                "platforms": platforms(),
                "seed": world.seed,
                "profile": world.profile,
                "report_seconds": world.report_seconds,
                "grpc": world.grpc_address,
                "now": world.clock.now().isoformat(),
            }
        )

    return health


def _connections(wires: Mapping[str, Wire]) -> Endpoint:
    async def connections(_: Request) -> JSONResponse:
        return JSONResponse({name: dict(wire.connection()) for name, wire in wires.items()})

    return connections


def _secrets(world: World) -> Endpoint:
    async def secrets(_: Request) -> JSONResponse:
        return JSONResponse({"secrets": world.secrets()})

    return secrets


def _truth(world: World) -> Endpoint:
    async def answer(request: Request) -> JSONResponse:
        try:
            found = await run_in_threadpool(truth, world, dict(request.query_params))
        except UnknownTruthError as error:
            return _refusal(error)
        return JSONResponse(found)

    return answer


def _faults(world: World) -> Endpoint:
    async def faults(request: Request) -> JSONResponse:
        if request.method == "DELETE":
            return JSONResponse({"cleared": world.faults.clear()})
        if request.method == "GET":
            return JSONResponse({"faults": world.faults.listed()})
        try:
            orders = await request.json()
            made = [
                world.faults.add(**order)
                for order in (orders if isinstance(orders, list) else [orders])
            ]
        except (UnknownFaultError, TypeError, json.JSONDecodeError) as error:
            return _refusal(error)
        return JSONResponse({"ids": made, "id": made[-1] if made else None})

    return faults


def _journal(world: World) -> Endpoint:
    async def journal(request: Request) -> JSONResponse:
        if request.method == "DELETE":
            return JSONResponse({"cleared": world.journal.clear()})
        query = request.query_params
        entries = world.journal.entries(
            query.get("platform") or None, contains=query.get("contains", "")
        )
        return JSONResponse({"requests": entries, "count": len(entries)})

    return journal


def _clock(world: World) -> Endpoint:
    async def clock(request: Request) -> JSONResponse:
        try:
            if request.method == "POST":
                world.clock.advance(float((await request.json())["advance"]))
        except (ValueError, TypeError, KeyError) as error:
            return _refusal(error)
        return JSONResponse({"now": world.clock.now().isoformat()})

    return clock
