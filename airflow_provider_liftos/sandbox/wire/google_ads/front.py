"""The front door for HTTP: token endpoint, REST, and the way to the gRPC handlers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_liftos.sandbox.faults import Fault
from airflow_provider_liftos.sandbox.wire import Headers, Streamed, WireRequest, WireResponse
from airflow_provider_liftos.sandbox.world import World

from . import messages, metadata, oauth
from .errors import AdsError, internal, unsupported_version
from .hierarchy import HOLDING
from .oauth import OAuthError
from .schema import NEWEST, VERSIONS, load
from .service import Answer, Call, Service

if TYPE_CHECKING:
    from .procedures import Procedures

_CUSTOMER = re.compile(r"(v\d+)/customers/([^/:]+)/googleAds:(search|searchStream)")
_ACCESSIBLE = re.compile(r"(v\d+)/customers:listAccessibleCustomers")
_FIELDS = re.compile(r"(v\d+)/googleAdsFields:search")
_FIELD = re.compile(r"(v\d+)/googleAdsFields/([a-z0-9_.]+)")
_AUTHORIZE = ("auth", "o/oauth2/v2/auth")


class Front:
    """Google's wire."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.service = Service(world)

    def connection(self) -> Mapping[str, str]:
        """Return a client, a refresh token that does not expire, and the manager of everyone."""
        found = {
            "client_id": oauth.CLIENT_ID,
            "client_secret": oauth.CLIENT_SECRET,
            "refresh_token": "sandbox-refresh-token",
            "login_customer_id": HOLDING,
            "token_uri": f"{self.world.http_address}/{oauth.PLATFORM}/token",
            "grpc_endpoint": self.world.grpc_address,
        }
        return {name: value for name, value in found.items() if value}

    def procedures(self) -> Procedures:
        """Return the gRPC face of the same service."""
        from .procedures import Procedures

        return Procedures(self.service)

    def account_of(self, request: WireRequest) -> str | None:
        """Return the customer that a path is about."""
        found = _CUSTOMER.fullmatch(request.path)
        return found.group(2) if found else None

    def broken(self, fault: Fault) -> WireResponse:
        """Return HTTP 500: an internal error, or (``bare``) a body that does not say which."""
        error = internal().override(fault.options)
        if fault.options.get("bare"):
            return _json(500, {"message": "Internal Server Error"})
        request_id = self.service.request_id()
        body = error.body(NEWEST, request_id)
        return _json(int(fault.options.get("status_code", error.http)), body, request_id)

    def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request."""
        if request.path == "service_account.json":
            uri = f"{request.base_url}/token"
            return _json(200, self.service.tokens.service_account.key_file(uri))
        if request.path in ("token", "revoke", *_AUTHORIZE):
            return self._credentials(request)
        request_id = self.service.request_id()
        version = request.path.partition("/")[0]
        streamed = request.path.endswith("searchStream")
        try:
            return self._route(request, request_id)
        except AdsError as error:
            body: Any = error.body(version if version in VERSIONS else NEWEST, request_id)
            # A stream is an array, also where it consists of a refusal.
            refused = [body] if streamed and error.status != "UNIMPLEMENTED" else body
            return _json(error.http, refused, request_id, _noted(request))

    def _credentials(self, request: WireRequest) -> WireResponse:
        tokens = self.service.tokens
        try:
            if request.path in _AUTHORIZE:
                return tokens.authorize(request)
            if request.path == "revoke":
                return _json(200, tokens.revoke(request.params))
            return _json(200, tokens.grant(request))
        except OAuthError as error:
            return _json(error.status, error.body)

    def _route(self, request: WireRequest, request_id: str) -> WireResponse:
        path, post = request.path, request.method == "POST"
        if (found := _CUSTOMER.fullmatch(path)) and post:
            call = _call(request, found.group(1), _body(request), customer_id=found.group(2))
            search = self._stream if found.group(3) == "searchStream" else self._page
            return search(call, request_id)
        if (found := _ACCESSIBLE.fullmatch(path)) and not post:
            names = self.service.accessible(_call(request, found.group(1), {}))
            return _json(200, {"resourceNames": names}, request_id, rows=len(names))
        if (found := _FIELDS.fullmatch(path)) and post:
            return self._fields(_call(request, found.group(1), _body(request)), request_id)
        if (found := _FIELD.fullmatch(path)) and not post:
            call = _call(request, found.group(1), {})
            self.service.admit(call)
            one = metadata.get(load(call.version), found.group(2))
            return _json(200, _plain(one), request_id, rows=1)
        version = path.partition("/")[0]
        if re.fullmatch(r"v\d+", version) and version not in VERSIONS:
            raise unsupported_version(version)
        raise AdsError("", "", f"Path /{path} was not found.", status="NOT_FOUND")

    def _fields(self, call: Call, request_id: str) -> WireResponse:
        self.service.admit(call)
        schema = load(call.version)
        found, _ = metadata.search(schema, call.query)
        shown = _plain(messages.fields(schema, found))
        return _json(200, shown, request_id, {"query": call.query}, rows=len(found))

    def _page(self, call: Call, request_id: str) -> WireResponse:
        answer = self.service.page(call)
        body: dict[str, Any] = {}
        rows = 0
        for batch in answer.batches:
            data = messages.page(answer, batch)
            body, rows = messages.as_json(answer.schema.SearchResponse, data), batch.rows
        return _json(200, body, request_id, {"query": call.query}, rows=rows)

    def _stream(self, call: Call, request_id: str) -> WireResponse:
        answer = self.service.stream(call)
        streamed = Streamed()
        streamed.parts = _array(answer, request_id, streamed)
        return WireResponse(
            status=200,
            body=b"",
            headers=_headers(request_id),
            notes={"transport": "rest", "query": call.query, "request_id": request_id},
            streamed=streamed,
        )


def _array(answer: Answer, request_id: str, streamed: Streamed) -> Iterator[bytes]:
    """Write batches as the elements of one array, as they come."""
    opened = b"["
    for batch in answer.batches:
        data = messages.stream_part(answer, batch, request_id)
        shown = messages.as_json(answer.schema.StreamResponse, data)
        streamed.rows += batch.rows
        yield opened + msgspec.json.encode(shown)
        opened = b",\n"
    yield b"[]" if opened == b"[" else b"]"


def _plain(message: Any) -> dict[str, Any]:
    return messages.as_json(type(message), message.SerializeToString())


def _call(
    request: WireRequest, version: str, body: Mapping[str, Any], *, customer_id: str = ""
) -> Call:
    settings = body.get("searchSettings") or {}
    return Call(
        version=version,
        line=request.line,
        authorization=request.headers.get("authorization", ""),
        login=request.headers.get("login-customer-id", ""),
        customer_id=customer_id,
        query=str(body.get("query", "")),
        page_token=str(body.get("pageToken", "")),
        page_size=int(body.get("pageSize") or 0) if customer_id else 0,
        validate_only=bool(body.get("validateOnly")),
        count_rows=bool(settings.get("returnTotalResultsCount")),
        summary=bool(settings.get("returnSummaryRow"))
        or str(body.get("summaryRowSetting", "")).startswith("SUMMARY_ROW"),
    )


def _body(request: WireRequest) -> dict[str, Any]:
    try:
        given = json.loads(request.body or b"{}")
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise AdsError("", "", "Invalid JSON payload received.", status="INVALID_ARGUMENT")
    return given


def _noted(request: WireRequest) -> dict[str, Any]:
    try:
        return {"query": str(_body(request).get("query", ""))}
    except AdsError:
        return {}


def _headers(request_id: str = "") -> Headers:
    found = [("content-type", "application/json; charset=UTF-8")]
    return [*found, ("request-id", request_id)] if request_id else found


def _json(
    status: int,
    body: Any,
    request_id: str = "",
    notes: Mapping[str, Any] | None = None,
    *,
    rows: int = 0,
) -> WireResponse:
    noted = {"transport": "rest", **(notes or {})}
    if request_id:
        noted["request_id"] = request_id
    return WireResponse(
        status=status,
        body=msgspec.json.encode(body),
        headers=_headers(request_id),
        rows=rows,
        notes=noted,
    )
