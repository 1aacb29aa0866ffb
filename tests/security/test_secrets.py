"""Secrets travel in headers and bodies; nothing that is kept, shown or raised holds one."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote_plus, urlencode

import pytest

from airflow_provider_liftos.hooks.probe import probe
from airflow_provider_liftos.model.errors import LiftosError, NotAuthorized, Throttled
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.platforms import names
from airflow_provider_liftos.sandbox import server
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.flow import run
from tests.engine.harness import Harness, basic, last
from tests.platforms.conftest import Make

every_platform = pytest.mark.parametrize("platform", names())

WHERE_THE_VENDOR_WANTS_IT = {
    # An HMAC of the token by the app's secret; on a GET it can only be a parameter.
    "meta": {"appsecret_proof"},
    # "Get authorized ad accounts" (v1.3) knows no other place for the app's secret.
    "tiktok": {"secret"},
}
IN_THE_ADDRESS = "/oauth2/advertiser/get/"


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Path and query of every request, as they came in: what logs on the way would hold."""
    seen: list[str] = []
    read = server._read

    async def remember(platform: str, scope: Any, receive: Any) -> Any:
        if not scope["path"].startswith("/_sandbox"):
            seen.append(f"{scope['path']}?{scope['query_string'].decode()}")
        return await read(platform, scope, receive)

    monkeypatch.setattr(server, "_read", remember)
    return iter([seen]).__next__()


def secrets(harness: Harness) -> set[str]:
    """All that the sandbox ever issued and the connection holds."""
    own = {secret.reveal() for secret in harness.session().credentials.secrets.values()}
    return {value for value in own | set(harness.sandbox.secrets()) if len(value) > 4}


@every_platform
def test_no_address_holds_a_secret(make: Make, platform: str, addresses: list[str]) -> None:
    rest = {"google_ads": {"transport": "rest"}}.get(platform, {})
    harness = make(platform, **rest)
    harness.run_to_end(harness.slices([basic(platform=harness.platform)], last(2)))
    credentials = harness.session().credentials
    worked, message = probe(harness.platform, credentials)
    assert worked, message
    assert len(addresses) > 4
    elsewhere = [one for one in addresses if IN_THE_ADDRESS not in one]
    text = re.sub(r"appsecret_proof=\w+", "", unquote_plus("\n".join(elsewhere)))
    assert [value for value in secrets(harness) if value in text] == []
    named = {pair.partition("=")[0] for a in addresses for pair in a.partition("?")[2].split("&")}
    words = ("token", "secret", "proof", "key", "password", "auth", "sign", "code", "assertion")
    told = {name for name in named if any(word in name.lower() for word in words)}
    assert told == WHERE_THE_VENDOR_WANTS_IT.get(platform, set())


@every_platform
def test_what_is_kept_of_a_run_holds_no_secret(
    make: Make, platform: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    harness = make(platform)
    harness.sandbox.faults.add(platform=platform, kind="http_500", times=2)
    done = harness.run_to_end(harness.slices([basic(platform=harness.platform)], last(2)))
    kept = [caplog.text, json.dumps(done.to_json()), repr(harness.extraction())]
    kept += [p.read_bytes().decode("latin-1") for p in harness.folder.rglob("*") if p.is_file()]
    for value in secrets(harness):
        assert not any(value in text for text in kept), f"…{value[-4:]} is kept"


QUOTING: dict[str, Callable[[str], tuple[int, Any]]] = {
    "meta": lambda said: (400, {"error": {"code": 190, "message": said, "type": "OAuth"}}),
    "tiktok": lambda said: (200, {"code": 40105, "message": said, "request_id": "r"}),
    "google_ads": lambda said: (
        401, {"error": {"code": 401, "status": "UNAUTHENTICATED", "message": said}},
    ),
}  # fmt: skip


class Quoting(HttpSender):
    """A platform whose errors quote what they were sent."""

    said = ""

    def send(self, base_url: str, request: Request) -> Response:
        sent = urlencode({**request.query, **(request.form or {})})
        said = f"refused: {list(request.headers.values())} {sent[-200:]}"
        if "token" in request.path:
            return super().send(base_url, request)
        Quoting.said = said
        return self.answer(said)

    def receive(self, base_url: str, request: Request, take: Any) -> Response:
        return self.send(base_url, request)

    def answer(self, said: str) -> Response:
        raise NotImplementedError


@every_platform
def test_an_error_that_quotes_what_was_sent_is_told_without_it(make: Make, platform: str) -> None:
    rest = {"google_ads": {"transport": "rest"}}.get(platform, {})
    harness = make(platform, **rest)
    harness.sender.close()

    class Sender(Quoting):
        def answer(self, said: str) -> Response:
            status, body = QUOTING[platform](said)
            return Response(status=status, headers={}, body=json.dumps(body).encode())

    harness.sender = Sender()
    with pytest.raises(NotAuthorized) as caught:
        harness.extract(harness.slices([basic(platform=harness.platform)], last(1)))
    error = caught.value
    shown = [
        str(error), repr(error), repr(error.args), repr(vars(error)),
        "".join(traceback.format_exception(error)), repr(pickle.loads(_pickled(error))),
    ]  # fmt: skip
    assert any(value in Quoting.said for value in secrets(harness)), "it did quote one"
    assert "***" in str(error)
    for value in secrets(harness):
        assert [text for text in shown if value in text] == []


def _pickled(error: LiftosError) -> bytes:
    """As far as it goes: errors with facts of their own need them to be made again."""
    try:
        copied = pickle.dumps(error)
        pickle.loads(copied)
    except TypeError:
        return pickle.dumps((type(error).__name__, error.args))
    return copied


def test_a_secret_shows_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = Secret("s3cret-value")
    logging.getLogger("x").info("%s %r %s", secret, secret, {"a": [secret]})
    error = Throttled(f"wait {secret}", retry_at=0.0)
    told = f"{error} {error!r} {secret!s} {secret!r} {secret:} {[secret]} {vars(error)}"
    assert "s3cret" not in told + caplog.text
    for way in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as caught:
            way(secret)
        assert "s3cret" not in str(caught.value)


@every_platform
def test_sessions_and_credentials_show_and_pickle_nothing(make: Make, platform: str) -> None:
    harness = make(platform)
    session = harness.session()
    run(harness.platform.accounts(session, session.credentials), harness.sender)
    shown = f"{session.credentials!r} {session!r} {vars(session)} {harness.extraction()!r}"
    assert not any(value in shown for value in secrets(harness))
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(session.credentials)
