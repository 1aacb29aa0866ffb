"""The vendor's own library, unchanged, against the sandbox; and every version it knows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.ads.googleads.client import GoogleAdsClient
from google.ads.googleads.errors import GoogleAdsException
from google.ads.googleads.interceptors import ExceptionInterceptor, MetadataInterceptor
from google.ads.googleads.v26.services.services.google_ads_service import GoogleAdsServiceClient
from google.ads.googleads.v26.services.services.google_ads_service.transports import (
    GoogleAdsServiceGrpcTransport,
)
from google.oauth2.credentials import Credentials

from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.sandbox.wire.google_ads.schema import VERSIONS
from tests.sandbox.google_client import HOLDING, GoogleWire, plain

QUERY = "SELECT campaign.id, campaign.name, metrics.clicks FROM campaign"
# Recipe 1: nothing but an endpoint, roots of trust in the environment, and credentials.
UNTOUCHED = """
import sys
from google.ads.googleads.client import GoogleAdsClient
from google.ads.googleads.errors import GoogleAdsException
from google.oauth2.credentials import Credentials

endpoint, token_uri, customer = sys.argv[1:]
credentials = Credentials(
    None, refresh_token="sandbox-refresh-token", client_id="sandbox-client",
    client_secret="sandbox-secret", token_uri=token_uri,
)
client = GoogleAdsClient(
    credentials=credentials, endpoint=endpoint, login_customer_id="1111111111", use_proto_plus=True
)
service = client.get_service("GoogleAdsService")
query = "SELECT campaign.id, campaign.name, campaign.status, metrics.clicks FROM campaign"
names = [row.campaign.name for batch in service.search_stream(customer_id=customer, query=query)
         for row in batch.results]
assert [row.campaign.name for row in service.search(customer_id=customer, query=query)] == names
accessible = client.get_service("CustomerService").list_accessible_customers().resource_names
fields = client.get_service("GoogleAdsFieldService").search_google_ads_fields(
    query="SELECT name, data_type WHERE name = 'campaign.id'")
assert [field.name for field in fields] == ["campaign.id"]
try:
    service.search(customer_id=customer, query="SELECT campaign.nothing FROM campaign")
except GoogleAdsException as error:
    assert error.failure.errors[0].error_code.query_error.name == "UNRECOGNIZED_FIELD"
    assert error.request_id == error.failure.request_id
print(len(names), len(accessible))
"""


def test_the_untouched_client_works_over_tls(
    sandbox: Sandbox, google: GoogleWire, tmp_path: Path
) -> None:
    roots = tmp_path / "roots.pem"
    endpoint = sandbox.encrypted_target(roots)
    done = subprocess.run(
        [sys.executable, "-c", UNTOUCHED, endpoint, f"{sandbox.url}/google_ads/token", google.cid],
        env={**os.environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(roots)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["5", "3"]


class _Authorized(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds the token: call credentials are refused on an insecure channel."""

    def _with_token(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = [*(details.metadata or ()), ("authorization", "Bearer sandbox-token")]
        return continuation(details._replace(metadata=metadata), request)

    intercept_unary_unary = intercept_unary_stream = _with_token


@pytest.fixture
def service(sandbox: Sandbox) -> Any:
    """Recipe 2: the library's service over a channel of one's own."""
    channel = grpc.intercept_channel(
        grpc.insecure_channel(sandbox.grpc_target),
        _Authorized(),
        MetadataInterceptor(None, HOLDING, None),
        ExceptionInterceptor("v26", use_proto_plus=False),
    )
    return GoogleAdsServiceClient(transport=GoogleAdsServiceGrpcTransport(channel=channel))


def test_the_librarys_service_works_over_a_plain_channel(service: Any, google: GoogleWire) -> None:
    rows = [
        plain(type(row).pb(row) if hasattr(type(row), "pb") else row)
        for batch in service.search_stream(customer_id=google.cid, query=QUERY)
        for row in batch.results
    ]
    assert rows == google.rest_stream(QUERY)
    with pytest.raises(GoogleAdsException) as refused:
        service.search(customer_id=google.cid, query="SELECT campaign.nothing FROM campaign")
    assert refused.value.failure.errors[0].message.startswith("Unrecognized field")


def test_quota_errors_are_not_google_ads_exceptions(
    sandbox: Sandbox, service: Any, google: GoogleWire
) -> None:
    from google.api_core.exceptions import ResourceExhausted

    sandbox.faults.add(kind="rate_limit", platform="google_ads", times=1)
    with pytest.raises(ResourceExhausted) as refused:
        service.search(customer_id=google.cid, query=QUERY)
    failure = google.failure(refused.value.errors[0])
    assert failure["errors"][0]["details"]["quotaErrorDetails"]["retryDelay"] == "5s"


def test_the_librarys_own_credentials_refresh_here(sandbox: Sandbox) -> None:
    from google.auth.transport.requests import Request

    credentials = Credentials(
        None,
        refresh_token="sandbox-refresh-token",
        client_id="sandbox-client",
        client_secret="sandbox-secret",
        token_uri=f"{sandbox.url}/google_ads/token",
    )
    credentials.refresh(Request())
    assert credentials.token.startswith("ya29.")
    assert GoogleAdsClient(credentials=credentials, use_proto_plus=False)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_of_the_library_is_spoken(sandbox: Sandbox, version: str) -> None:
    wire = GoogleWire(sandbox, version=version)
    assert len(wire.grpc_stream(QUERY)) == len(wire.rest_paged(QUERY)) == 5
    assert wire.refusal("SELECT campaign.nothing FROM campaign") == (
        "queryError",
        "UNRECOGNIZED_FIELD",
    )
    wire.close()


def fields(wire: GoogleWire, query: str) -> list[dict[str, Any]]:
    request = wire.message("SearchGoogleAdsFieldsRequest", "google_ads_field_service")(query=query)
    answer = wire.message("SearchGoogleAdsFieldsResponse", "google_ads_field_service")
    found = wire.rpc("GoogleAdsFieldService/SearchGoogleAdsFields", request, answer)
    shown = [plain(one) for one in found.results]
    assert wire.post("googleAdsFields:search", {"query": query}).json().get("results", []) == shown
    return shown


def test_fields_describe_themselves(google: GoogleWire) -> None:
    select = (
        "SELECT name, category, data_type, selectable, is_repeated, enum_values, selectable_with"
    )
    found = {
        one["name"]: one
        for one in fields(
            google,
            f"{select} WHERE name IN ('campaign.id', 'ad_group.type', 'metrics.conversions', "
            "'segments.conversion_action', 'ad_group_ad.ad.final_urls', 'campaign')",
        )
    }
    assert found["campaign.id"]["dataType"] == "INT64"
    assert found["ad_group.type"]["dataType"] == "ENUM"
    assert "SEARCH_STANDARD" in found["ad_group.type"]["enumValues"]
    assert found["metrics.conversions"]["category"] == "METRIC"
    assert "segments.conversion_action" in found["metrics.conversions"]["selectableWith"]
    assert "metrics.clicks" not in found["segments.conversion_action"]["selectableWith"]
    assert found["ad_group_ad.ad.final_urls"]["isRepeated"] is True
    assert found["campaign"]["category"] == "RESOURCE"


def test_fields_are_found_by_pattern_and_category(google: GoogleWire) -> None:
    listed = fields(google, "SELECT name WHERE name LIKE 'customer_client.%'")
    assert {"customer_client.id", "customer_client.level"} <= {one["name"] for one in listed}
    assert len(fields(google, "SELECT name WHERE category = 'METRIC'")) > 300
    assert fields(google, "SELECT name WHERE name = 'campaign.nothing'") == []
    reply = google.http.get("/v26/googleAdsFields/campaign.id", headers=google.headers)
    assert reply.json()["dataType"] == "INT64"
    missing = google.http.get("/v26/googleAdsFields/campaign.nothing", headers=google.headers)
    assert missing.status_code == 404


def test_without_the_library_the_sandbox_serves_everyone_else() -> None:
    code = """
import sys
sys.modules["google.ads"] = None
import httpx2
from airflow_provider_liftos.sandbox import Sandbox
with Sandbox() as sandbox, httpx2.Client(base_url=sandbox.url) as http:
    headers = {"authorization": "Bearer sandbox-token"}
    assert http.get("/meta/v26.0/me", headers=headers).status_code == 200
    reply = http.post("/google_ads/v26/customers/4000010149/googleAds:search", headers=headers,
                      json={"query": "SELECT customer.id FROM customer"})
    assert reply.status_code == 501, reply.text
    assert "airflow-provider-liftos[google-ads]" in reply.json()["error"]["message"]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_library_is_loaded_only_for_those_who_ask_google() -> None:
    code = """
import sys
from airflow_provider_liftos.sandbox import Sandbox
with Sandbox() as sandbox:
    sandbox.grpc_target
    print([name for name in ("google.ads", "google.protobuf", "cryptography") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
