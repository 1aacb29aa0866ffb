"""Causes are told apart by what the platforms' own errors become, and by nothing else."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_liftos.model.quality import Sign
from airflow_provider_liftos.model.wire import Rule, Verdict
from airflow_provider_liftos.platforms import get, names
from airflow_provider_liftos.quality.evidence import Evidence
from airflow_provider_liftos.quality.remedies import advice
from airflow_provider_liftos.quality.rules import SLICE_COMPLETE
from tests.engine.harness import basic, last
from tests.platforms.conftest import Make

MEANT = {
    Verdict.REAUTHORIZE: {Sign.ACCESS_LOST},
    Verdict.SKIP: {Sign.ACCOUNT_GONE},
    Verdict.VERSION_DEAD: {Sign.VERSION_GONE},
    Verdict.REPORT_FAILED: {Sign.GAVE_UP},
    Verdict.SHRINK: {Sign.GAVE_UP},
}
UNSEEN = "the account does not exist, or the token has no access to it"
CASES = [
    (platform, rule)
    for platform in names()
    for rule in get(platform).rules
    if rule.verdict in {*MEANT, Verdict.THROTTLED, Verdict.RETRY}
    and "appsecret_proof" not in rule.text  # a wrong field, of which the whole run dies at once
]


def seen(platform: str, text: str) -> set[Sign]:
    words = get(platform).quality.words
    return {sign for pattern, sign in words.items() if re.search(pattern, text)}


@pytest.mark.parametrize(("platform", "rule"), CASES, ids=lambda v: getattr(v, "why", v))
def test_every_refusal_of_a_platform_is_a_sign_of_its_cause(platform: str, rule: Rule) -> None:
    assert seen(platform, f"{platform} account 1: {rule.why} (code 1)") == MEANT.get(
        rule.verdict, set()
    )


@pytest.mark.parametrize(("platform", "cause"), [
    ("meta", "removed from the business"), ("tiktok", "withdrew the app's authorization"),
    ("google_ads", "left the manager"),
])  # fmt: skip
def test_an_account_that_cannot_be_seen_has_a_cause_of_the_platform(
    platform: str, cause: str
) -> None:
    told = advice(SLICE_COMPLETE, get(platform).quality, seen(platform, UNSEEN))
    assert cause in told


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("meta", {"kind": "http_500", "code": 200, "status": 403}, "lost ads_read"),
    ("meta", {"kind": "http_500", "code": 100, "subcode": 33, "status": 400}, "was closed"),
    ("meta", {"kind": "job_failed"}, "too large for Meta"),
    ("tiktok", {"kind": "http_500", "code": 40001, "status": 200}, "withdrew the app's"),
    ("tiktok", {"kind": "http_500", "code": 40007, "status": 200}, "closed or punished"),
    ("google_ads", {"kind": "token_revoked", "match": "searchStream",
                    "code": "authorizationError.USER_PERMISSION_DENIED"}, "its user lost access"),
    ("google_ads", {"kind": "token_revoked", "match": "searchStream",
                    "code": "authorizationError.CUSTOMER_NOT_ENABLED"}, "was cancelled"),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "fault", "cause"), FAULTS)
def test_a_fault_of_the_sandbox_is_told_by_its_cause(
    make: Make, platform: str, fault: dict[str, Any], cause: str
) -> None:
    harness = make(platform)
    bad = harness.accounts[0].account_id
    harness.sandbox.faults.add(platform=platform, account=bad, **fault)
    cuts = harness.slices([basic(platform=harness.platform)], last(2), accounts=(0, 1))
    done = harness.extract(cuts, stints=400)
    assert {cut.slice.account_id for cut in done.failed} == {bad}
    quality = harness.platform.quality
    evidence = Evidence(
        manifest=done, warehouse=harness.warehouse, quality=quality,
        today=datetime.fromtimestamp(harness.clock.now(), UTC), restatement_days=28,
    )  # fmt: skip
    for cut in done.failed:
        told = advice(SLICE_COMPLETE, quality, evidence.signs("slice_complete", cut, cut.error))
        assert cause in told, cut.error
