"""The sandbox as one ASGI application: control routes, wires, and what faults do to the line."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import anyio.to_thread
from starlette.datastructures import Headers as StarletteHeaders
from starlette.requests import Request

from .control import build_control
from .ecb import Ecb
from .faults import TRANSPORT, Fault
from .wire import Streamed, Wire, WireRequest, WireResponse, build_all
from .world import World

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_GATEWAY_PAGE = (
    b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>"
    b"<body><h1>502 Bad Gateway</h1></body></html>"
)
_FOREVER = 3600.0
_THREADS = 8


class Server:
    """Answers HTTP. Wires do their work in threads, so a heavy report blocks nobody's poll."""

    def __init__(self, world: World) -> None:
        self.world = world
        platforms = build_all(world)
        self.wires: dict[str, Wire] = {**platforms, "ecb": Ecb(world)}
        self._control = build_control(world, platforms)
        self._limiter: anyio.CapacityLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        platform = path.split("/", 2)[1] if path.count("/") else ""
        wire = self.wires.get(platform)
        if wire is None:
            await self._control(scope, receive, send)
            return
        await self._speak(platform, wire, await _read(platform, scope, receive), receive, send)

    async def _speak(
        self, platform: str, wire: Wire, request: WireRequest, receive: Receive, send: Send
    ) -> None:
        begun = time.perf_counter()
        fault = self.world.faults.take(
            TRANSPORT, platform=platform, line=request.line, account=wire.account_of(request)
        )
        if fault and fault.kind in ("reset", "timeout"):
            self._note(platform, request, None, fault, begun)
            await _hang_up(fault, receive, send)
            return
        if fault and fault.kind == "slow":
            await asyncio.sleep(float(fault.options.get("seconds", 1.0)))
        response = _broken(fault, wire) or await self._answer(wire, request)
        cut = fault is not None and fault.kind == "truncated_body"
        if response.streamed is None:
            self._note(platform, request, response, fault, begun)
            await _deliver(response, send, cut=cut)
            return
        try:
            await self._pass_on(response, response.streamed, send, cut=cut)
        finally:
            told = replace(response, rows=response.streamed.rows, size=response.streamed.size)
            self._note(platform, request, told, fault, begun)

    async def _pass_on(
        self, response: WireResponse, streamed: Streamed, send: Send, *, cut: bool
    ) -> None:
        """Send a body as it is made; ``cut``: half of its first part."""
        headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in response.headers]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        while (part := await self._in_thread(next, streamed.parts, None)) is not None:
            if cut:
                half = part[: len(part) // 2]
                await send({"type": "http.response.body", "body": half, "more_body": True})
                _drop(send, abruptly=False)
                return
            streamed.size += len(part)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, wire: Wire, request: WireRequest) -> WireResponse:
        response: WireResponse = await self._in_thread(wire.handle, request)
        return response

    async def _in_thread(self, work: Callable[..., Any], *given: Any) -> Any:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_THREADS)
        return await anyio.to_thread.run_sync(work, *given, limiter=self._limiter)

    def _note(
        self,
        platform: str,
        request: WireRequest,
        response: WireResponse | None,
        fault: Fault | None,
        begun: float,
    ) -> None:
        self.world.note(
            platform,
            request,
            response,
            fault=fault.kind if fault else None,
            seconds=time.perf_counter() - begun,
        )


async def _read(platform: str, scope: Scope, receive: Receive) -> WireRequest:
    request = Request(scope, receive)
    body = await request.body()
    params = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    kind = request.headers.get("content-type", "")
    if "multipart/form-data" in kind:
        form = await request.form()
        params.update({name: str(value) for name, value in form.items()})
    elif body and "json" not in kind:
        params.update(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    route = scope["path"]
    host = request.headers.get("host") or "127.0.0.1"
    return WireRequest(
        method=scope["method"],
        path=route.removeprefix(f"/{platform}").strip("/"),
        route=route,
        base_url=f"{scope.get('scheme', 'http')}://{host}/{platform}",
        params=params,
        headers=dict(StarletteHeaders(scope=scope)),
        body=body,
    )


def _broken(fault: Fault | None, wire: Wire) -> WireResponse | None:
    if fault is None:
        return None
    if fault.kind == "http_500":
        return wire.broken(fault)
    if fault.kind == "http_502_html":
        status = int(fault.options.get("status", 502))
        return WireResponse(
            status=status, body=_GATEWAY_PAGE, headers=[("content-type", "text/html")]
        )
    return None


async def _deliver(response: WireResponse, send: Send, *, cut: bool) -> None:
    headers = [(b"content-length", str(len(response.body)).encode())]
    headers += [(k.lower().encode(), v.encode("latin-1")) for k, v in response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if not cut:
        await send({"type": "http.response.body", "body": response.body})
        return
    half = response.body[: len(response.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    _drop(send, abruptly=False)


async def _hang_up(fault: Fault, receive: Receive, send: Send) -> None:
    """Reset the connection, or leave the client waiting until it gives up."""
    if fault.kind == "timeout":
        seconds = float(fault.options.get("seconds", _FOREVER))
        try:
            async with asyncio.timeout(seconds):
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            pass
    _drop(send, abruptly=fault.kind == "reset")


def _drop(send: Send, *, abruptly: bool) -> None:
    """Close the connection under an unfinished answer.

    ASGI has no word for it, so this reaches for the transport behind uvicorn's ``send``.
    Zero linger makes the kernel send a reset instead of a friendly end.
    """
    cycle: Any = getattr(send, "__self__", None)
    transport = getattr(cycle, "transport", None)
    if transport is None:
        raise ConnectionAbortedError("the sandbox drops this connection on order of a fault")
    if abruptly:
        line = transport.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
    # uvicorn must believe that the answer is complete, or it would write an error page.
    cycle.response_started = cycle.response_complete = True
