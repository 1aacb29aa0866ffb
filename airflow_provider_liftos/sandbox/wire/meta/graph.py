"""The front door: versions, tokens, faults, routes, headers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from airflow_provider_liftos.sandbox.dataset import Account, Entity
from airflow_provider_liftos.sandbox.faults import Fault
from airflow_provider_liftos.sandbox.wire import Headers, WireRequest, WireResponse
from airflow_provider_liftos.sandbox.world import World

from . import auth, edges
from .audiences import Audiences
from .auth import Tokens, how_authorized, require_ads_read
from .batch import serve_batch
from .call import LIVE, NEWEST, Call, Reply
from .errors import GraphError, invalid, missing, unavailable, unknown_path, unsupported
from .insights import Insights
from .node_fields import BUSINESSES, business_of
from .refusals import OPEN, Refusals, split_path, strained
from .reports import Run
from .usage import Load, Usage

_MOST_IDS = 50
Owner = Account | Entity | Run


class Graph:
    """Meta's wire."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._dataset = world.dataset("meta")
        self._tokens = Tokens(world)
        self._refusals = Refusals(world)
        self._usage = Usage()
        self._insights = Insights(world)
        self._audiences = Audiences()

    def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request, or each request of a batch."""
        request = _with_json_body(request)
        version, segments = split_path(request.path)
        if segments == ("dialog", "oauth"):
            return self._tokens.dialog(request)
        if request.method == "POST" and not segments and "batch" in request.params:
            return self._batch(request, version)
        return self.serve(request)

    def serve(self, request: WireRequest) -> WireResponse:
        """Answer one request that is not a batch."""
        version, segments = split_path(request.path)
        account, busy = self.account_of(request), self._about_insights(segments)
        trace = self._usage.trace()
        load = self._refusals.load(request, account)
        try:
            reply = self._answer(request, version, segments)
        except GraphError as error:
            load = strained(error, load)
            reply = Reply(payload=error.body(trace), status=error.status)
        headers = self._usage.headers(
            account=account,
            insights=busy,
            load=load,
            version=version if version in LIVE else NEWEST,
            trace=trace,
        )
        reply.notes = {**reply.notes, "auth": how_authorized(request)}
        return _response(reply, [*reply.headers, *headers])

    def _about_insights(self, segments: tuple[str, ...]) -> bool:
        """Say whether a call counts as one of insights: also the poll of a report run."""
        runs = self._insights.reports
        return "insights" in segments or bool(segments and runs.account_of(segments[0]))

    def account_of(self, request: WireRequest) -> str | None:
        """Return the account that a path is about."""
        _, segments = split_path(request.path)
        if not segments:
            return None
        first = segments[0]
        if first.startswith("act_"):
            return first.removeprefix("act_")
        entity = self._dataset.find(first)
        if entity:
            return entity.account.id
        return self._insights.reports.account_of(first) or self._audiences.account_of(first)

    def connection(self) -> Mapping[str, str]:
        """Return a token that does not expire, and its app."""
        return {
            "access_token": "sandbox-token",
            "app_id": auth.APP_ID,
            "app_secret": auth.APP_SECRET,
        }

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
        load = self._refusals.load(request, None)
        try:
            self._admit_batch(request)
            reply = serve_batch(self.world, request, version, self.serve)
        except GraphError as error:
            reply = Reply(payload=error.body(trace), status=error.status)
        headers = self._usage.headers(
            account=None, insights=False, load=load, version=version or NEWEST, trace=trace
        )
        return _response(reply, headers)

    def _admit_batch(self, request: WireRequest) -> None:
        token = self._tokens.authenticate(request)
        self._refusals.check_token(request, None, token)
        self._refusals.check_limits(request, None, insights=False)

    def _answer(self, request: WireRequest, version: str, segments: tuple[str, ...]) -> Reply:
        account, busy = self.account_of(request), self._about_insights(segments)
        warning = self._refusals.check_version(request, version, segments, account)
        if segments and segments[0] in OPEN:
            self._refusals.check_limits(request, account, insights=False)
            return self._credentials(request, segments)
        token = self._tokens.authenticate(request)
        self._refusals.check_token(request, account, token)
        self._refusals.check_limits(request, account, insights=busy)
        signed = self._refusals.needs_proof(request, account)
        self._tokens.check_proof(request, token, required=signed)
        call = Call(
            request=request,
            version=version or NEWEST,
            segments=segments,
            params=request.params,
            token=token,
            now=self.world.clock.now(),
        )
        reply = self._route(call)
        reply.headers = [*reply.headers, *warning]
        return reply

    def _credentials(self, request: WireRequest, segments: tuple[str, ...]) -> Reply:
        if segments == ("oauth", "access_token"):
            return Reply(payload=self._tokens.exchange(request.params))
        if segments == ("debug_token",):
            self._tokens.authenticate(request)
            return Reply(payload=self._tokens.describe(request.params.get("input_token", "")))
        raise unknown_path("/".join(segments))

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
        if call.node in BUSINESSES:
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
        if len(ids) > _MOST_IDS:
            raise invalid(f"Too many IDs. Maximum: {_MOST_IDS}. Provided: {len(ids)}")
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
