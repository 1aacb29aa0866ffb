"""The calendar of API versions, as runs, the ledger and the test of a connection tell it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from airflow_provider_liftos.hooks import probe, versions
from airflow_provider_liftos.hooks.google_ads import GoogleAdsHook
from airflow_provider_liftos.hooks.liftos import open_session, read_connection
from airflow_provider_liftos.hooks.meta import MetaHook
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Version
from airflow_provider_liftos.platforms import discover, get
from tests.engine.harness import served
from tests.hooks.test_connection import connection

META, TIKTOK = get("meta"), get("tiktok")
TODAY = date(2026, 11, 21)


def ages(*days: int | None):
    """Meta with v26.0, v25.0, … that end so many days from now."""
    today = datetime.now(UTC).date()
    names = (f"v{26 - i}.0" for i in range(len(days)))
    ends = (None if d is None else today + timedelta(days=d) for d in days)
    calendar = tuple(Version(name=n, sunset=e) for n, e in zip(names, ends, strict=False))
    return replace(META, versions=calendar)


# --- what is spoken ------------------------------------------------------------------------------


@pytest.mark.parametrize("dead", ["v24.0", "v20.0", "v3.1"])
def test_a_dead_version_is_replaced_by_the_newest(dead):
    found = read_connection(META, connection({"api_version": dead}))
    assert (found.version, found.asked_version) == (META.newest(), dead)


@pytest.mark.parametrize("version", ["v25.0", "v26.0", "v27.0"])
def test_a_version_that_lives_or_is_newer_than_the_calendar_is_spoken(version):
    found = read_connection(META, connection({"api_version": version}))
    assert (found.version, found.asked_version) == (version, "")


def test_a_fallback_is_configured_for_a_connection_or_for_all(liftos):
    liftos.set("fallback_version", "google_ads=v25, meta=v25.0")
    extra = {"api_version": "v20.0"}
    assert read_connection(META, connection(extra)).version == "v25.0"
    own = connection({**extra, "fallback_version": "v26.0"})
    assert read_connection(META, own).version == "v26.0"
    dead_too = connection({**extra, "fallback_version": "v21.0"})
    assert read_connection(META, dead_too).version == "v26.0"


def test_the_next_ones_are_newest_first_without_the_dead():
    platform = ages(None, 30, -1, None)
    assert versions.fallbacks(platform, "v26.0", {}, datetime.now(UTC).date()) == ("v25.0", "v23.0")


def test_when_every_version_is_dead_a_person_must_act():
    with pytest.raises(ConfigurationError, match=r"switched off API version v20.0.*update this"):
        read_connection(ages(-1, -2), connection({"api_version": "v20.0"}))


@pytest.mark.parametrize("platform", discover(), ids=lambda one: one.name)
def test_every_platform_has_a_version_that_lives(platform):
    assert not versions.is_over(platform, platform.newest(), TODAY)


# --- who is told ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "warned"), [(61, False), (60, True), (1, True), (None, False)])
def test_runs_and_tests_warn_of_a_version_that_is_soon_switched_off(liftos, days, warned):
    platform = ages(None, days)
    ends = platform.versions[1].sunset
    liftos.connect("older", extra={"api_version": "v25.0"})
    credentials = MetaHook("older").credentials()
    session = open_session(platform, credentials, liftos.store)
    told = [f"switches off API version v25.0 on {ends}" in w for w in session.usage.warnings]
    assert told == [True] * warned
    worked, message = probe.probe(platform, credentials)
    assert worked
    assert (f"v25.0 on {ends} ({days} days from now); set api_version" in message) is warned


def test_runs_say_that_another_version_is_spoken(liftos):
    liftos.connect("older", extra={"api_version": "v20.0"})
    session = MetaHook("older").session()
    [told] = session.usage.warnings
    assert "switched off API version v20.0 (by the calendar, on 2025-05-06); v26.0 is used" in told
    assert session.usage.version["asked"] == "v20.0"
    worked, message = MetaHook("older").test_connection()
    assert worked
    assert "api_version v20.0 is switched off, API v26.0 is used instead" in message
    paths = {entry["path"].split("/")[2] for entry in liftos.sandbox.journal.entries("meta")}
    assert paths == {"v26.0"}


def test_a_test_says_that_a_version_died_before_its_time(liftos):
    dead = {"kind": "version_dead", "platform": "meta", "match": "adaccounts"}
    liftos.sandbox.faults.add(**dead, version="v26.0")
    worked, message = MetaHook().test_connection()
    assert worked
    assert "api_version v26.0 is switched off, API v25.0 is used instead" in message
    liftos.sandbox.faults.add(**dead, version="v25.0")
    worked, message = MetaHook().test_connection()
    assert not worked
    assert "this API version is switched off" in message


def test_two_connections_read_different_versions_side_by_side(liftos):
    liftos.connect("older", extra={"api_version": "v25.0"})
    hooks = [MetaHook(), MetaHook("older")]
    assert [hook.credentials().version for hook in hooks] == ["v26.0", "v25.0"]
    liftos.sandbox.faults.add(kind="version_dead", platform="meta", version="v25.0")
    assert hooks[0].accounts() == hooks[1].accounts()
    assert [hook.usage.version.get("used") for hook in hooks] == [None, "v26.0"]


def test_accounts_are_asked_for_once_in_the_life_of_a_hook(liftos):
    hook = MetaHook()
    assert hook.accounts() == hook.accounts()
    assert hook.usage.cached == 1
    calls = liftos.sandbox.journal.entries("meta", contains="adaccounts")
    assert len(calls) == 1
    MetaHook().accounts()
    assert len(liftos.sandbox.journal.entries("meta", contains="adaccounts")) == 2


async def test_a_trigger_reads_the_same_version(liftos):
    liftos.connect("older", extra={"api_version": "v20.0"})
    hook = MetaHook("older")
    assert await hook.acredentials() == await asyncio.to_thread(hook.credentials)


# --- words of one version ------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_query_is_put_anew_in_the_words_of_the_next_version(liftos, transport):
    pytest.importorskip("google.ads.googleads")
    extra = {**served(liftos.sandbox, get("google_ads")), "transport": transport}
    liftos.connect(
        "google", conn_type="liftosgoogleads", host=f"{liftos.sandbox.url}/google_ads", extra=extra
    )
    liftos.sandbox.faults.add(
        kind="version_dead", platform="google_ads", version="v26", match="searchStream"
    )
    account = liftos.sandbox.world.dataset("google_ads").accounts[0].id
    rows = GoogleAdsHook("google").search("SELECT campaign.id FROM campaign", account)
    assert rows
    calls = liftos.sandbox.journal.entries("google_ads", contains="searchStream")
    assert [("v26" in c["path"], c["rows"] > 0) for c in calls] == [(True, False), (False, True)]
