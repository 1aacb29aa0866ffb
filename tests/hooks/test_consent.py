"""From the button to the connection that works, and what is written down of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from airflow_provider_liftos.hooks import config, consent, stored
from airflow_provider_liftos.hooks.consent import Person
from airflow_provider_liftos.hooks.probe import probe
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError, NotAuthorized
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.keyring import new_key
from airflow_provider_liftos.state.oauth_states import StateRefused, reference
from tests.airflow_metadata import APPS, Connections, add_unconnected

BACK = "https://air.example.com/liftos/oauth/callback"
LOOPBACK = "http://127.0.0.1:8085/liftos/oauth/callback"
ANNA = Person(name="anna", where="10.0.0.7")
SCOPES = {
    "meta": ("ads_read",),
    "google_ads": ("https://www.googleapis.com/auth/adwords",),
    "tiktok": ("1", "2", "4", "6", "15"),
}


@pytest.fixture
def scene(liftos, tmp_path, monkeypatch):
    liftos.set("credential_keys", new_key())
    monkeypatch.delenv("AIRFLOW_CONN_LIFTOS_META_DEFAULT")
    connections = Connections(tmp_path, monkeypatch)
    for platform in APPS:
        add_unconnected(connections, platform, liftos.sandbox.url)
    return SimpleNamespace(liftos=liftos, connections=connections, environment=monkeypatch)


def ask(platform: str = "meta", person: Person = ANNA) -> str:
    return consent.start(f"liftos_{platform}_default", person, redirect_uri=LOOPBACK).url


def decide(platform: str, url: str, decision: str = "allow", ticked=None) -> dict[str, str]:
    kept = SCOPES[platform] if ticked is None else ticked
    form = {"decision": decision, **{f"scope:{one}": "on" for one in kept}}
    reply = httpx2.post(url, data=form, trust_env=False)
    assert reply.status_code == 303, reply.text
    return dict(parse_qsl(urlsplit(reply.headers["location"]).query))


def entries(org: str = "default") -> list[tuple[str, str, str, Mapping]]:
    """Steps of connecting, oldest first: who, what, of which connection, and its detail."""
    steps = (consent.ASKED, consent.CONNECTED, consent.FAILED)
    found = [e for e in AuditLog(config.state_store(), org).entries() if e.action in steps]
    return [(e.actor, e.action, e.subject, e.detail) for e in reversed(found)]


@pytest.mark.parametrize("platform", sorted(APPS))
def test_a_connection_works_after_the_consent(scene, platform):
    conn_id = f"liftos_{platform}_default"
    before = scene.connections.extra(conn_id)
    found = consent.finish(decide(platform, ask(platform)), ANNA)
    assert (found.conn_id, found.platform, list(found.notes)) == (conn_id, platform, [])
    assert found.count >= 5
    assert len(found.accounts[0][1]) > 0
    after = scene.connections.extra(conn_id)
    assert {name: after[name] for name in before} == before
    [secret] = set(after) - set(before)
    assert secret == ("refresh_token" if platform == "google_ads" else "access_token")
    works, said = probe(*stored.read(conn_id))
    assert works, said


def test_every_step_is_in_the_audit_log_without_a_secret(scene):
    answer = decide("meta", ask())
    consent.finish(answer, ANNA)
    with pytest.raises(StateRefused):
        consent.finish(answer, Person(name="mallory", where="10.6.6.6"))
    (asked, connected, failed) = entries()
    assert asked[:3] == ("anna", "asked_consent", "liftos_meta_default")
    assert asked[3]["from"] == "10.0.0.7"
    assert connected[:3] == ("anna", "connected", "liftos_meta_default")
    assert connected[3]["scopes"] == ["public_profile", "ads_read"]
    assert connected[3]["expires_at"] > 0
    assert failed[:3] == ("mallory", "failed_consent", "liftos_meta_default")
    assert (failed[3]["from"], failed[3]["asked_by"]) == ("10.6.6.6", "anna")
    told = json.dumps(entries())
    assert not [secret for secret in scene.liftos.sandbox.secrets() if secret in told]
    assert answer["state"] not in told


def test_an_answer_nobody_asked_for_is_noted_too(scene):
    with pytest.raises(StateRefused, match="nobody here asked"):
        consent.finish({"state": "made-up", "code": "stolen-code"}, ANNA)
    [(actor, action, subject, detail)] = entries()
    assert (actor, action, subject) == ("anna", "failed_consent", "")
    assert "stolen-code" not in json.dumps(detail)


@pytest.mark.parametrize("platform", sorted(APPS))
def test_who_declines_leaves_the_connection_as_it_was(scene, platform):
    before = scene.connections.extra(f"liftos_{platform}_default")
    with pytest.raises(NotAuthorized, match="Nothing was changed"):
        consent.finish(decide(platform, ask(platform), "deny"), ANNA)
    assert scene.connections.extra(f"liftos_{platform}_default") == before
    assert [entry[1] for entry in entries()] == ["asked_consent", "failed_consent"]


@pytest.mark.parametrize("platform", ["meta", "google_ads"])
def test_a_missing_scope_is_named_and_nothing_is_written(scene, platform):
    [scope] = SCOPES[platform]
    before = scene.connections.extra(f"liftos_{platform}_default")
    with pytest.raises(NotAuthorized, match=f"not granted: {scope}.*Nothing was changed"):
        consent.finish(decide(platform, ask(platform), ticked=()), ANNA)
    assert scene.connections.extra(f"liftos_{platform}_default") == before


def test_a_person_without_the_right_changes_nothing(scene):
    answer = decide("meta", ask())
    with pytest.raises(NotAuthorized, match="may not edit connection 'liftos_meta_default'"):
        consent.finish(answer, ANNA, may_edit=lambda conn_id: False)
    assert "access_token" not in scene.connections.extra("liftos_meta_default")
    with pytest.raises(StateRefused, match="used already"):
        consent.finish(answer, ANNA)


def test_a_shadowed_connection_is_not_connected_in_vain(scene):
    scene.environment.setenv("AIRFLOW_CONN_LIFTOS_META_DEFAULT", "{}")
    with pytest.raises(
        ConfigurationError, match=r"AIRFLOW_CONN_LIFTOS_META_DEFAULT.*never be used"
    ):
        ask()
    assert [entry[1] for entry in entries()] == ["failed_consent"]


def test_a_connection_shadowed_meanwhile_is_not_written(scene):
    answer = decide("meta", ask())
    scene.environment.setenv("AIRFLOW_CONN_LIFTOS_META_DEFAULT", "{}")
    with pytest.raises(ConfigurationError, match="also defined by"):
        consent.finish(answer, ANNA)


def test_accounts_that_the_connection_names_and_the_person_does_not_see_are_told(scene):
    extra = {**APPS["meta"], "account_ids": "999"}
    scene.connections.add("named", "liftosmeta", f"{scene.liftos.sandbox.url}/meta", extra)
    url = consent.start("named", ANNA, redirect_uri=LOOPBACK).url
    found = consent.finish(decide("meta", url), ANNA)
    assert found.count == 6
    assert "999" in " ".join(found.notes)


def test_a_platform_that_is_unwell_afterwards_does_not_cost_the_token(scene):
    answer = decide("meta", ask())
    scene.liftos.sandbox.faults.add(platform="meta", kind="http_500", match="adaccounts", times=9)
    found = consent.finish(answer, ANNA)
    assert "could not be looked at" in found.notes[0]
    assert scene.connections.extra("liftos_meta_default")["access_token"]


def test_without_a_key_google_says_how_to_make_one(scene):
    scene.liftos.set("credential_keys", "")
    with pytest.raises(ConfigurationError, match="rotate-keys --new"):
        ask("google_ads")
    assert [entry[1] for entry in entries()] == ["failed_consent"]


def test_answers_go_to_the_hosts_of_the_setting_and_else_to_our_own(scene):
    scene.environment.setenv("AIRFLOW__API__BASE_URL", "https://air.example.com/air")
    assert config.oauth_redirect_hosts() == ["air.example.com", "127.0.0.1", "localhost"]
    consent.start("liftos_meta_default", ANNA, redirect_uri=BACK)
    scene.liftos.set("oauth_redirect_hosts", "other.example.com, more.example.com")
    with pytest.raises(ConfigurationError, match=r"other\.example\.com, more"):
        consent.start("liftos_meta_default", ANNA, redirect_uri=BACK)


def test_organizations_do_not_mix(scene):
    host = f"{scene.liftos.sandbox.url}/meta"
    scene.connections.add("theirs", "liftosmeta", host, {**APPS["meta"], "org_id": "acme"})
    url = consent.start("theirs", ANNA, redirect_uri=LOOPBACK).url
    consent.finish(decide("meta", url), ANNA)
    assert [entry[1] for entry in entries("acme")] == ["asked_consent", "connected"]
    assert entries("default") == []


def test_what_came_of_it_is_shown_to_who_did_it(scene):
    answer = decide("meta", ask())
    found = consent.finish(answer, ANNA)
    shown = consent.outcome(reference(answer["state"]), "anna")
    assert (shown.conn_id, shown.count, shown.token) == (found.conn_id, found.count, found.token)
    assert consent.outcome(reference(answer["state"]), "mallory") is None


def test_connections_are_listed_also_where_one_is_wrong(scene):
    scene.connections.add("wrong", "liftosmeta", "ftp://x", {})
    found = {one.conn_id: one for one in stored.listed()}
    assert set(found) == {f"liftos_{platform}_default" for platform in APPS} | {"wrong"}
    assert "http(s) address" in found["wrong"].problem


def test_a_connection_that_is_not_there_or_none_of_ours_is_refused(scene):
    scene.connections.add("db", "postgres", "x", {})
    with pytest.raises(ConfigurationError, match=r"keeps no connection .none.*liftosmeta"):
        stored.read("none", get("meta"))
    with pytest.raises(ConfigurationError, match="type 'postgres', none of ours"):
        stored.read("db")
    with pytest.raises(LiftosError, match="deleted"):
        stored.write("none", {"access_token": Secret("x")})
