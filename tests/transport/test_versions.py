"""A version that dies while it is spoken: another one, once, and said loudly."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import VersionGone
from airflow_provider_liftos.model.wire import Request, Response, VendorError, Verdict, judge
from airflow_provider_liftos.transport.flow import Flow, run
from airflow_provider_liftos.transport.session import Session
from airflow_provider_liftos.transport.versions import Versions, anew
from tests.engine.harness import META, credentials
from tests.transport.conftest import Caller, Script, answer, refusal

DEAD = answer(refusal(2635, message="(#2635) deprecated"), 400)
FINE = answer({"data": []})
UPGRADED = "The call has been auto-upgraded to v26.0 as v23.0 has been deprecated."


class Spoken(Script):
    """Remembers the versions, and refuses those that are dead."""

    def __init__(self, dead: tuple[str, ...], clock: Any) -> None:
        super().__init__([FINE], clock)
        self.dead = dead
        self.versions: list[str] = []

    def send(self, base_url: str, request: Request) -> Response:
        version = request.version or base_url.rpartition("/")[2]
        self.versions.append(version)
        self.sent.append(request)
        return DEAD if version in self.dead else FINE


class Speaker(Caller):
    """A session that has versions to fall back to."""

    def __init__(self, folder: Path, *fallbacks: str) -> None:
        super().__init__(folder)
        self.session = Session(
            META, credentials("http://127.0.0.1:1"), limiter=self.limiter,
            breaker=self.breaker, now=self.clock.now, fallbacks=fallbacks,
        )  # fmt: skip

    def ask(self, *dead: str, **parts: Any) -> Any:
        self.script = Spoken(dead, self.clock)
        request = Request(method="GET", path="x", account="501", **parts)
        return run(self.session.call(request, lambda body: body), self.script, self.sleep)


def test_a_dead_version_is_replaced_once_loudly_and_without_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    speaker = Speaker(tmp_path, "v25.0", "v24.0")
    assert speaker.ask("v26.0") == FINE.body
    assert speaker.script.versions == ["v26.0", "v25.0"]
    assert sum(speaker.slept) == 0
    assert speaker.ask("v26.0") == FINE.body
    assert speaker.script.versions == ["v25.0"]
    told = speaker.session.usage.version
    assert (told["asked"], told["used"]) == ("v26.0", "v25.0")
    [warning] = [r.getMessage() for r in caplog.records]
    assert "v25.0 is used instead: set api_version of connection 'meta_test' to v25.0" in warning
    assert speaker.session.usage.warnings == [warning]


def test_the_second_death_is_the_end_and_no_loop(tmp_path: Path) -> None:
    speaker = Speaker(tmp_path, "v25.0", "v24.0")
    with pytest.raises(VersionGone, match=r"switched off.*Set another api_version") as caught:
        speaker.ask("v26.0", "v25.0", "v24.0")
    assert speaker.script.versions == ["v26.0", "v25.0"]
    assert caught.value.version == "v25.0"
    with pytest.raises(VersionGone):
        speaker.ask("v25.0")
    assert speaker.script.versions == ["v25.0"]


def test_without_another_version_the_refusal_stands(tmp_path: Path) -> None:
    speaker = Speaker(tmp_path)
    with pytest.raises(VersionGone):
        speaker.ask("v26.0")
    assert speaker.script.versions == ["v26.0"]


def test_words_of_one_version_are_not_sent_in_another(tmp_path: Path) -> None:
    speaker = Speaker(tmp_path, "v25.0")
    with pytest.raises(VersionGone) as caught:
        speaker.ask("v26.0", version="v26.0")
    assert (speaker.script.versions, caught.value.version) == (["v26.0"], "v26.0")
    assert speaker.session.credentials.version == "v25.0"
    script = Spoken(("v26.0",), speaker.clock)

    def make() -> Flow[bytes]:
        request = Request(method="GET", path="x", version=speaker.session.credentials.version)
        return speaker.session.call(request, lambda body: body)

    assert anew(speaker.session, make, script) == FINE.body


def test_who_asked_in_old_words_meanwhile_is_not_taken_for_another_death(tmp_path: Path) -> None:
    """Threads share a session: the other one's refusal may come after ours was dealt with."""
    speaker = Speaker(tmp_path, "v25.0")
    speaker.ask("v26.0")
    with pytest.raises(VersionGone):
        speaker.ask("v26.0", version="v26.0")
    assert speaker.session.credentials.version == "v25.0"
    assert speaker.ask() == FINE.body


def test_threads_agree_on_one_version() -> None:
    versions, found = Versions(("b", "c")), list[str]()
    begin = threading.Barrier(8)

    def fail() -> None:
        begin.wait()
        found.append(versions.after("a"))

    threads = [threading.Thread(target=fail) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["b"] * 8
    assert versions.after("b") == ""


def test_an_answer_that_another_version_gave_moves_the_session_along(tmp_path: Path) -> None:
    speaker = Speaker(tmp_path, "v25.0")
    speaker.script = Script([answer({}, x_ad_api_version_warning=UPGRADED)], speaker.clock)
    request = Request(method="GET", path="x", account="501")
    run(speaker.session.call(request, lambda body: body), speaker.script, speaker.sleep)
    assert len(speaker.script.sent) == 1
    assert speaker.session.credentials.version == "v25.0"
    assert speaker.session.usage.version["why"] == UPGRADED


def test_a_mere_warning_changes_nothing(tmp_path: Path) -> None:
    speaker = Speaker(tmp_path, "v25.0")
    speaker.script = Script([answer({}, x_ad_api_version_warning="v27.0 is out")], speaker.clock)
    request = Request(method="GET", path="x", account="501")
    run(speaker.session.call(request, lambda body: body), speaker.script, speaker.sleep)
    assert speaker.session.credentials.version == "v26.0"


def test_http_426_is_a_dead_version_wherever_no_rule_says_otherwise() -> None:
    error = VendorError(message="RESOURCE_VERSION_DEPRECATED")
    assert judge((), 426, error).verdict is Verdict.VERSION_DEAD
    assert judge(META.rules, 426, error).verdict is Verdict.VERSION_DEAD


def test_a_dead_version_does_not_open_the_circuit(tmp_path: Path) -> None:
    speaker = Speaker(tmp_path)
    for _ in range(8):
        with pytest.raises(VersionGone):
            speaker.ask("v26.0")
    assert speaker.ask() == FINE.body
