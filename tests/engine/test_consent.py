"""Consent without Airflow: every platform's whole way, and everything that must not get through."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from airflow_provider_liftos.engine import consent
from airflow_provider_liftos.engine.consent import Asked
from airflow_provider_liftos.model.consent import Granted
from airflow_provider_liftos.model.errors import (
    ConfigurationError,
    LiftosError,
    NotAuthorized,
    Unavailable,
)
from airflow_provider_liftos.model.platform import Credentials
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.keyring import KeyRing, new_key
from airflow_provider_liftos.state.oauth_states import OAuthStates, StateRefused
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.flow import run

BACK = "http://127.0.0.1:8085/callback"
ADWORDS = "https://www.googleapis.com/auth/adwords"
APPS: Mapping[str, Mapping[str, Any]] = {
    "meta": {"options": {"app_id": "1001"}, "secrets": {"app_secret": "sandbox-secret"}},
    "google_ads": {
        "options": {"client_id": "sandbox-client"},
        "secrets": {"client_secret": "sandbox-secret"},
    },
    "tiktok": {"options": {"app_id": "1001"}, "secrets": {"secret": "sandbox-secret"}},
}
SCOPES = {"meta": ("ads_read",), "google_ads": (ADWORDS,), "tiktok": ("1", "2", "4", "6", "15")}
HOSTS = ("air.example.com", "127.0.0.1", "localhost")


@dataclass
class Case:
    platform_name: str
    sandbox: Sandbox
    states: OAuthStates
    clock: ManualClock
    changed: dict[str, Any] = field(default_factory=dict)

    @property
    def platform(self):
        return get(self.platform_name)

    @property
    def credentials(self) -> Credentials:
        app = APPS[self.platform_name]
        root = f"{self.sandbox.url}/{self.platform_name}"
        options = {**app["options"], "token_uri": f"{root}/token"}
        made = Credentials(
            org_id="acme",
            conn_id="c",
            base_url=root,
            version=self.platform.newest(),
            secrets={name: Secret(value) for name, value in app["secrets"].items()},
            options=options,
        )
        return replace(made, **self.changed)

    def begin(self, actor: str = "anna", **more: Any) -> Asked:
        given = {"redirect_uri": BACK, "actor": actor, "hosts": HOSTS, **more}
        return consent.begin(self.platform, self.credentials, self.states, **given)

    def decide(self, asked: Asked, decision: str = "allow", ticked=None) -> dict[str, str]:
        """What a person does on the page, and what their browser brings back."""
        kept = SCOPES[self.platform_name] if ticked is None else ticked
        form = {"decision": decision, **{f"scope:{one}": "on" for one in kept}}
        reply = httpx2.post(asked.url, data=form, trust_env=False)
        assert reply.status_code == 303, reply.text
        return dict(parse_qsl(urlsplit(reply.headers["location"]).query))

    def finish(self, answer: Mapping[str, str], actor: str = "anna") -> Granted:
        pending = self.states.take(answer.get("state", ""), actor)
        sender = HttpSender(timeout=60)
        try:
            flow = consent.finish(self.platform, self.credentials, pending, answer)
            return run(flow, sender)
        finally:
            sender.close()


@pytest.fixture
def case(request, sandbox, tmp_path):
    clock = ManualClock(1000.0)
    store = StateStore(f"sqlite:///{tmp_path}/state.db", clock)
    states = OAuthStates(store, KeyRing.read(new_key()))
    return Case(getattr(request, "param", "google_ads"), sandbox, states, clock)


every = pytest.mark.parametrize("case", sorted(APPS), indirect=True)


@every
def test_a_consent_brings_secrets_that_open_the_accounts(case):
    from airflow_provider_liftos.hooks.probe import probe

    granted = case.finish(case.decide(case.begin()))
    credentials = case.credentials
    opened = replace(
        credentials,
        secrets={**credentials.secrets, **granted.secrets},
        options={**credentials.options, "transport": "rest"},
    )
    works, said = probe(case.platform, opened)
    assert works, said
    assert "accounts" in said


def test_metas_token_is_the_long_one(case):
    case.platform_name = "meta"
    granted = case.finish(case.decide(case.begin()))
    token = granted.secrets["access_token"].reveal()
    assert token.startswith("EAAL")  # the short one begins with EAAS


def test_google_gives_a_refresh_token_and_nothing_short_lived_is_kept(case):
    granted = case.finish(case.decide(case.begin()))
    assert list(granted.secrets) == ["refresh_token"]
    assert granted.scopes == (ADWORDS,)


@every
def test_secrets_travel_in_bodies_never_in_addresses(case):
    case.sandbox.journal.clear()
    answer = case.decide(case.begin())
    granted = case.finish(answer)
    told = [*granted.secrets.values(), *case.credentials.secrets.values()]
    code = answer[case.platform.consent.code]
    sent = [e for e in case.sandbox.journal.entries(case.platform_name) if "token" in e["path"]]
    assert sent
    assert all(entry["method"] == "POST" for entry in sent)
    assert not [s for s in (*(one.reveal() for one in told), code) if s in str(sent)]


def parameters(asked: Asked) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(asked.url).query))


def test_google_is_asked_for_offline_access_with_a_challenge(case):
    asked = case.begin()
    given = parameters(asked)
    assert {name: given[name] for name in ("access_type", "prompt", "scope", "response_type")} == {
        "access_type": "offline", "prompt": "consent", "scope": ADWORDS, "response_type": "code",
    }  # fmt: skip
    assert given["code_challenge_method"] == "S256"
    pending = case.states.take(asked.state, "anna")
    digest = hashlib.sha256(pending.verifier.reveal().encode()).digest()
    assert given["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert 43 <= len(pending.verifier.reveal()) <= 128


def test_a_stolen_code_is_worth_nothing_without_the_verifier(case):
    """Another consent's verifier, as a thief would bring: Google refuses."""
    mine, theirs = case.begin(), case.begin()
    stolen = case.decide(theirs)["code"]
    with pytest.raises(LiftosError, match="verifier"):
        case.finish({**case.decide(mine), "code": stolen})


@pytest.mark.parametrize("name", ["meta", "tiktok"])
def test_where_the_platform_takes_no_challenge_no_key_is_needed(case, name):
    case.platform_name = name
    case.states = OAuthStates(case.states._store, KeyRing())
    given = parameters(case.begin())
    assert not [key for key in given if key.startswith("code_challenge")]
    assert ("scope" in given) == (name == "meta")


def test_pages_of_the_real_platforms():
    for name, page in {
        "meta": f"https://www.facebook.com/{get('meta').newest()}/dialog/oauth",
        "google_ads": "https://accounts.google.com/o/oauth2/v2/auth",
        "tiktok": "https://business-api.tiktok.com/portal/auth",
    }.items():
        platform = get(name)
        credentials = Credentials(
            org_id="o",
            conn_id="c",
            base_url=platform.base_url,
            version=platform.newest(),
            secrets={},
        )
        assert platform.consent.page(credentials) == page


# --- refusals ------------------------------------------------------------------------------------


@every
def test_a_state_is_good_once(case):
    answer = case.decide(case.begin())
    case.finish(answer)
    with pytest.raises(StateRefused, match="used already"):
        case.finish(answer)


def test_an_expired_state_is_refused_before_anything_is_sent(case):
    answer = case.decide(case.begin())
    case.clock.advance(600)
    case.sandbox.journal.clear()
    with pytest.raises(StateRefused, match="after 10 minutes"):
        case.finish(answer)
    assert case.sandbox.journal.entries("google_ads") == []


def test_another_users_state_is_refused(case):
    answer = case.decide(case.begin(actor="mallory"))
    with pytest.raises(StateRefused, match="another user"):
        case.finish(answer, actor="anna")


@every
def test_a_person_who_declines_changes_nothing_and_is_told_what_to_do(case):
    with pytest.raises(NotAuthorized, match=r"(declined|has no auth_code).*Nothing was changed"):
        case.finish(case.decide(case.begin(), "deny"))


def test_a_scope_that_was_unticked_is_named(case):
    with pytest.raises(NotAuthorized, match=f"not granted: {ADWORDS}.*leave all"):
        case.finish(case.decide(case.begin(), ticked=()))


@every
def test_a_wrong_app_secret_is_told_without_being_told(case):
    answer = case.decide(case.begin())
    [name] = APPS[case.platform_name]["secrets"]
    case.changed = {"secrets": {name: Secret("not-the-right-secret")}}
    with pytest.raises(LiftosError) as caught:
        case.finish(answer)
    assert "Check the app's id and secret" in str(caught.value)
    assert "not-the-right-secret" not in str(caught.value)
    assert answer[case.platform.consent.code] not in str(caught.value)


@every
def test_a_code_is_sent_once_even_when_the_line_breaks(case):
    answer = case.decide(case.begin())
    case.sandbox.journal.clear()
    number = case.sandbox.faults.add(platform=case.platform_name, kind="reset", match="token")
    with pytest.raises(Unavailable, match="the code is spent"):
        case.finish(answer)
    case.sandbox.faults.clear()
    assert number
    assert len(case.sandbox.journal.entries(case.platform_name)) == 1


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("https://evil.example/callback", "may not be sent to evil.example"),
        ("https://air.example.com.evil.example/callback", "may not be sent"),
        ("https://air.example.com@evil.example/callback", "cannot be sent"),
        ("https://evil.example/air.example.com", "may not be sent"),
        ("http://air.example.com/callback", "in clear"),
        ("javascript:alert(1)//127.0.0.1", "cannot be sent"),
        ("//127.0.0.1/callback", "cannot be sent"),
        ("", "cannot be sent"),
    ],
)
def test_answers_go_to_registered_hosts_only(case, target, says):
    with pytest.raises(ConfigurationError, match=says):
        case.begin(redirect_uri=target)


def test_a_host_with_a_port_admits_no_other():
    consent.refuse_elsewhere("https://air.example.com:8443/x", ["air.example.com:8443"])
    with pytest.raises(ConfigurationError, match="oauth_redirect_hosts names air"):
        consent.refuse_elsewhere("https://air.example.com/x", ["air.example.com:8443"])


@every
def test_fields_of_the_app_are_named_before_anybody_is_sent_anywhere(case):
    case.changed = {"secrets": {}, "options": {}}
    with pytest.raises(ConfigurationError, match=r"has no \w+ and no \w+"):
        case.begin()


def test_a_service_account_needs_no_consent(case):
    key = Secret('{"client_email": "x", "private_key": "y"}')
    case.changed = {"secrets": {**case.credentials.secrets, "keyfile_dict": key}}
    with pytest.raises(ConfigurationError, match=r"service account.*keyfile_dict"):
        case.begin()


class Quoting:
    """A platform that repeats what it was sent."""

    def send(self, _base_url: str, request: Request) -> Response:
        body = json.dumps({"error": {"message": f"bad: {dict(request.form)}", "code": 100}})
        return Response(status=400, headers={}, body=body.encode())


def test_what_a_platform_quotes_of_our_request_is_not_repeated(case):
    case.platform_name = "meta"
    answer = case.decide(case.begin())
    pending = case.states.take(answer["state"], "anna")
    flow = consent.finish(case.platform, case.credentials, pending, answer)
    with pytest.raises(LiftosError, match="bad: ") as caught:
        run(flow, Quoting())
    assert answer["code"] not in str(caught.value)
    assert "sandbox-secret" not in str(caught.value)


def test_words_of_a_stranger_are_cut_and_hold_no_secret(case):
    state = case.begin().state
    words = "access_token=EAAB123456789 " + "x" * 5000
    with pytest.raises(NotAuthorized) as caught:
        case.finish({"state": state, "error": "server_error", "error_description": words})
    assert "EAAB" not in str(caught.value)
    assert len(str(caught.value)) < 400
