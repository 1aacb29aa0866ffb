"""Access tokens that are made from something that lasts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import NotAuthorized
from airflow_provider_liftos.model.platform import Credentials, Grant, Granted
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request
from airflow_provider_liftos.transport.flow import run
from tests.engine.harness import META
from tests.transport.conftest import Caller, Script, answer, refusal


def ask(credentials: Credentials) -> Request:
    form = {"refresh_token": credentials.secret("app_secret")}
    return Request(method="POST", path="token", base_url="http://127.0.0.1:2", form=form)


def read(body: bytes) -> Granted:
    value = json.loads(body)
    try:
        return Granted(
            token=Secret(value["access_token"]),
            lifetime=float(value["expires_in"]),
        )
    except KeyError:
        raise ValueError("no access token") from None


@pytest.fixture
def caller(tmp_path: Path) -> Caller:
    grant = Grant(request=ask, read=read, credential=("app_secret",))
    return Caller(tmp_path, replace(META, grant=grant))


def token(value: str, seconds: int = 3600) -> Any:
    return answer({"access_token": value, "expires_in": seconds})


def call(caller: Caller, *answers: Any) -> list[str]:
    """Paths or tokens of what was sent."""
    caller.script = Script(answers, caller.clock)
    flow = caller.session.call(Request(method="GET", path="x"), json.loads)
    run(flow, caller.script, caller.sleep)
    return [
        "token" if sent.base_url else sent.headers["Authorization"].removeprefix("Bearer ")
        for sent in caller.script.sent
    ]


def test_a_token_is_made_once_and_used_until_shortly_before_its_end(caller: Caller) -> None:
    assert call(caller, token("a"), answer([1])) == ["token", "a"]
    caller.clock.advance(3000)
    assert call(caller, answer([1])) == ["a"]
    caller.clock.advance(500)
    assert call(caller, token("b"), answer([1])) == ["token", "b"]


def test_a_token_that_ended_early_is_made_anew_once(caller: Caller) -> None:
    gone = answer(refusal(190), 401)
    assert call(caller, token("a"), gone, token("b"), answer([1])) == ["token", "a", "token", "b"]
    with pytest.raises(NotAuthorized):
        call(caller, gone, token("c"), gone)
    assert len(caller.script.sent) == 3


def test_what_it_was_made_from_may_be_refused(caller: Caller) -> None:
    with pytest.raises(NotAuthorized) as told:
        call(caller, answer(refusal(190, message="no sandbox-secret"), 400))
    assert "sandbox-secret" not in str(told.value)


def test_the_token_is_a_secret_of_the_session(caller: Caller) -> None:
    call(caller, token("tell-nobody"), answer([1]))
    assert caller.session.credentials.secrets["access_token"].reveal() == "tell-nobody"
    with pytest.raises(NotAuthorized) as told:
        call(caller, answer(refusal(10, message="not with tell-nobody"), 403))
    assert "tell-nobody" not in str(told.value)


def test_what_another_token_cannot_mend_takes_none(caller: Caller) -> None:
    with pytest.raises(NotAuthorized, match="blocks the app"):
        call(caller, token("a"), answer(refusal(368), 400))
    assert len(caller.script.sent) == 2
    with pytest.raises(NotAuthorized):
        call(caller, answer(refusal(10), 403))
    assert len(caller.script.sent) == 1


def test_threads_that_begin_together_take_one_token(caller: Caller) -> None:
    from concurrent.futures import ThreadPoolExecutor

    caller.script = Script((token("a"), *[answer([1])] * 4), caller.clock)
    request = Request(method="GET", path="x")

    def one(_number: int) -> Any:
        return run(caller.session.call(request, json.loads), caller.script, caller.sleep)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [[1]] * 4
    assert sum(sent.base_url is not None for sent in caller.script.sent) == 1
