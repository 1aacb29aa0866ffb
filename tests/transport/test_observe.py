"""What a session tells of its calls."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import CircuitOpen, LiftosError, Unavailable
from airflow_provider_liftos.model.wire import Request
from airflow_provider_liftos.transport import wirelog
from airflow_provider_liftos.transport.flow import run
from airflow_provider_liftos.transport.observe import RUN, Watch
from airflow_provider_liftos.transport.wirelog import WireLog
from tests.transport.conftest import Caller, Script, answer, refusal

FINE = answer({"data": []}, x_fb_trace_id="trace-1")
LOST = Unavailable("no whole answer came (ReadTimeout)")
TOKEN = "sandbox-token"
ENDPOINT = "act_101500000000001/insights"


class Heard:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.lines: list[Mapping[str, Any]] = []
        self.counts: list[tuple[str, str]] = []
        self.times: list[tuple[str, float]] = []

    def line(self, fields: Mapping[str, object]) -> None:
        self.lines.append(fields)

    def count(self, name: str, tags: Mapping[str, str]) -> None:
        assert tags["platform"] == "meta"
        self.counts.append((name, tags.get("status", "")))

    def took(self, name: str, seconds: float, tags: Mapping[str, str]) -> None:
        self.times.append((name, seconds))

    def level(self, name: str, value: float, tags: Mapping[str, str]) -> None: ...


@pytest.fixture
def heard(caller: Caller) -> Heard:
    sink = Heard()
    caller.session.watch = Watch("meta", trace_header="x-fb-trace-id", sink=sink, run="run-1")
    return sink


def ask(caller: Caller, *answers: Any, **parts: Any) -> Any:
    caller.script = Script(answers, caller.clock)
    request = Request(method="GET", path=ENDPOINT, account="501", **parts)
    return run(caller.session.call(request, json.loads), caller.script, caller.sleep)


def test_every_attempt_is_one_line_of_fields(
    caller: Caller, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ask(caller, answer(refusal(2, fbtrace_id="trace-0"), 500), LOST, FINE)
    assert [(f["attempt"], f["status"], f["code"], f["request_id"]) for f in heard.lines] == [
        (1, 500, "2", "trace-0"), (2, "lost", "", ""), (3, 200, "", "trace-1"),
    ]  # fmt: skip
    [last] = heard.lines[2:]
    assert list(last) == [
        "platform", "account", "endpoint", "attempt", "status", "code", "ms", "bytes", "wait",
        "request_id", "run",
    ]  # fmt: skip
    assert (last["account"], last["endpoint"]) == ("501", "GET act_{id}/insights")
    assert (last["bytes"], last["run"]) == (len(FINE.body), "run-1")
    assert heard.counts == [
        ("requests", "5xx"), ("retries", ""), ("requests", "lost"), ("retries", ""),
        ("requests", "2xx"),
    ]  # fmt: skip
    assert [name for name, _ in heard.times].count("request") == 3


def test_waits_and_open_circuits_are_counted(caller: Caller, heard: Heard, tmp_path: Path) -> None:
    slow = Caller(tmp_path, requests_per_minute=60)
    slow.session.watch = caller.session.watch
    for _ in range(20):
        ask(slow, FINE)
    waits = [seconds for name, seconds in heard.times if name == "wait"]
    assert sum(waits) == pytest.approx(slow.session.usage.throttled_seconds)
    assert sum(waits) > 0
    for _ in range(3):
        with pytest.raises((Unavailable, CircuitOpen)):
            ask(caller, answer(b"", 502))
    assert ("circuit_open", "") in heard.counts
    slow.store.close()


def test_without_debug_no_line_is_made(caller: Caller, heard: Heard) -> None:
    logging.getLogger("airflow_provider_liftos.requests").setLevel(logging.INFO)
    try:
        ask(caller, FINE)
    finally:
        logging.getLogger("airflow_provider_liftos.requests").setLevel(logging.NOTSET)
    assert heard.lines == []
    assert heard.counts == [("requests", "2xx")]


def test_lines_are_text_and_fields_without_parameters(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ask(caller, FINE, query={"access_token": "hidden", "fields": "spend"})
    [record] = [r for r in caplog.records if r.name == "airflow_provider_liftos.requests"]
    assert 'platform=meta account=501 endpoint="GET act_{id}/insights" attempt=1 status=200' in (
        record.getMessage()
    )
    assert record.liftos_status == 200  # type: ignore[attr-defined]
    assert "hidden" not in caplog.text
    assert TOKEN not in caplog.text


def test_sessions_take_the_run_that_is_under_way() -> None:
    for name in ("the-run", ""):
        token = RUN.set(name)
        try:
            assert Watch("meta").run == name
        finally:
            RUN.reset(token)


# --- the wire log --------------------------------------------------------------------------------


@pytest.fixture
def wire(caller: Caller, tmp_path: Path) -> WireLog:
    made = WireLog(tmp_path / "wire")
    caller.session.watch = Watch("meta", wire=made, run="run-1")
    return made


def written(tmp_path: Path) -> str:
    return "".join(file.read_text() for file in sorted((tmp_path / "wire").glob("*.log")))


QUOTES = (
    '{"error": {"code": 100, "message": "bad token sandbox-token"}}',
    '{"paging": {"next": "https:\\/\\/graph\\/?access_token=EAAanother&x=1"}, "data": []}',
    '{"access_token": "EAAanother", "data": []}',
    "x" * (wirelog.BODY - 6) + TOKEN,
)


@pytest.mark.parametrize("body", QUOTES, ids=["quoted", "in a link", "given out", "cut in two"])
def test_the_wire_log_holds_exchanges_without_secrets(
    caller: Caller, wire: WireLog, tmp_path: Path, body: str
) -> None:
    with contextlib.suppress(LiftosError, ValueError):
        ask(caller, answer(body.encode()), query={"fields": "spend", "input_token": TOKEN})
    text = written(tmp_path)
    assert f"run=run-1 meta GET {ENDPOINT} attempt=1\n> fields=spend\n> input_token=***" in text
    assert "< 200" in text
    for secret in ("sandbox-", "EAAanother", "Bearer"):
        assert secret not in text


def test_what_is_about_tokens_shows_no_body(caller: Caller, wire: WireLog, tmp_path: Path) -> None:
    call = caller.session.watch.call(
        Request(method="POST", path="token", form={"grant": "something"}), private=True
    )
    call.ended(answer({"access_token": "EAAfresh", "x": 1}), None)
    call.write(())
    text = written(tmp_path)
    assert "POST token" in text
    assert "something" not in text
    assert "EAAfresh" not in text


def test_long_bodies_and_files_are_cut_and_the_oldest_files_go(
    caller: Caller, wire: WireLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wirelog, "FILE", 200_000)
    monkeypatch.setattr(wirelog, "TOTAL", 600_000)
    body = answer({"data": ["y" * 100_000]})
    for _ in range(20):
        ask(caller, body)
    files = sorted((tmp_path / "wire").glob("*.log"))
    sizes = [file.stat().st_size for file in files]
    assert max(sizes) <= 200_000
    assert sum(sizes) <= 600_000
    assert len(files) == 3
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert (tmp_path / "wire").stat().st_mode & 0o777 == 0o700


def test_a_file_that_another_process_has_deleted_meanwhile_ends_no_log(
    caller: Caller, wire: WireLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "wire" / "wire-1.log"
    monkeypatch.setattr(Path, "glob", lambda *_: [gone])
    monkeypatch.setattr(Path, "exists", lambda *_: True)  # as it was a moment before
    ask(caller, FINE)
    monkeypatch.undo()
    assert "< 200" in written(tmp_path)


def test_a_folder_that_cannot_be_written_stops_nothing(
    caller: Caller, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    caller.session.watch = Watch("meta", wire=WireLog(tmp_path / "file" / "wire"))
    for _ in range(2):
        assert ask(caller, FINE) == {"data": []}
    assert caplog.text.count("cannot be written") == 1


def test_what_is_no_text_is_told_by_its_size() -> None:
    assert wirelog._text(b"\xff\xfe\x00\x01binary") == "(10 bytes that are no text)"
    assert wirelog._text("Grüße".encode()[:-1]) == "Grü" + "ß"
