"""The front door: paths, tokens, faults, routes, the envelope."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import msgspec

from airflow_provider_liftos.sandbox.dataset.chance import digest
from airflow_provider_liftos.sandbox.faults import Fault
from airflow_provider_liftos.sandbox.journal import without_secrets
from airflow_provider_liftos.sandbox.wire import WireRequest, WireResponse
from airflow_provider_liftos.sandbox.world import World

from .auth import APP_ID, APP_SECRET, REPORTING, Token, Tokens, check_app
from .call import Call, Reply
from .entities import Entities
from .errors import (
    TikTokError,
    bad_token,
    broken,
    dead_version,
    expired_token,
    invalid,
    no_route,
    no_scope,
    throttled,
)
from .listings import LISTINGS
from .paging import Pager
from .reports import Reports
from .tasks import DOWNLOADS, Tasks

VERSION = "v1.3"
_VERSION = re.compile(r"v\d+(\.\d+)?")
_TOKEN_FAULTS = ("token_expired", "token_revoked")
_LIMIT_FAULTS = ("rate_limit", "lockout")
Handler = Callable[[Call], Reply]


class Gateway:
    """TikTok's wire."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._tokens = Tokens(world)
        pager = Pager(world)
        entities, reports = Entities(world, pager), Reports(world, pager)
        self._tasks = tasks = Tasks(world, reports)
        self._open: dict[tuple[str, str], Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            ("POST", "oauth2/access_token"): self._tokens.exchange,
            ("POST", "oauth2/revoke_token"): self._tokens.revoke,
        }
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", "oauth2/advertiser/get"): _with_app(entities.granted),
            ("GET", "user/info"): _user,
            ("GET", "advertiser/info"): entities.advertisers,
            ("GET", "report/integrated/get"): reports.at_once,
            ("POST", "report/task/create"): tasks.create,
            ("GET", "report/task/check"): tasks.check,
            ("GET", "report/task/download"): tasks.download,
            ("POST", "report/task/cancel"): tasks.cancel,
            **{("GET", path): entities.listed for path in LISTINGS},
        }

    def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request."""
        if request.path == "portal/auth":
            return self._tokens.portal(request)
        notes: dict[str, object] = {"auth": _how_authorized(request)}
        try:
            given = _given(request)
            if request.method == "POST":
                notes["body"] = _journalled(given)
            reply = self._answer(request, given)
        except TikTokError as error:
            return self._response(
                Reply(status=error.status, notes=notes), error.code, error.message
            )
        reply.notes = {**notes, **reply.notes}
        return self._response(reply, 0, "OK")

    def account_of(self, request: WireRequest) -> str | None:
        """Return the advertiser that a request is about, as far as it says so."""
        if request.path.startswith(f"{DOWNLOADS}/"):
            return self._tasks.account_of(request)
        try:
            given = _given(request)
            several = given.get("advertiser_ids") or ()
            several = json.loads(several) if isinstance(several, str) else several
        except (TikTokError, ValueError):
            return None
        if given.get("advertiser_id"):
            return str(given["advertiser_id"])
        return str(several[0]) if isinstance(several, list) and len(several) == 1 else None

    def connection(self) -> Mapping[str, str]:
        """Return a token that sees every advertiser, and its app."""
        return {"access_token": "sandbox-token", "app_id": APP_ID, "secret": APP_SECRET}

    def broken(self, fault: Fault) -> WireResponse:
        """Return code 50000 under HTTP 200, or (``bare``) a 500 that is no envelope."""
        if fault.options.get("bare"):
            status = int(fault.options.get("status", 500))
            return WireResponse(
                status=status,
                body=b"<html><body><h1>Internal Server Error</h1></body></html>",
                headers=[("content-type", "text/html")],
            )
        error = broken().override(fault.options)
        return self._response(Reply(status=error.status), error.code, error.message)

    def _answer(self, request: WireRequest, given: Mapping[str, Any]) -> Reply:
        account = self.account_of(request)
        if request.method == "GET" and request.path.startswith(f"{DOWNLOADS}/"):
            return self._tasks.fetch(request, self.world.clock.now())
        path = self._path(request, account)
        unlocked = self._open.get((request.method, path))
        if unlocked:
            self._check_limits(request, account)
            return Reply(data=unlocked(given))
        handler = self._routes.get((request.method, path))
        if handler is None:
            raise no_route(request.route)
        token = self._tokens.authenticate(request)
        self._check_token(request, account, token)
        self._check_limits(request, account)
        if path.startswith("report/") and REPORTING not in token.scopes:
            raise no_scope(path)
        now = self.world.clock.now()
        return handler(Call(request=request, path=path, given=given, token=token, now=now))

    def _path(self, request: WireRequest, account: str | None) -> str:
        """Return what follows the version; raises TikTokError for other paths and versions."""
        path = request.path.removeprefix("open_api/")
        version, _, rest = path.partition("/")
        dead = self._take(
            request,
            account,
            ("version_dead",),
            lambda fault: fault.options.get("version") in (None, version),
        )
        if dead:
            raise dead_version(version).override(dead.options)
        if _VERSION.fullmatch(version) and version != VERSION:
            raise dead_version(version)
        if version != VERSION or not rest or not request.route.endswith("/"):
            raise no_route(request.route)
        return rest

    def _check_token(self, request: WireRequest, account: str | None, token: Token) -> None:
        """Raise what faults say of the token; never of one issued after the fault was made."""
        fault = self._take(request, account, _TOKEN_FAULTS, lambda one: _means(one, token))
        if fault:
            error = expired_token() if fault.kind == "token_expired" else bad_token()
            raise error.override(fault.options)

    def _check_limits(self, request: WireRequest, account: str | None) -> None:
        """Raise what faults say of the limits; no header tells when they end."""
        fault = self._take(request, account, _LIMIT_FAULTS)
        if fault:
            raise throttled().override(fault.options)

    def _take(
        self,
        request: WireRequest,
        account: str | None,
        kinds: tuple[str, ...],
        accept: Callable[[Fault], bool] = lambda _: True,
    ) -> Fault | None:
        return self.world.faults.take(
            kinds, platform="tiktok", line=request.line, account=account, accept=accept
        )

    def _response(self, reply: Reply, code: int, message: str) -> WireResponse:
        body = reply.raw
        request_id = self._request_id()
        if body is None:
            data = {} if reply.data is None else reply.data
            body = msgspec.json.encode(
                {"code": code, "message": message, "request_id": request_id, "data": data}
            )
        return WireResponse(
            status=reply.status,
            body=body,
            headers=[
                ("content-type", reply.content_type),
                ("X-Tt-Logid", request_id),
                *reply.headers,
            ],
            rows=reply.rows,
            notes={**reply.notes, "code": code},
        )

    def _request_id(self) -> str:
        with self._lock:
            number = next(self._numbers)
        moment = self.world.clock.now().strftime("%Y%m%d%H%M%S")
        return moment + digest("request", number, size=9).hex().upper()


def _given(request: WireRequest) -> Mapping[str, Any]:
    """Return the query of a GET, the JSON object in the body of a POST."""
    if request.method != "POST":
        return request.params
    try:
        given = json.loads(request.body or b"{}")
    except ValueError:
        raise invalid("The body is not valid JSON.") from None
    if not isinstance(given, dict):
        raise invalid("The body is not a JSON object.")
    return given


def _journalled(given: Mapping[str, Any]) -> dict[str, str]:
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
        if name != "auth_code"
    }
    return without_secrets(texts)


def _means(fault: Fault, token: Token) -> bool:
    named = fault.options.get("token")
    return named == token.value if named else token.issued_at <= fault.made_at


def _how_authorized(request: WireRequest) -> str:
    """Say where the token of a request was, for the journal: addresses end up in logs."""
    if request.headers.get("access-token"):
        return "header"
    return "parameter" if {"access_token", "Access-Token"} & set(request.params) else "none"


def _with_app(handler: Handler) -> Handler:
    def checked(call: Call) -> Reply:
        check_app(call.given)
        return handler(call)

    return checked


def _user(_: Call) -> Reply:
    """Answer ``user/info/``: who gave the token, without saying so in full."""
    data = {
        "core_user_id": "7150000000000000002",
        "display_name": "liftos-sandbox",
        "email": "s***x@liftos.example",
        "create_time": 1_630_000_000,
    }
    return Reply(data=data, rows=1)
