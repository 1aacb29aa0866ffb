"""Meta's own SDK against the sandbox, unchanged but for the address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("facebook_business")

from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adreportrun import AdReportRun
from facebook_business.adobjects.adset import AdSet
from facebook_business.adobjects.user import User
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from airflow_provider_liftos.sandbox import Sandbox
from tests.sandbox.client import sums, truth_sums

pytestmark = pytest.mark.filterwarnings("ignore:.*does not allow field")

FIELDS = ["ad_id", "impressions", "clicks", "spend", "actions", "action_values"]
DAYS = {"since": "2026-11-10", "until": "2026-11-16"}


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[FacebookAdsApi]:
    session = FacebookSession("1001", "sandbox-secret", "sandbox-token", timeout=60)
    session.GRAPH = sandbox.url + "/meta"
    yield FacebookAdsApi(session)
    session.requests.close()


@pytest.fixture
def account(api: FacebookAdsApi) -> AdAccount:
    return next(iter(User("me", api=api).get_ad_accounts(fields=["id", "currency"])))


def test_accounts(sandbox: Sandbox, api: FacebookAdsApi) -> None:
    found = list(
        User("me", api=api).get_ad_accounts(fields=["name", "timezone_name"], params={"limit": 2})
    )
    truth = sandbox.truth(stream="accounts")["rows"]
    assert [(one["id"], one["name"], one["timezone_name"]) for one in found] == [
        (f"act_{row['id']}", row["name"], row["timezone"]) for row in truth
    ]
    one = AdAccount(found[0]["id"], api=api).api_get(fields=["currency", "min_daily_budget"])
    assert (one["currency"], one["min_daily_budget"]) == ("EUR", 100)


@pytest.mark.parametrize(
    ("method", "stream", "fields"),
    [
        ("get_campaigns", "campaigns", ["name", "objective", "daily_budget", "effective_status"]),
        ("get_ad_sets", "ad_groups", ["name", "campaign_id", "targeting", "promoted_object"]),
        ("get_ads", "ads", ["name", "adset_id", "creative", "tracking_specs"]),
        ("get_ad_creatives", "creatives", ["name", "object_story_spec", "asset_feed_spec"]),
        ("get_custom_audiences", "audiences", ["name", "subtype", "lookalike_spec"]),
    ],
)
def test_entities(
    sandbox: Sandbox, account: AdAccount, method: str, stream: str, fields: list[str]
) -> None:
    cursor = getattr(account, method)(fields=fields, params={"limit": 4})
    found = {one["id"]: one["name"] for one in cursor}
    truth = sandbox.truth(stream=stream, account=account["id"])["rows"]
    listed = {row["id"]: row["name"] for row in truth if not row["deleted"]}
    assert found == listed if stream != "creatives" else found.keys() == listed.keys()
    assert cursor.total() == len(listed)


def test_a_node_is_read_with_its_trailing_slash(account: AdAccount, api: FacebookAdsApi) -> None:
    group = account.get_ad_sets()[0]
    again = AdSet(group["id"], api=api).api_get(fields=["name", "campaign{name}"])
    assert again["name"]
    ads = AdSet(group["id"], api=api).get_ads(fields=["adset_id"])
    assert {ad["adset_id"] for ad in ads} == {group["id"]}


def test_insights_at_once(sandbox: Sandbox, account: AdAccount) -> None:
    params = {"level": "ad", "time_range": DAYS, "time_increment": 1, "limit": 60}
    rows = [row.export_all_data() for row in account.get_insights(fields=FIELDS, params=params)]
    truth = sandbox.truth(level="ad", account=account["id"], **DAYS)
    assert len(rows) == len(truth["rows"])
    assert sums(rows) == truth_sums(truth)


def test_insights_as_a_report(sandbox: Sandbox, account: AdAccount) -> None:
    params = {
        "level": "ad",
        "time_range": DAYS,
        "time_increment": 1,
        "breakdowns": ["age", "gender"],
    }
    run = account.get_insights_async(fields=FIELDS, params=params)
    run = run.api_get()
    assert run[AdReportRun.Field.async_status] == "Job Completed"
    assert run[AdReportRun.Field.async_percent_completion] == 100
    rows = [row.export_all_data() for row in run.get_insights(params={"limit": 500})]
    truth = sandbox.truth(level="ad", account=account["id"], breakdown="age,gender", **DAYS)
    assert len(rows) == len(truth["rows"])
    assert sums(rows) == truth_sums(truth)


def test_batches(sandbox: Sandbox, account: AdAccount, api: FacebookAdsApi) -> None:
    good: list[str] = []
    bad: list[int] = []
    batch = api.new_batch()
    for identity in (account["id"], "act_999", account["id"]):
        AdAccount(identity, api=api).api_get(
            fields=["name"],
            batch=batch,
            success=lambda response: good.append(response.json()["name"]),
            failure=lambda response: bad.append(response.error().api_error_code()),
        )
    sandbox.faults.add(kind="batch_null", platform="meta", times=1)
    rest = batch.execute()
    assert (len(good), bad) == (1, [100])
    assert rest is not None
    assert rest.execute() is None
    assert len(good) == 2


def test_errors_are_read(account: AdAccount, sandbox: Sandbox) -> None:
    with pytest.raises(FacebookRequestError) as caught:
        account.get_insights(fields=["shoe_size"])
    assert caught.value.api_error_code() == 100
    sandbox.faults.add(kind="rate_limit", platform="meta", times=1)
    with pytest.raises(FacebookRequestError) as caught:
        account.api_get()
    assert caught.value.api_error_subcode() == 2446079
    assert "x-business-use-case-usage" in caught.value.http_headers()
