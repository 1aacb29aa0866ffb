from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from airflow_provider_liftos.model.wire import BrokenStream, Response, Verdict, judge
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.platforms.google_ads import decode, errors, schema

pytest.importorskip("google.ads.googleads")

GOOGLE = get("google_ads")
V = Verdict


# -- decoding -----------------------------------------------------------------------------------

NAMES = (
    "campaign.id", "campaign.name", "campaign.status", "ad_group_ad.ad.final_urls",
    "ad_group.type", "metrics.clicks", "metrics.conversions", "metrics.search_impression_share",
    "customer.manager",
)  # fmt: skip
LEAVES = tuple(schema.require("v26", name) for name in NAMES)


def answer(**parts: Any) -> Any:
    """A full message, as Google's own library makes it."""
    made = schema.service("v26").SearchGoogleAdsStreamResponse.pb()()
    row = made.results.add()
    row.campaign.id, row.campaign.name = 2**53 + 1, 'Brand "{always}" \\ on'
    row.campaign.status, row.campaign.resource_name = parts.get("status", 2), "customers/1"
    row.ad_group_ad.ad.final_urls.extend(["https://a.example/{x}"])
    row.metrics.clicks, row.metrics.conversions = 3, 0.1
    made.results.add().campaign.id = 7
    return made


def both_ways(message: Any) -> tuple[list[Any], list[Any]]:
    from google.protobuf import json_format

    lines = decode.Reader(LEAVES).lines
    proto = decode.Messages("v26", LEAVES, lines).feed(message.SerializeToString())
    text = f"[{json_format.MessageToJson(message)}\n,\r\n{{}}]".encode()
    batches = decode.Batches(LEAVES, lines)
    plain = [row for n in range(len(text)) for row in batches.feed(text[n : n + 1])]
    assert not list(batches.end())
    return [json.loads(row) for row in proto], [json.loads(row) for row in plain]


def test_both_transports_give_exactly_the_same_rows() -> None:
    proto, plain = both_ways(answer())
    assert proto == plain
    first, second = proto
    assert list(first) == list(NAMES)
    assert (first["campaign.id"], first["campaign.status"]) == (2**53 + 1, "ENABLED")
    assert first["campaign.name"] == 'Brand "{always}" \\ on'
    assert first["ad_group_ad.ad.final_urls"] == ["https://a.example/{x}"]
    assert (second["metrics.clicks"], second["metrics.conversions"]) == (0, 0.0)
    assert (second["campaign.status"], second["customer.manager"]) == ("UNSPECIFIED", False)
    assert second["metrics.search_impression_share"] is None


def test_an_enum_newer_than_the_library_is_unknown_and_never_fails() -> None:
    proto, plain = both_ways(answer(status=97))
    assert proto == plain
    assert proto[0]["campaign.status"] == "UNKNOWN"


def test_an_answer_of_nothing_is_no_rows_and_one_that_ends_early_is_none() -> None:
    empty = decode.Batches(LEAVES, decode.Reader(LEAVES).lines)
    assert not list(empty.feed(b"[]"))
    assert not list(empty.end())
    for text in (b"", b"[", b'[{"results": []}', b'[{"results": [', b'[{"a": "'):
        cut = decode.Batches(LEAVES, decode.Reader(LEAVES).lines)
        assert not list(cut.feed(text))
        with pytest.raises(ValueError, match="amid"):
            cut.end()


def test_what_is_no_message_is_an_error_that_may_be_tried_again() -> None:
    lines = decode.Reader(LEAVES).lines
    with pytest.raises(ValueError, match="not a message"):
        decode.Messages("v26", LEAVES, lines).feed(b"\xff\xff")
    with pytest.raises(ValueError, match="not an answer"):
        decode.Batches(LEAVES, lines).feed(b'[{"results": 7}]')


def test_an_error_amid_a_stream_says_which() -> None:
    said = {"error": {"code": 429, "details": [
        {"requestId": "rq", "errors": [{"errorCode": {"quotaError": "RESOURCE_EXHAUSTED"}}]}]}}  # fmt: skip
    stream = decode.Batches(LEAVES, decode.Reader(LEAVES).lines)
    with pytest.raises(BrokenStream) as broken:
        stream.feed(f'[{{"results": []}},{json.dumps(said)}]'.encode())
    assert (broken.value.status, broken.value.error.request_id) == (429, "rq")
    assert judge(errors.RULES, 429, broken.value.error).verdict is V.THROTTLED


# -- errors -------------------------------------------------------------------------------------

KNOWN = [
    ("QuotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", V.THROTTLED),
    ("QuotaError", "RESOURCE_EXHAUSTED", V.THROTTLED),
    ("QuotaError", "EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION", V.THROTTLED),
    ("QuotaError", "ACCESS_PROHIBITED", V.REAUTHORIZE),
    ("InternalError", "INTERNAL_ERROR", V.RETRY), ("InternalError", "TRANSIENT_ERROR", V.RETRY),
    ("InternalError", "DEADLINE_EXCEEDED", V.SHRINK),
    ("DatabaseError", "CONCURRENT_MODIFICATION", V.RETRY),
    ("AuthorizationError", "CUSTOMER_NOT_ENABLED", V.SKIP),
    ("AuthorizationError", "USER_PERMISSION_DENIED", V.REAUTHORIZE),
    ("AuthorizationError", "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION", V.REAUTHORIZE),
    ("AuthenticationError", "OAUTH_TOKEN_EXPIRED", V.REAUTHORIZE),
    ("HeaderError", "INVALID_LOGIN_CUSTOMER_ID", V.REAUTHORIZE),
    ("RequestError", "UNSUPPORTED_VERSION", V.VERSION_DEAD),
    ("QueryError", "UNRECOGNIZED_FIELD", V.FIELD_GONE),
    ("QueryError", "DATE_RANGE_TOO_WIDE", V.SHRINK),
    ("QueryError", "BAD_ENUM_CONSTANT", V.REJECTED),
    ("RequestError", "INVALID_CUSTOMER_ID", V.REJECTED),
]  # fmt: skip


def told(kind: str, code: str, message: str = "m", **quota: Any) -> Response:
    key = kind[0].lower() + kind[1:]
    error = {"errorCode": {key: code}, "message": message}
    if quota:
        error["details"] = {"quotaErrorDetails": quota}
    body = {"error": {"code": 400, "message": "above", "details": [{"errors": [error]}]}}
    return Response(status=400, headers={}, body=json.dumps(body).encode())


def as_procedure(kind: str, code: str, message: str = "m", **quota: Any) -> Response:
    from google.ads.googleads.v26.errors.types.errors import GoogleAdsFailure
    from google.protobuf import json_format

    said = json.loads(told(kind, code, message, **quota).body)["error"]["details"][0]
    failure = json_format.ParseDict(said, GoogleAdsFailure.pb()())
    name = "google.ads.googleads.v26.errors.googleadsfailure-bin"
    value = base64.b64encode(failure.SerializeToString()).decode()
    return Response(status=400, headers={name: value, "request-id": "rq"}, body=b"above")


@pytest.mark.parametrize(("kind", "code", "verdict"), KNOWN)
def test_an_error_means_the_same_in_both_transports(kind: str, code: str, verdict: Verdict) -> None:
    rest, grpc = errors.read(told(kind, code)), errors.read(as_procedure(kind, code))
    assert rest is not None
    assert grpc is not None
    assert rest.message == grpc.message == f"{kind}.{code}: m"
    assert judge(errors.RULES, 400, rest).verdict is verdict
    assert grpc.wait == rest.wait


@pytest.mark.parametrize("read", [told, as_procedure])
def test_a_quota_says_whose_it_is_and_how_long(read: Any) -> None:
    mine = errors.read(
        read("QuotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", rateScope="ACCOUNT", retryDelay="5s")
    )
    assert mine.wait == 5
    assert judge(errors.RULES, 429, mine).one_account
    day = errors.read(
        read("QuotaError", "RESOURCE_EXHAUSTED", rateScope="DEVELOPER", retryDelay="2s")
    )
    assert day.wait == 3600
    assert not judge(errors.RULES, 429, day).one_account


def test_a_field_that_is_gone_is_named() -> None:
    text = "Unrecognized field in the query: 'metrics.gone'."
    found = errors.read(told("QueryError", "UNRECOGNIZED_FIELD", text))
    assert found is not None
    assert found.field == "metrics.gone"


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (503, b"gone", V.RETRY), (500, b"{}", V.RETRY), (502, b"<html>", V.RETRY),
        (429, b"", V.THROTTLED), (401, b"", V.REAUTHORIZE), (409, b"aborted", V.RETRY),
        (501, b"no such method", V.VERSION_DEAD), (404, b"<html>404", V.VERSION_DEAD), (504, b"late", V.RETRY),
        (429, b"Received message larger than max (70 vs. 64)", V.SHRINK),
        (400, b'{"error": "invalid_grant", "error_description": "revoked"}', V.REAUTHORIZE),
        (500, b'[{"error": {"code": 500, "message": "x"}}]', V.RETRY),
    ],
)  # fmt: skip
def test_answers_without_a_failure_are_judged_by_their_status(
    status: int, body: bytes, verdict: Verdict
) -> None:
    error = errors.read(Response(status=status, headers={}, body=body))
    assert error is not None
    assert judge(errors.RULES, status, error).verdict is verdict
