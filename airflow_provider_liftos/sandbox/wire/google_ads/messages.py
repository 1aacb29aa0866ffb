"""Responses as bytes and as JSON; errors as trailing metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .errors import AdsError
from .schema import NEWEST, VERSIONS, Schema, load
from .service import Answer
from .writer import Batch

Trailers = tuple[tuple[str, str | bytes], ...]


def stream_part(answer: Answer, batch: Batch, request_id: str) -> bytes:
    """Return one message of SearchStream; the last one tells what the query cost."""
    message = answer.schema.StreamResponse()
    message.field_mask.paths.extend(answer.mask)
    message.request_id = request_id
    if batch.last:
        message.query_resource_consumption = 240
    return b"".join((batch.data, message.SerializeToString()))


def page(answer: Answer, batch: Batch) -> bytes:
    """Return the message of Search."""
    message = answer.schema.SearchResponse()
    message.field_mask.paths.extend(answer.mask)
    message.next_page_token = answer.next_page_token
    message.query_resource_consumption = 240
    if answer.total is not None:
        message.total_results_count = answer.total
    return b"".join((batch.data, message.SerializeToString()))


def as_json(kind: Any, data: bytes) -> dict[str, Any]:
    """Return a message as the platform writes it in JSON: camel case, int64 as text."""
    from google.protobuf import json_format

    shown: dict[str, Any] = json_format.MessageToDict(kind.FromString(data))
    return shown


def half(schema: Schema, batch: Batch) -> Batch:
    """Return the first half of a batch."""
    whole = schema.StreamResponse.FromString(batch.data)
    kept = schema.StreamResponse(results=whole.results[: batch.rows // 2])
    return Batch(kept.SerializeToString(), batch.rows // 2, last=False)


def trailers(error: AdsError, version: str, request_id: str) -> Trailers:
    """Return the trailing metadata of a refusal."""
    found: list[tuple[str, str | bytes]] = [("request-id", request_id)]
    if error.kind:
        schema = load(version if version in VERSIONS else NEWEST)
        raw = _failure(schema, error, request_id).SerializeToString()
        key = f"google.ads.googleads.{version}.errors.googleadsfailure-bin"
        found += [(key, raw), ("grpc-status-details-bin", _status(error, version, raw))]
    return tuple(found)


def _failure(schema: Schema, error: AdsError, request_id: str) -> Any:
    failure = schema.failure(request_id=request_id)
    one = failure.errors.add(message=error.message)
    kinds = one.error_code.DESCRIPTOR.fields_by_name
    known = kinds[error.kind].enum_type.values_by_name.get(error.code)
    setattr(one.error_code, error.kind, known.number if known else 1)
    if error.trigger:
        one.trigger.string_value = error.trigger
    if error.rate_scope:
        quota = one.details.quota_error_details
        scopes = quota.DESCRIPTOR.fields_by_name["rate_scope"].enum_type.values_by_name
        quota.rate_scope = scopes[error.rate_scope].number
        quota.rate_name = error.rate_name
        if error.retry_delay is not None:
            quota.retry_delay.FromMilliseconds(int(error.retry_delay * 1000))
    return failure


def _status(error: AdsError, version: str, failure: bytes) -> bytes:
    """Return ``google.rpc.Status``, as Google's own front end adds it: with a RetryInfo."""
    import grpc
    from google.rpc import error_details_pb2, status_pb2

    status = status_pb2.Status(code=grpc.StatusCode[error.status].value[0], message=error.text)
    status.details.add(
        type_url=f"type.googleapis.com/google.ads.googleads.{version}.errors.GoogleAdsFailure",
        value=failure,
    )
    if error.retry_delay is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(error.retry_delay * 1000))
        status.details.add().Pack(retry)
    raw: bytes = status.SerializeToString()
    return raw


def customers(schema: Schema, names: Sequence[str]) -> Any:
    """Return the message of ListAccessibleCustomers."""
    kind = schema.message("services.types.customer_service", "ListAccessibleCustomersResponse")
    return kind(resource_names=names)


def fields(schema: Schema, found: Sequence[Any]) -> Any:
    """Return the message of SearchGoogleAdsFields."""
    kind = schema.message(
        "services.types.google_ads_field_service", "SearchGoogleAdsFieldsResponse"
    )
    return kind(results=found, total_results_count=len(found))
