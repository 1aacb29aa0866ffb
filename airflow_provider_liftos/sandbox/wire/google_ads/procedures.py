"""The gRPC face: every version's services, found by the path of the call.

Faults of the line mean here: http_500 an internal error, http_502_html what a proxy's page
becomes (UNAVAILABLE), reset UNAVAILABLE at once, truncated_body UNAVAILABLE after half of the
first batch, slow and timeout silence. ``after_batches`` moves the last three into a stream.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc

from airflow_provider_liftos.sandbox.faults import TRANSPORT, Fault
from airflow_provider_liftos.sandbox.wire import WireRequest, WireResponse

from . import messages, metadata
from .errors import STATUSES, AdsError, internal
from .oauth import PLATFORM
from .schema import NEWEST, VERSIONS, Schema, load
from .service import Answer, Call, Service
from .writer import Batch

_METHOD = re.compile(r"/google\.ads\.googleads\.(v\d+)\.services\.(\w+)/(\w+)")
_FOREVER = 3600.0
_MID_STREAM = ("reset", "slow", "timeout")


class Procedures:
    """Serves the search, customer and field services; a grpc.GenericRpcHandler in all but name."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def service(self, details: Any) -> Any:
        """Return the handler of a method; None leaves it unimplemented."""
        found = _METHOD.fullmatch(details.method)
        if found is None:
            return None
        version, called = found.group(1), f"{found.group(2)}/{found.group(3)}"
        if called == "GoogleAdsService/SearchStream":
            return grpc.unary_stream_rpc_method_handler(
                lambda data, context: _Stream(self._service, version, context).serve(data)
            )
        kinds: dict[str, type[_Single]] = {
            "GoogleAdsService/Search": _Page,
            "CustomerService/ListAccessibleCustomers": _Accessible,
            "GoogleAdsFieldService/SearchGoogleAdsFields": _Fields,
            "GoogleAdsFieldService/GetGoogleAdsField": _Field,
        }
        kind = kinds.get(called)
        if kind is None:
            return None
        return grpc.unary_unary_rpc_method_handler(
            lambda data, context: kind(self._service, version, context).serve(data)
        )


class _Procedure:
    """One call: what it brings, what becomes of it, what is written down."""

    def __init__(self, service: Service, version: str, context: Any) -> None:
        self.service = service
        self.version = version
        self.context = context
        self.request_id = service.request_id()
        self.rows = self.bytes = 0
        self.fault: Fault | None = None
        self.query = ""
        self._begun = time.perf_counter()
        self._told = dict(context.invocation_metadata() or ())
        self._over = threading.Event()
        context.add_callback(self._over.set)

    @property
    def schema(self) -> Schema:
        """Return the messages of the version, or of the newest if it is none."""
        return load(self.version if self.version in VERSIONS else NEWEST)

    def call(self, path: str, **asked: Any) -> Call:
        """Return the call, and take the fault of the line that it meets."""
        method = "GET" if "listAccessible" in path or "googleAdsFields/" in path else "POST"
        call = Call(
            version=self.version,
            line=f"{method} /{PLATFORM}/{self.version}/{path}",
            authorization=str(self._told.get("authorization", "")),
            login=str(self._told.get("login-customer-id", "")),
            **asked,
        )
        self.query = call.query
        self._line = call.line
        self.fault = self.service.world.faults.take(
            TRANSPORT, platform=PLATFORM, line=call.line, account=call.account
        )
        if self.fault and "after_batches" not in self.fault.options:
            self._break(self.fault)
        return call

    _line = ""

    def _break(self, fault: Fault) -> None:
        """Let a fault of the line happen."""
        if fault.kind == "http_500":
            bare = AdsError("", "", "Internal Server Error", status="INTERNAL")
            raise bare if fault.options.get("bare") else internal().override(fault.options)
        if fault.kind == "http_502_html":
            status = int(fault.options.get("status", 502))
            raise unavailable(f"Received http2 header with status: {status}")
        if fault.kind == "reset":
            raise unavailable("recvmsg:Connection reset by peer")
        if fault.kind == "slow":
            self._over.wait(float(fault.options.get("seconds", 1.0)))
        if fault.kind == "timeout":
            self._over.wait(float(fault.options.get("seconds", _FOREVER)))
            raise AdsError("", "", "Deadline Exceeded", status="DEADLINE_EXCEEDED")

    def refuse(self, error: AdsError) -> None:
        """End the call with a refusal."""
        self.note(error)
        self.context.set_trailing_metadata(messages.trailers(error, self.version, self.request_id))
        self.context.set_code(grpc.StatusCode[error.status])
        self.context.set_details(error.text)

    def finish(self) -> None:
        """End the call well."""
        self.context.set_trailing_metadata((("request-id", self.request_id),))
        self.note(None)

    def note(self, error: AdsError | None) -> None:
        """Write the call down as its REST twin would be."""
        method, _, route = self._line.partition(" ")
        request = WireRequest(
            method=method or "POST",
            path=route.removeprefix(f"/{PLATFORM}/"),
            route=route,
            base_url="",
            params={},
            headers={},
        )
        notes = {"transport": "grpc", "query": self.query, "request_id": self.request_id}
        status = STATUSES[error.status][0] if error else 200
        silent = self.fault is not None and self.fault.kind in ("reset", "timeout")
        response = WireResponse(
            status=status, body=b"", rows=self.rows, size=self.bytes, notes=notes
        )
        self.service.world.note(
            PLATFORM,
            request,
            None if silent and error and not self.rows else response,
            fault=self.fault.kind if self.fault else None,
            seconds=time.perf_counter() - self._begun,
        )


def unavailable(text: str) -> AdsError:
    """Return a break of the line: a status and nothing else."""
    return AdsError("", "", text, status="UNAVAILABLE")


class _Stream(_Procedure):
    def serve(self, data: bytes) -> Iterator[bytes]:
        """Serve SearchStream; whatever breaks it, what was sent stays sent."""
        try:
            asked = self.schema.StreamRequest.FromString(data)
            call = self.call(
                f"customers/{asked.customer_id}/googleAds:searchStream",
                customer_id=asked.customer_id,
                query=asked.query,
                summary=asked.summary_row_setting > 2,  # beyond NO_SUMMARY_ROW
            )
            yield from self._parts(self.service.stream(call))
        except AdsError as error:
            self.refuse(error)
            return
        self.finish()

    def _parts(self, answer: Answer) -> Iterator[bytes]:
        fault = self.fault
        cut = fault is not None and fault.kind == "truncated_body"
        for number, batch in enumerate(answer.batches):
            if fault and fault.options.get("after_batches") == number:
                self._break(fault)
            sent = messages.half(answer.schema, batch) if cut else batch
            yield self._sent(answer, sent)
            if cut:
                raise unavailable("Stream removed")
            if not self.context.is_active():
                return

    def _sent(self, answer: Answer, batch: Batch) -> bytes:
        part = messages.stream_part(answer, batch, self.request_id)
        self.rows += batch.rows
        self.bytes += len(part)
        return part


class _Single(_Procedure):
    """A call with one answer."""

    def serve(self, data: bytes) -> bytes:
        """Answer, or refuse."""
        try:
            answer = self.answer(data)
            if self.fault and self.fault.kind == "truncated_body":
                raise unavailable("Stream removed")
        except AdsError as error:
            self.refuse(error)
            return b""
        self.bytes = len(answer)
        self.finish()
        return answer

    def answer(self, data: bytes) -> bytes:
        """Return the message; raises AdsError."""
        raise NotImplementedError

    def ask(self, module: str, name: str, data: bytes) -> Any:
        """Read a request."""
        return self.schema.message(f"services.types.{module}", name).FromString(data)


class _Page(_Single):
    def answer(self, data: bytes) -> bytes:
        asked = self.schema.SearchRequest.FromString(data)
        call = self.call(
            f"customers/{asked.customer_id}/googleAds:search",
            customer_id=asked.customer_id,
            query=asked.query,
            page_token=asked.page_token,
            page_size=asked.page_size,
            validate_only=asked.validate_only,
            count_rows=asked.search_settings.return_total_results_count,
            summary=asked.search_settings.return_summary_row,
        )
        found = self.service.page(call)
        whole = b""
        for batch in found.batches:
            self.rows, whole = batch.rows, messages.page(found, batch)
        return whole


class _Accessible(_Single):
    def answer(self, data: bytes) -> bytes:  # noqa: ARG002  # nothing is asked
        names = self.service.accessible(self.call("customers:listAccessibleCustomers"))
        self.rows = len(names)
        return _bytes(messages.customers(self.schema, names))


class _Fields(_Single):
    def answer(self, data: bytes) -> bytes:
        asked = self.ask("google_ads_field_service", "SearchGoogleAdsFieldsRequest", data)
        self.service.admit(self.call("googleAdsFields:search", query=asked.query))
        found, _ = metadata.search(self.schema, asked.query)
        self.rows = len(found)
        return _bytes(messages.fields(self.schema, found))


class _Field(_Single):
    def answer(self, data: bytes) -> bytes:
        asked = self.ask("google_ads_field_service", "GetGoogleAdsFieldRequest", data)
        self.service.admit(self.call(asked.resource_name))
        self.rows = 1
        name = asked.resource_name.removeprefix("googleAdsFields/")
        return _bytes(metadata.get(self.schema, name))


def _bytes(message: Any) -> bytes:
    raw: bytes = message.SerializeToString()
    return raw
