from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import (
    CircuitOpen,
    ConfigurationError,
    LiftosError,
    NotAuthorized,
    Rejected,
    Throttled,
    TooMuchData,
    Unavailable,
    Unreadable,
)
from airflow_provider_liftos.model.platform import Limit
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.platforms.meta import wire
from airflow_provider_liftos.transport import flow as flows
from airflow_provider_liftos.transport.flow import arun
from airflow_provider_liftos.transport.session import Session
from tests.engine.harness import META
from tests.transport.conftest import Caller, answer, refusal

DOWN = answer(b"<html>502 Bad Gateway</html>", 502)
FINE = answer({"data": []})
LOST = Unavailable("no whole answer came (ReadTimeout)")


def test_what_is_unwell_is_asked_again_until_it_is_well(caller: Caller) -> None:
    assert caller.call(DOWN, LOST, answer({"message": "oops"}, 500), FINE) == {"data": []}
    assert caller.session.usage.requests == 4
    assert caller.session.usage.retries == 3


def test_attempts_and_pauses_are_bounded(caller: Caller) -> None:
    with pytest.raises(Unavailable):
        caller.call(DOWN)
    assert len(caller.script.sent) == 4
    assert all(0 <= pause <= 2**n for n, pause in enumerate(caller.slept))


def test_what_must_not_be_sent_twice_is_not(caller: Caller) -> None:
    with pytest.raises(Unavailable):
        caller.call(LOST, FINE, repeatable=False)
    assert len(caller.script.sent) == 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"code": 100, "message": "bad"}}',
        b'\n {\n  "error" : {"code": 100, "message": "bad"}}',
        b'{"__www_request_id": "1", "error": {"code": 100, "message": "bad"}}',
    ],
    ids=["plain", "pretty", "not first"],
)
def test_an_error_behind_a_good_status_is_an_error(caller: Caller, body: bytes) -> None:
    with pytest.raises(Rejected, match="bad"):
        caller.call(answer(body))


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": [{"name": "{\\"error\\": 1}"}]}',
        b'{"id": "1", "name": "\\"error\\": {}"}',
        b'{"id": "1", "error_code": 5}',
        b'{"id": "1", "error": null}',
    ],
)
def test_a_word_in_a_row_is_no_error(caller: Caller, body: bytes) -> None:
    assert caller.call(answer(body))


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b'"', b"\xff\xfe", b"null", b"[]"])
def test_a_body_that_is_no_page_is_asked_for_again(caller: Caller, body: bytes) -> None:
    page = wire.page
    found = caller.call(answer(body), answer({"data": [{"a": 1}]}), read=page)
    assert len(found.rows) == 1
    assert len(caller.script.sent) == 2


def test_only_an_unavailable_platform_opens_the_circuit(caller: Caller) -> None:
    kinds: Sequence[tuple[Any, type[LiftosError]]] = (
        (refusal(100), Rejected), (refusal(190), NotAuthorized), (refusal(100, 1487534), TooMuchData),
    )  # fmt: skip
    for body, kind in kinds * 4:
        with pytest.raises(kind):
            caller.call(answer(body, 400))
    for _ in range(2):
        with pytest.raises(Throttled):
            caller.call(
                answer(
                    refusal(4),
                    400,
                    x_ad_account_usage={"acc_id_util_pct": 100, "reset_time_duration": 900},
                )
            )
    caller.clock.advance(2000)
    assert caller.call(FINE)
    with pytest.raises(Unavailable):
        caller.call(DOWN)
    with pytest.raises(Unavailable):  # its first attempt is the fifth failure, which opens it
        caller.call(DOWN)
    assert len(caller.script.sent) == 1
    with pytest.raises(CircuitOpen):
        caller.call(FINE)
    assert caller.script.sent == []
    assert caller.call(FINE, account="502")
    caller.clock.advance(61)
    assert caller.call(FINE)


def test_refusals_leave_a_half_open_circuit_its_probes(caller: Caller) -> None:
    for _ in range(2):
        with pytest.raises(Unavailable):
            caller.call(DOWN)
    caller.clock.advance(61)
    for _ in range(10):
        with pytest.raises(Rejected):
            caller.call(answer(refusal(100), 400))
    assert caller.call(FINE)
    assert [circuit.state for circuit in caller.breaker.state()] == ["closed"]


@pytest.mark.parametrize("cause", ["no token", "nonsense"])
def test_what_tells_nothing_of_a_platform_leaves_it_its_probes(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    for _ in range(2):
        with pytest.raises(Unavailable):
            caller.call(DOWN)
    caller.clock.advance(61)

    def nothing(*_: Any) -> Any:
        raise ValueError if cause == "nonsense" else NotAuthorized("no token")

    with monkeypatch.context() as patched:
        if cause == "nonsense":
            patched.setattr(caller.session, "platform", replace(META, error=nothing))
        else:
            patched.setattr(caller.session._grants, "ready", nothing)
        for _ in range(10):
            with pytest.raises((NotAuthorized, Unreadable)):
                caller.call(FINE, repeatable=False)
    assert caller.call(FINE)


def test_a_platform_that_stays_down_ends_in_an_error_and_not_in_waiting(caller: Caller) -> None:
    outcomes = []
    for _ in range(4):
        with pytest.raises((Unavailable, CircuitOpen)) as caught:
            caller.call(DOWN)
        outcomes.append(caught.type)
        caller.clock.advance(61)
    assert outcomes == [Unavailable] * 4


def test_usage_at_86_percent_slows_and_at_96_percent_pauses(caller: Caller) -> None:
    caller.call(answer({}, x_app_usage={"call_count": 50}))
    assert caller.paused() == {}
    caller.call(answer({}, x_app_usage={"call_count": 86}))
    assert set(caller.paused().values()) == {10.0}
    assert all("/app/" in key for key in caller.paused())
    caller.clock.advance(100)
    caller.call(answer({}, x_app_usage={"total_cputime": 96}))
    assert set(caller.paused().values()) == {60.0}


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x_ad_account_usage": {"acc_id_util_pct": 96.5, "reset_time_duration": 240}}, 240),
        ({"x_ad_account_usage": {"acc_id_util_pct": 20, "reset_time_duration": 240}}, None),
        ({"x_fb_ads_insights_throttle": {"app_id_util_pct": 1, "acc_id_util_pct": 99}}, 60),
        ({"x_business_use_case_usage": {"9": [
            {"type": "a", "call_count": 1, "estimated_time_to_regain_access": 0},
            {"type": "b", "call_count": 100, "estimated_time_to_regain_access": 7},
        ]}}, 420),
        ({"x_business_use_case_usage": {"9": [
            {"type": "a", "call_count": 3, "estimated_time_to_regain_access": 7}]}}, 420),
        ({"x_business_use_case_usage": {"9": ["?", None, {"call_count": "x"}], "8": 5}}, None),
        ({"x_ad_account_usage": "not json"}, None),
        ({"x_app_usage": "[1]"}, None),
        ({"x_ad_account_usage": '{"acc_id_util_pct": 99, "reset_time_duration": 1e999}'}, 86_400),
    ],
)  # fmt: skip
def test_headers_are_heard_on_good_and_bad_answers(
    caller: Caller, headers: dict[str, Any], seconds: float | None, status: int
) -> None:
    body = {} if status == 200 else refusal(100)
    with contextlib.suppress(Rejected):
        caller.call(answer(body, status, **headers))
    paused = caller.paused()
    assert set(paused.values()) == (set() if seconds is None else {seconds})
    assert all("/account/501/" in key for key in paused)


def test_a_pause_of_one_account_leaves_the_others_alone(caller: Caller) -> None:
    locked = answer(
        refusal(17, 2446079), 400,
        x_ad_account_usage={"acc_id_util_pct": 100, "reset_time_duration": 3600},
    )  # fmt: skip
    with pytest.raises(Throttled) as caught:
        caller.call(locked, FINE)
    assert caught.value.retry_at == caller.clock.now() + 3600
    assert len(caller.script.sent) == 1
    assert caller.call(FINE, account="502") == {"data": []}
    assert caller.call(FINE, account=None) == {"data": []}
    with pytest.raises(Throttled):
        caller.call(FINE)
    assert caller.script.sent == []
    caller.clock.advance(3600)
    assert caller.call(FINE) == {"data": []}


def test_a_limit_of_the_app_stops_everybody(caller: Caller) -> None:
    with pytest.raises(Throttled):
        caller.call(
            answer(
                refusal(4),
                403,
                x_app_usage={"call_count": 100},
                x_ad_account_usage={"acc_id_util_pct": 99, "reset_time_duration": 300},
            )
        )
    with pytest.raises(Throttled):
        caller.call(FINE, account="502")
    assert caller.script.sent == []


def test_a_short_limit_is_slept_through(caller: Caller) -> None:
    assert caller.call(
        answer(
            refusal(613),
            400,
            x_ad_account_usage={"acc_id_util_pct": 100, "reset_time_duration": 20},
        ),
        FINE,
    )
    assert sum(caller.slept) == pytest.approx(20)


def test_the_users_caps_are_the_defaults_and_are_kept(tmp_path: Path) -> None:
    caller = Caller(tmp_path, requests_per_hour=None, requests_per_minute=None)
    times = []
    while caller.clock.now() < 1_795_258_800.0 + 3 * 3600:
        try:
            caller.call(FINE)
            times += caller.script.times
        except Throttled as pause:
            caller.clock.advance(max(pause.retry_at - caller.clock.now(), 0.001))
    for span, most in ((60.0, 4), (3600.0, 200)):
        ahead = zip(times, times[most:], strict=False)
        assert all(later - first >= span - 1e-6 for first, later in ahead), span
    assert len(times) >= 0.95 * 3 * 200
    assert all(first <= second for first, second in pairwise(times))


@pytest.mark.parametrize("cap", ["many", "-1", "nan", "inf", [3]])
def test_a_cap_that_is_no_number_is_named(tmp_path: Path, cap: Any) -> None:
    with pytest.raises(ConfigurationError, match="requests_per_hour"):
        Caller(tmp_path, requests_per_hour=cap).call(FINE)


def test_a_warning_about_the_version_is_passed_on_once(caller: Caller) -> None:
    for _ in range(2):
        caller.call(answer({}, x_ad_api_version_warning="v1 is dead"))
    assert caller.session.usage.warnings == ["Meta warns: v1 is dead"]


@pytest.mark.parametrize(
    "message",
    [
        "Malformed access token sandbox-token",
        "https://graph.facebook.com/x?access_token=sandbox-token&appsecret_proof=c6208da0 failed",
        'header "Authorization: Bearer EAAother" is odd',
        "client_secret=sandbox-secret",
    ],
)
def test_secrets_that_a_vendor_quotes_stay_secret(
    caller: Caller, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(LiftosError) as caught:
        caller.call(answer(refusal(100, message=message), 400))
    told = f"{caught.value} {caught.value!r} {caught.value.__dict__} {caplog.text}"
    for secret in ("sandbox-token", "sandbox-secret", "EAAother", "c6208da0"):
        assert secret not in told


SCENES: Sequence[Sequence[Response | Exception]] = (
    (FINE,),
    (DOWN, LOST, FINE),
    (DOWN,),
    (answer(refusal(190), 401),),
    (answer(refusal(17, 2446079), 400),),
    (answer(refusal(100, 1487534), 400),),
    (answer(b"<html>"), FINE),
)


@pytest.mark.parametrize("scene", SCENES, ids=range(len(SCENES)))
async def test_a_flow_ends_alike_in_a_worker_and_on_an_event_loop(
    tmp_path: Path, scene: Sequence[Response | Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    for kind in ("worker", "loop"):
        (tmp_path / kind).mkdir()
        caller = Caller(tmp_path / kind)
        try:
            if kind == "worker":
                outcomes.append(caller.call(*scene))
            else:
                outcomes.append(await on_a_loop(caller, scene, monkeypatch))
        except LiftosError as error:
            outcomes.append((type(error), str(error), len(caller.script.sent)))
        outcomes.append((caller.session.usage.requests, caller.session.usage.resent))
    assert outcomes[:2] == outcomes[2:]


async def on_a_loop(caller: Caller, scene: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from tests.transport.conftest import Script

    class Sender(Script):
        async def send(self, base_url: str, request: Request) -> Response:  # type: ignore[override]
            return Script.send(self, base_url, request)

    async def sleep(seconds: float) -> None:
        caller.sleep(seconds)

    monkeypatch.setattr(flows.asyncio, "sleep", sleep)
    caller.script = Sender(scene, caller.clock)
    request = Request(method="GET", path="x", account="501")
    import json

    return await arun(caller.session.call(request, json.loads), caller.script)


async def test_blocking_work_of_a_flow_leaves_the_loop_free() -> None:
    import threading

    def flow() -> flows.Flow[int]:
        return (yield flows.Do(threading.get_ident))

    assert await arun(flow(), None) != threading.get_ident()  # type: ignore[arg-type]
    assert asyncio.get_running_loop()


def test_a_limit_of_one_path_counts_calls_to_that_path_only(caller: Caller) -> None:
    narrow = Limit(name="tasks", scope="app", calls=1, per=1, option="tasks", path="task/create/")
    platform = replace(META, limits=(*META.limits, narrow))
    pace = Session(
        platform, caller.session.credentials, limiter=caller.limiter, breaker=caller.breaker,
        now=caller.clock.now,
    ).pace  # fmt: skip
    task = Request(method="POST", path="task/create/", account="501")
    names = [place.key.rpartition("/")[2] for place in pace.places(task)]
    assert names == ["allowance", "hour", "minute", "tasks"]
    check = Request(method="GET", path="task/check/", account="501")
    assert len(pace.places(check)) == 3
