"""The front door: versions, tokens, faults, routes, headers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from ...dataset import Account, Entity
from ...faults import Fault
from ...world import World
from .. import Headers, WireRequest, WireResponse
from . import edges
from .audiences import Audiences
from .auth import Token, Tokens, require_ads_read
from .batch import serve_batch
from .call import LIVE, NEWEST, Call, Reply
from .errors import (
    GraphError,
    dead_version,
    expired_token,
    invalid,
    locked_out,
    missing,
    revoked_token,
    throttled,
    unavailable,
    unknown_path,
    unsupported,
)
from .insights import Insights
from .nodes import business_of
from .reports import Run
from .usage import Load, Usage

_VERSION = re.compile(r"v(\d{1,3})\.\d")
_OPEN = ("oauth", "debug_token")
_TOKEN_FAULTS = ("token_expired", "token_revoked")
_LIMIT_FAULTS = ("rate_limit", "lockout")
Owner = Account | Entity | Run


class Graph:
    """Meta's wire."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._dataset = world.dataset("meta")
        self._tokens = Tokens(world)
        self._usage = Usage()
        self._insights = Insights(world)
        self._audiences = Audiences()

    def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request, or each request of a batch."""
        request = _with_json_body(request)
        version, segments = _split(request.path)
        if request.method == "POST" and not segments and "batch" in request.params:
            return self._batch(request, version)
        return self.serve(request)

    def serve(self, request: WireRequest) -> WireResponse:
        """Answer one request that is not a batch."""
        version, segments = _split(request.path)
        account, busy = self.account_of(request), "insights" in segments
        trace = self._usage.trace()
        load = self._load(request, account)
        try:
            reply = self._answer(request, version, segments)
        except GraphError as error:
            load = self._strained(error, load)
            reply = Reply(payload=error.body(trace), status=error.status)
        headers = self._usage.headers(
            account=account,
            insights=busy,
            load=load,
            version=version if version in LIVE else NEWEST,
            trace=trace,
        )
        return _response(reply, [*reply.headers, *headers])

    def account_of(self, request: WireRequest) -> str | None:
        """Return the account that a path is about."""
        _, segments = _split(request.path)
        if not segments:
            return None
        first = segments[0]
        if first.startswith("act_"):
            return first.removeprefix("act_")
        entity = self._dataset.find(first)
        if entity:
            return entity.account.id
        return self._insights.reports.account_of(first) or self._audiences.account_of(first)

    def broken(self, fault: Fault) -> WireResponse:
        """Return HTTP 500: an error 2, or (``bare``) a body that does not even say error."""
        error = unavailable().override({"status": 500, **fault.options})
        trace = self._usage.trace()
        bare = fault.options.get("bare")
        body = {"message": "Internal Server Error"} if bare else error.body(trace)
        headers = self._usage.headers(
            account=fault.account, insights=False, load=Load(), version=NEWEST, trace=trace
        )
        return _response(Reply(payload=body, status=error.status), headers)

    def _batch(self, request: WireRequest, version: str) -> WireResponse:
        trace = self._usage.trace()
        load = self._load(request, None)
        try:
            self._tokens_of_batch(request)
            reply = serve_batch(self.world, request, version, self.serve)
        except GraphError as error:
            reply = Reply(payload=error.body(trace), status=error.status)
        headers = self._usage.headers(
            account=None, insights=False, load=load, version=version or NEWEST, trace=trace
        )
        return _response(reply, headers)

    def _tokens_of_batch(self, request: WireRequest) -> None:
        token = self._tokens.authenticate(request)
        self._refuse(request, None, token, insights=False)

    def _answer(self, request: WireRequest, version: str, segments: tuple[str, ...]) -> Reply:
        warning = self._check_version(request, version, segments)
        call = Call(
            request=request,
            version=version or NEWEST,
            segments=segments,
            params=request.params,
            token=_NOBODY,
            now=self.world.clock.now(),
        )
        if segments[:1] in (("oauth",), ("debug_token",)):
            self._refuse(request, None, None, insights=False)
            return self._credentials(call)
        token = self._tokens.authenticate(request)
        account, busy = self.account_of(request), "insights" in segments
        self._refuse(request, account, token, insights=busy)
        self._tokens.check_proof(request, token, required=self._needs_proof(request, account))
        reply = self._route(replace(call, token=token))
        reply.headers = [*reply.headers, *warning]
        return reply

    def _check_version(
        self, request: WireRequest, version: str, segments: tuple[str, ...]
    ) -> Headers:
        """Refuse a dead version where it changed, else serve it with a warning header."""
        dead = self.world.faults.take(
            ("version_dead",),
            platform="meta",
            line=request.line,
            account=self.account_of(request),
            accept=lambda fault: fault.options.get("version") in (None, version),
        )
        if dead:
            raise dead_version(version, NEWEST).override(dead.options)
        if version in LIVE or segments[:1] in (("oauth",), ("debug_token",)):
            return []
        if not version:
            if not segments or segments[0] == "me":
                return []
            raise dead_version("unversioned", NEWEST)
        if _number(version) > _number(NEWEST):
            raise unknown_path(version)
        if "insights" in segments:
            raise dead_version(version, NEWEST)
        text = f"The call has been auto-upgraded to {NEWEST} as {version} has been deprecated."
        return [("X-Ad-Api-Version-Warning", text)]

    def _needs_proof(self, request: WireRequest, account: str | None) -> bool:
        setting = self.world.require_proof
        if setting is True or (not isinstance(setting, bool) and account in setting):
            return True
        fault = self.world.faults.take(
            ("proof_required",), platform="meta", line=request.line, account=account
        )
        return fault is not None

    def _refuse(
        self, request: WireRequest, account: str | None, token: Token | None, *, insights: bool
    ) -> None:
        """Raise what faults demand of tokens and limits."""
        order = {"platform": "meta", "line": request.line, "account": account}
        if token:
            fault = self.world.faults.take(
                _TOKEN_FAULTS, accept=lambda one: _means(one, token), **order
            )
            if fault:
                error = expired_token() if fault.kind == "token_expired" else revoked_token()
                raise error.override(_without_token(fault))
        fault = self.world.faults.take(_LIMIT_FAULTS, **order)
        if fault:
            use_case = "ads_insights" if insights else "ads_management"
            error = locked_out() if fault.kind == "lockout" else throttled(use_case)
            error.override(fault.options)
            raise _Limited(error, self._regain(fault))

    def _regain(self, fault: Fault) -> int:
        """Return the seconds until access returns; five minutes unless the order says."""
        remaining = fault.remaining(self.world.clock.now())
        named = ("regain", "regain_seconds", "retry", "retry_seconds", "retry_after")
        asked = next((fault.options[name] for name in named if name in fault.options), 300)
        return remaining or math.ceil(float(asked))

    def _load(self, request: WireRequest, account: str | None) -> Load:
        fault = self.world.faults.take(
            ("utilisation",), platform="meta", line=request.line, account=account
        )
        if fault is None:
            return Load()
        options = fault.options
        return Load(
            percent=float(options.get("percent", 100)),
            regain=int(options.get("regain", 0)),
            header=options.get("header"),
        )

    def _strained(self, error: GraphError, load: Load) -> Load:
        return Load(percent=100.0, regain=error.regain) if isinstance(error, _Limited) else load

    def _credentials(self, call: Call) -> Reply:
        if call.segments == ("oauth", "access_token"):
            return Reply(payload=self._tokens.exchange(call.params))
        if call.segments == ("debug_token",):
            self._tokens.authenticate(call.request)
            return Reply(payload=self._tokens.describe(call.text("input_token")))
        raise unknown_path("/".join(call.segments))

    def _route(self, call: Call) -> Reply:
        """Send a call to the handler of its node and edge."""
        if not call.segments:
            return self._several(call)
        if call.text("ids") and len(call.segments) == 1:
            return self._several(call)
        if len(call.segments) > 2:
            raise unknown_path("/".join(call.segments))
        if call.node == "me":
            return self._me(call)
        if call.node.startswith("201000000000"):
            return self._business(call)
        require_ads_read(call.token)
        if self._audiences.account_of(call.node):
            return self._made_audience(call)
        return self._of_node(call, self._find(call))

    def _of_node(self, call: Call, owner: Owner) -> Reply:
        get, edge = call.request.method == "GET", (*call.segments, "")[1]
        if isinstance(owner, Run):
            if get and edge in ("", "insights"):
                handler = self._insights.read if edge else self._insights.status
                return handler(call, owner)
        elif edge == "insights" and call.request.method in ("GET", "POST"):
            return (self._insights.at_once if get else self._insights.submit)(call, owner)
        elif edge == "customaudiences" and isinstance(owner, Account) and not get:
            return self._audiences.create(call, owner)
        elif edge == "users" and isinstance(owner, Entity) and owner.kind == "audience":
            return self._audiences.users(call, owner.id)
        elif get:
            return self._read(call, owner, edge)
        raise unsupported(call.request.method, "/".join(call.segments))

    def _read(self, call: Call, owner: Account | Entity, edge: str) -> Reply:
        if not edge:
            return edges.node(self.world, call, owner)
        kind = owner.kind if isinstance(owner, Entity) else "account"
        child = edges.EDGES.get(kind, {}).get(edge)
        if child is None:
            raise unknown_path("/".join(call.segments))
        return edges.edge(self.world, call, owner, child)

    def _find(self, call: Call) -> Owner:
        """Return what an id stands for; raises 100/33 for what this token cannot see."""
        identity = call.node
        run = self._insights.reports.find(identity, call.now)
        owner: Owner | None = run or self._dataset.find(identity)
        if identity.startswith("act_"):
            owner = self._dataset.account(identity.removeprefix("act_"))
        account = self.account_of(call.request)
        if owner is None or account is None or not call.token.sees(account):
            raise missing(identity, verb=call.request.method.lower())
        return owner

    def _several(self, call: Call) -> Reply:
        """Answer ``?ids=a,b``: a node (or an edge) of each, by id."""
        ids = call.names("ids")
        if not ids or call.request.method != "GET":
            raise unsupported(call.request.method, "/".join(call.segments))
        if len(ids) > 50:
            raise invalid("Too many IDs. Maximum: 50. Provided: " + str(len(ids)))
        params = {name: value for name, value in call.params.items() if name != "ids"}
        found: dict[str, Any] = {}
        for one in ids:
            segments = (one, *call.segments)
            path = "/".join((call.version, *segments))
            request = replace(call.request, path=path, params=params)
            reply = self._route(replace(call, request=request, segments=segments, params=params))
            found[one] = _decoded(reply.payload)
        return Reply(payload=found, rows=len(found))

    def _me(self, call: Call) -> Reply:
        edge = (*call.segments, "")[1]
        if edge == "":
            return Reply(payload={"id": "122000000000001", "name": "liftos-sandbox"}, rows=1)
        if edge == "permissions":
            granted = [{"permission": one, "status": "granted"} for one in call.token.scopes]
            return Reply(payload={"data": granted}, rows=len(granted))
        if edge != "adaccounts":
            raise unknown_path("/".join(call.segments))
        require_ads_read(call.token)
        return self._accounts(call, lambda _: True)

    def _business(self, call: Call) -> Reply:
        edge = (*call.segments, "")[1]
        owned = {"owned_ad_accounts": True, "client_ad_accounts": False}
        if edge not in owned:
            raise unknown_path("/".join(call.segments))
        require_ads_read(call.token)
        dataset, wanted = self._dataset, owned[edge]
        return self._accounts(
            call, lambda account: (business_of(account, dataset)["id"] == call.node) == wanted
        )

    def _accounts(self, call: Call, belongs: Callable[[Account], bool]) -> Reply:
        seen = [one for one in self._dataset.accounts if call.token.sees(one.id) and belongs(one)]
        return edges.accounts(self.world, call, seen)

    def _made_audience(self, call: Call) -> Reply:
        edge = (*call.segments, "")[1]
        if edge == "users":
            return self._audiences.users(call, call.node)
        if edge or call.request.method != "GET":
            raise unsupported(call.request.method, "/".join(call.segments))
        return Reply(payload={"id": call.node}, rows=1)


class _Limited(GraphError):
    """A limit was hit: the headers must tell when access returns."""

    def __init__(self, error: GraphError, regain: int) -> None:
        super().__init__(
            error.message,
            code=error.code,
            subcode=error.subcode,
            status=error.status,
            title=error.title,
            advice=error.advice,
        )
        self.regain = regain


def _split(path: str) -> tuple[str, tuple[str, ...]]:
    """Part a path into version (empty without one) and segments."""
    segments = tuple(part for part in path.split("/") if part)
    if segments and _VERSION.fullmatch(segments[0]):
        return segments[0], segments[1:]
    return "", segments


def _number(version: str) -> int:
    found = _VERSION.fullmatch(version)
    return int(found.group(1)) if found else 0


def _with_json_body(request: WireRequest) -> WireRequest:
    """Read a JSON body as parameters: lists and objects stay JSON texts."""
    if "json" not in request.headers.get("content-type", "") or not request.body:
        return request
    try:
        given = json.loads(request.body)
    except ValueError:
        return request
    if not isinstance(given, dict):
        return request
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
    }
    return replace(request, params={**request.params, **texts})


def _means(fault: Fault, token: Token) -> bool:
    """Say whether a token fault is about this token: never about one issued after it."""
    named = fault.options.get("token")
    if named:
        return bool(named == token.value)
    return token.issued_at <= fault.made_at


def _without_token(fault: Fault) -> Mapping[str, Any]:
    return {name: value for name, value in fault.options.items() if name != "token"}


def _decoded(payload: Any) -> Any:
    return msgspec.json.decode(payload) if isinstance(payload, bytes) else payload


def _response(reply: Reply, headers: Headers) -> WireResponse:
    body = reply.payload
    if not isinstance(body, bytes):
        body = msgspec.json.encode(body)
    return WireResponse(
        status=reply.status,
        body=body,
        headers=[("content-type", "application/json; charset=UTF-8"), *headers],
        rows=reply.rows,
        notes=reply.notes,
    )


_NOBODY = Token.__new__(Token)
