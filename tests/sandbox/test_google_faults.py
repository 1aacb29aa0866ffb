from __future__ import annotations

from typing import Any

import grpc
import httpx2
import pytest

from airflow_provider_liftos.sandbox import Sandbox
from tests.sandbox.google_client import GoogleWire

WEEK = "segments.date BETWEEN '2026-11-09' AND '2026-11-15'"
QUERY = f"SELECT campaign.id, metrics.clicks, segments.date FROM campaign WHERE {WEEK}"
# Three pages of one account.
LARGE = (
    "SELECT ad_group_ad.ad.id, segments.hour, metrics.impressions, segments.date "
    "FROM ad_group_ad WHERE segments.date DURING LAST_30_DAYS"
)
GRPC_STREAM = "googleAds:searchStream"


def order(sandbox: Sandbox, kind: str, **more: object) -> int:
    return sandbox.faults.add(kind=kind, platform="google_ads", **more)


def refused(wire: GoogleWire, query: str = QUERY, **more: Any) -> Any:
    with pytest.raises(grpc.RpcError) as error:
        list(wire.batches(query, **more))
    return error.value


@pytest.mark.parametrize(
    ("kind", "more", "status", "code"),
    [
        ("http_500", {}, "INTERNAL", ("internalError", "INTERNAL_ERROR")),
        ("rate_limit", {}, "RESOURCE_EXHAUSTED", ("quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED")),
        ("lockout", {}, "RESOURCE_EXHAUSTED", ("quotaError", "RESOURCE_EXHAUSTED")),
        ("token_expired", {}, "UNAUTHENTICATED", ("authenticationError", "OAUTH_TOKEN_EXPIRED")),
        ("token_revoked", {}, "UNAUTHENTICATED", ("authenticationError", "OAUTH_TOKEN_REVOKED")),
        ("version_dead", {"version": "v26"}, "INVALID_ARGUMENT", ("requestError", "UNSUPPORTED_VERSION")),
        ("field_gone", {"field": "metrics.clicks"}, "INVALID_ARGUMENT", ("queryError", "UNRECOGNIZED_FIELD")),
        ("too_much_data", {"max_days": 6}, "DEADLINE_EXCEEDED", ("internalError", "DEADLINE_EXCEEDED")),
        ("rate_limit", {"code": "quotaError.EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION"},
         "RESOURCE_EXHAUSTED", ("quotaError", "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION")),
    ],
)  # fmt: skip
def test_one_order_covers_both_transports(
    sandbox: Sandbox,
    google: GoogleWire,
    kind: str,
    more: dict[str, Any],
    status: str,
    code: tuple[str, str],
) -> None:
    order(sandbox, kind, match=GRPC_STREAM, account=google.cid, **more)
    error = refused(google)
    assert error.code().name == status
    assert google.failure(error)["errors"][0]["errorCode"] == dict([code])
    body = google.post(f"customers/{google.cid}/{GRPC_STREAM}", {"query": QUERY}).json()
    body = body[0] if isinstance(body, list) else body  # a failing front end knows no streams
    assert body["error"]["status"] == status
    assert body["error"]["details"][0]["errors"][0]["errorCode"] == dict([code])
    assert google.rest_paged(QUERY)
    assert google.grpc_stream(QUERY, google.accounts["USD"])


def test_a_limit_tells_when_to_come_back(own: Sandbox, own_google: GoogleWire) -> None:
    order(own, "rate_limit", regain=30)
    error = refused(own_google)
    details = own_google.failure(error)["errors"][0]["details"]["quotaErrorDetails"]
    assert details == {
        "rateScope": "ACCOUNT",
        "rateName": "Requests per account",
        "retryDelay": "30s",
    }
    from google.rpc import error_details_pb2, status_pb2

    status = status_pb2.Status.FromString(
        dict(error.trailing_metadata())["grpc-status-details-bin"]
    )
    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 30
    own.clock.advance(31)
    assert own_google.grpc_stream(QUERY)


def test_the_daily_limit_does_not(own: Sandbox, own_google: GoogleWire) -> None:
    order(own, "lockout")
    details = own_google.failure(refused(own_google))["errors"][0]["details"]["quotaErrorDetails"]
    assert details["rateScope"] == "DEVELOPER"
    assert "retryDelay" not in details
    reply = own_google.search(QUERY)
    assert reply.status_code == 429
    own.clock.advance(3601)
    assert own_google.rest_paged(QUERY)


def test_a_new_token_heals_an_expired_one_but_not_a_revoked_grant(
    own: Sandbox, own_google: GoogleWire
) -> None:
    client = {
        "client_id": "sandbox-client", "client_secret": "sandbox-secret",
        "grant_type": "refresh_token", "refresh_token": "sandbox-refresh-token",
    }  # fmt: skip
    order(own, "token_expired")
    assert own_google.refusal(QUERY) == ("authenticationError", "OAUTH_TOKEN_EXPIRED")
    own.clock.advance(1)
    own_google.token = own_google.http.post("/token", data=client).json()["access_token"]
    assert own_google.grpc_stream(QUERY)
    order(own, "token_revoked")
    reply = own_google.http.post("/token", data=client)
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")


def test_failures_of_the_line_by_grpc(sandbox: Sandbox, google: GoogleWire) -> None:
    order(sandbox, "http_500", times=1, bare=True)
    error = refused(google)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert [name for name, _ in error.trailing_metadata()] == ["request-id"]
    for kind in ("http_502_html", "reset"):
        order(sandbox, kind, times=1)
        assert refused(google).code() is grpc.StatusCode.UNAVAILABLE
    order(sandbox, "timeout", times=1)
    assert refused(google, timeout=2.0).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    order(sandbox, "slow", times=1, seconds=0.01)
    assert google.grpc_stream(QUERY)
    kinds = [entry["fault"] for entry in sandbox.journal.entries("google_ads") if entry["fault"]]
    assert sorted(kinds) == ["http_500", "http_502_html", "reset", "slow", "timeout"]


def test_failures_of_the_line_by_rest(sandbox: Sandbox, google: GoogleWire) -> None:
    path = f"customers/{google.cid}/{GRPC_STREAM}"
    order(sandbox, "http_500", times=1, bare=True)
    assert google.post(path, {"query": QUERY}).json() == {"message": "Internal Server Error"}
    order(sandbox, "http_502_html", times=1)
    assert google.post(path, {"query": QUERY}).headers["content-type"] == "text/html"
    order(sandbox, "reset", times=1)
    with pytest.raises(httpx2.ReadError):
        google.post(path, {"query": QUERY})
    order(sandbox, "truncated_body", times=1)
    with pytest.raises(httpx2.RemoteProtocolError):
        google.post(path, {"query": QUERY})
    assert google.rest_stream(QUERY)


def test_a_stream_may_break_after_some_rows(sandbox: Sandbox, google: GoogleWire) -> None:
    whole = google.grpc_stream(LARGE)
    assert len(whole) > 10_000
    order(sandbox, "truncated_body", times=1)
    batches = google.batches(LARGE)
    assert len(next(batches).results) == 5_000
    with pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
        next(batches)
    for kind in ("reset", "timeout"):
        order(sandbox, kind, times=1, after_batches=1, seconds=0.01)
        batches = google.batches(LARGE)
        assert len(next(batches).results) == 10_000
        with pytest.raises(grpc.RpcError):
            next(batches)
    assert google.grpc_stream(LARGE) == whole


def test_pages_may_be_empty_or_come_twice_and_nothing_is_lost(
    sandbox: Sandbox, google: GoogleWire
) -> None:
    whole = google.grpc_stream(LARGE)
    for kind in ("empty_page_mid_stream", "duplicate_page"):
        order(sandbox, kind, times=1)
        pages = google.grpc_pages(LARGE)
        assert len(pages) == len(whole) // 10_000 + 2
        rows = [row for page in pages for row in page.results]
        extra = 0 if kind.startswith("empty") else 10_000
        assert len(rows) == len(whole) + extra
        order(sandbox, kind, times=1)
        assert len(google.rest_paged(LARGE)) == len(whole) + extra
    sandbox.faults.clear()
    order(sandbox, "empty_page_mid_stream", times=1)
    counts = [len(batch.results) for batch in google.batches(LARGE)]
    assert 0 in counts
    assert sum(counts) == len(whole)


def test_pages_have_ten_thousand_rows_and_tokens_are_bound(
    own: Sandbox, own_google: GoogleWire
) -> None:
    first, *rest = own_google.grpc_pages(LARGE)
    assert len(first.results) == 10_000
    assert not rest[-1].next_page_token
    body = own_google.search(LARGE, searchSettings={"returnTotalResultsCount": True}).json()
    assert body["totalResultsCount"] == str(10_000 + sum(len(page.results) for page in rest))
    token = body["nextPageToken"]

    def code(**more: Any) -> dict[str, str]:
        query = more.pop("query", LARGE)
        error = own_google.search(query, **more).json()["error"]
        return error["details"][0]["errors"][0]["errorCode"]

    assert code(query=QUERY, pageToken=token) == {"requestError": "INVALID_PAGE_TOKEN"}
    assert code(pageToken="nonsense") == {"requestError": "INVALID_PAGE_TOKEN"}
    assert code(pageSize=100) == {"requestError": "PAGE_SIZE_NOT_SUPPORTED"}
    own.clock.advance(3600)
    assert own_google.search(LARGE, pageToken=token).json()["results"]
    own.clock.advance(7200)
    assert code(pageToken=token) == {"requestError": "EXPIRED_PAGE_TOKEN"}


def test_the_journal_tells_transport_query_rows_and_request(
    sandbox: Sandbox, google: GoogleWire
) -> None:
    rows = google.grpc_stream(QUERY)
    google.rest_stream(QUERY)
    by_grpc, by_rest = sandbox.journal.entries("google_ads", contains=GRPC_STREAM)
    for entry, transport in ((by_grpc, "grpc"), (by_rest, "rest")):
        assert (entry["rows"], entry["query"], entry["status"]) == (len(rows), QUERY, 200)
        assert entry["transport"] == transport
        assert entry["bytes"] > 1000
        assert entry["request_id"]
    assert by_grpc["path"] == by_rest["path"]
    assert by_grpc["method"] == by_rest["method"] == "POST"


def test_only_the_last_batch_tells_what_a_query_cost(google: GoogleWire) -> None:
    batches = list(google.batches(LARGE))
    assert [batch.query_resource_consumption > 0 for batch in batches] == [False] * (
        len(batches) - 1
    ) + [True]
    assert len({batch.request_id for batch in batches}) == 1
    assert list(batches[0].field_mask.paths)[:2] == ["ad_group_ad.ad.id", "segments.hour"]
