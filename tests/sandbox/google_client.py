"""A client of Google's wire that knows nothing but gRPC, HTTP and the vendor's protobufs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property
from typing import Any

import grpc
import httpx2
import pytest
from google.protobuf import json_format

from airflow_provider_liftos.sandbox import Sandbox

HOLDING, BRANCH, AGENCY, CLOSED = "1111111111", "2222222222", "3333333333", "5555555555"
SUMMED = ("impressions", "clicks", "spend", "conversions", "conversions_value")
Row = dict[str, Any]


class GoogleWire:
    """Asks the wire of a running sandbox, by either transport."""

    def __init__(self, sandbox: Sandbox, *, version: str = "v26", login: str = HOLDING) -> None:
        self.sandbox = sandbox
        self.version = version
        self.login = login
        self.token = "sandbox-token"
        self.http = httpx2.Client(base_url=f"{sandbox.url}/google_ads", timeout=60)
        self.accounts = {
            one.currency: one.id for one in sandbox.world.dataset("google_ads").accounts
        }
        self.cid = self.accounts["EUR"]

    @cached_property
    def channel(self) -> grpc.Channel:
        options = [("grpc.max_receive_message_length", 64 << 20)]
        return grpc.insecure_channel(self.sandbox.grpc_target, options=options)

    def close(self) -> None:
        self.http.close()
        if "channel" in self.__dict__:
            self.channel.close()

    def message(self, name: str, module: str = "google_ads_service") -> Any:
        path = f"google.ads.googleads.{self.version}.services.types.{module}"
        return getattr(importlib.import_module(path), name).pb()

    @property
    def headers(self) -> dict[str, str]:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return {**headers, **({"login-customer-id": self.login} if self.login else {})}

    def rpc(self, called: str, request: Any, answer: Any, *, timeout: float = 60) -> Any:
        """Call a method; a stream gives an iterator."""
        kind = self.channel.unary_stream if called.endswith("Stream") else self.channel.unary_unary
        method = kind(
            f"/google.ads.googleads.{self.version}.services.{called}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return method(request, metadata=list(self.headers.items()), timeout=timeout)

    def batches(self, query: str, cid: str | None = None, **more: Any) -> Iterator[Any]:
        request = self.message("SearchGoogleAdsStreamRequest")(
            customer_id=self.cid if cid is None else cid, query=query
        )
        answer = self.message("SearchGoogleAdsStreamResponse")
        return self.rpc("GoogleAdsService/SearchStream", request, answer, **more)

    def grpc_stream(self, query: str, cid: str | None = None) -> list[Row]:
        return [plain(row) for batch in self.batches(query, cid) for row in batch.results]

    def grpc_page(self, query: str, cid: str | None = None, **more: Any) -> Any:
        request = self.message("SearchGoogleAdsRequest")(
            customer_id=self.cid if cid is None else cid, query=query, **more
        )
        answer = self.message("SearchGoogleAdsResponse")
        return self.rpc("GoogleAdsService/Search", request, answer)

    def grpc_pages(self, query: str, cid: str | None = None) -> list[Any]:
        pages = [self.grpc_page(query, cid)]
        while pages[-1].next_page_token:
            pages.append(self.grpc_page(query, cid, page_token=pages[-1].next_page_token))
        return pages

    def grpc_paged(self, query: str, cid: str | None = None) -> list[Row]:
        return [plain(row) for page in self.grpc_pages(query, cid) for row in page.results]

    def post(self, path: str, body: Any) -> httpx2.Response:
        return self.http.post(f"/{self.version}/{path}", json=body, headers=self.headers)

    def search(self, query: str, cid: str | None = None, **more: Any) -> httpx2.Response:
        path = f"customers/{self.cid if cid is None else cid}/googleAds:search"
        return self.post(path, {"query": query, **more})

    def rest_stream(self, query: str, cid: str | None = None) -> list[Row]:
        path = f"customers/{self.cid if cid is None else cid}/googleAds:searchStream"
        batches = self.post(path, {"query": query}).json()
        assert "error" not in batches[0], batches[0]
        return [row for batch in batches for row in batch.get("results", [])]

    def rest_paged(self, query: str, cid: str | None = None) -> list[Row]:
        rows: list[Row] = []
        body = self.search(query, cid).json()
        while True:
            assert "error" not in body, body
            rows += body.get("results", [])
            if "nextPageToken" not in body:
                return rows
            body = self.search(query, cid, pageToken=body["nextPageToken"]).json()

    def refusal(self, query: str, cid: str | None = None) -> tuple[str, str]:
        """Return kind and code of a refusal, which both transports must say alike."""
        error = self.search(query, cid).json()["error"]
        failure = error["details"][0]["errors"][0]
        ((kind, code),) = failure["errorCode"].items()
        with pytest.raises(grpc.RpcError) as told:
            list(self.batches(query, cid))
        assert told.value.code().name == error["status"]
        other = self.failure(told.value)["errors"][0]
        assert other["errorCode"] == {kind: code}
        assert other["message"] == failure["message"]
        return kind, code

    def failure(self, error: Any) -> dict[str, Any]:
        """Return the GoogleAdsFailure of a refused call."""
        told = dict(error.trailing_metadata())
        path = f"google.ads.googleads.{self.version}.errors"
        kind = importlib.import_module(f"{path}.types.errors").GoogleAdsFailure.pb()
        shown = plain(kind.FromString(told[f"{path}.googleadsfailure-bin"]))
        assert shown["requestId"] == told["request-id"]
        return shown


def plain(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(message)


def sums(rows: list[Row]) -> dict[str, Decimal]:
    """Add up rows as a client must: absent is zero, micros are millionths."""
    found = dict.fromkeys(SUMMED, Decimal(0))
    for row in rows:
        metrics = row.get("metrics", {})
        found["impressions"] += int(metrics.get("impressions", 0))
        found["clicks"] += int(metrics.get("clicks", 0))
        found["spend"] += Decimal(metrics.get("costMicros", 0)) / 1_000_000
        found["conversions"] += Decimal(str(metrics.get("conversions", 0)))
        found["conversions_value"] += Decimal(str(metrics.get("conversionsValue", 0)))
    return found


def truth_sums(truth: dict[str, Any]) -> dict[str, Decimal]:
    return {name: Decimal(str(truth["sums"][name])) for name in SUMMED}
