from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_liftos.engine import fetch
from airflow_provider_liftos.engine.sift import lines
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.errors import NotReady, Throttled, TooMuchData, Unavailable
from airflow_provider_liftos.model.platform import Paged, Streamed
from airflow_provider_liftos.model.wire import BrokenStream, Request, VendorError
from airflow_provider_liftos.platforms.meta import wire
from tests.transport.conftest import CUT, Caller, Script, answer, refusal

pytest_plugins: Sequence[str] = ()


def page(rows: Sequence[Any], after: str | None = None, **parts: Any) -> Any:
    paging = {"cursors": {"after": after}, "next": "https://x/?access_token=t"} if after else {}
    return answer({"data": list(rows), "paging": paging | parts})


def read(
    folder: Any, *answers: Any, size: int = 100, restarts: int = 0
) -> tuple[list[Any], Caller]:
    from airflow_provider_liftos.transport.flow import run
    from tests.transport.conftest import Script

    caller = Caller(folder)
    caller.script = Script(answers, caller.clock)
    staging = Staging(str(folder / "staging"))

    def ask(limit: int, after: str | None) -> Request:
        return wire.edge("1/insights", (), limit, after)

    reading = Paged(request=ask, page=wire.page, page_size=size)
    flow = fetch.pages(
        caller.session, reading, staging, f"{folder}/staging/raw", caller.clock.now, restarts
    )
    files = run(flow, caller.script, caller.sleep)
    return [json.loads(line) for file in files for line in lines(staging, file)], caller


def test_an_empty_page_is_not_the_end(tmp_path: Any) -> None:
    rows, caller = read(tmp_path, page([1], "a"), page([], "b"), page([2]))
    assert rows == [1, 2]
    assert [r.query.get("after") for r in caller.script.sent] == [None, "a", "b"]


@pytest.mark.parametrize("ring", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_cursors_that_go_round_are_noticed(tmp_path: Any, ring: list[str]) -> None:
    answers = [page([1], cursor) for cursor in ring * 3]
    with pytest.raises(Unavailable, match="same cursor"):
        read(tmp_path, *answers)


def test_a_next_page_without_a_cursor_is_not_taken_for_the_end(tmp_path: Any) -> None:
    with pytest.raises(Unavailable, match="no cursor"):
        read(tmp_path, answer({"data": [1], "paging": {"next": "https://x"}}))


def test_pages_shrink_and_stay_small(tmp_path: Any) -> None:
    heavy = answer(refusal(1, 99, "reduce the amount of data"), 500)
    rows, caller = read(tmp_path, heavy, heavy, page([1], "a"), page([2]))
    assert rows == [1, 2]
    assert [r.query["limit"] for r in caller.script.sent] == ["100", "50", "25", "25"]
    with pytest.raises(TooMuchData):
        read(tmp_path, heavy)


def test_a_result_that_is_not_ready_is_given_half_a_minute(tmp_path: Any) -> None:
    early = answer(refusal(2601, 1815107), 400)
    rows, caller = read(tmp_path, early, early, early, page([1]))
    assert rows == [1]
    assert sum(caller.slept) == 7
    with pytest.raises(NotReady):
        read(tmp_path, early)


def test_rows_are_staged_one_per_line_whatever_their_layout(tmp_path: Any) -> None:
    body = b'{"data": [\n  {\n "a":\r\n "x\\ny",\n "n": 1.50\n },\n {"a": "\\u0000"}\n]}'
    rows, _ = read(tmp_path, answer(body))
    assert rows == [{"a": "x\ny", "n": 1.5}, {"a": "\x00"}]


def busy(minutes: float) -> Any:
    use = [{"call_count": 100, "estimated_time_to_regain_access": minutes}]
    return answer(refusal(80000), 400, **{"x-business-use-case-usage": {"501": use}})


def test_a_read_that_was_broken_off_once_waits_for_its_limit_and_goes_on(tmp_path: Any) -> None:
    answers = page([1], "a"), busy(10), page([2], "b"), busy(14), page([3])
    rows, caller = read(tmp_path, *answers, restarts=1)
    assert rows == [1, 2, 3]
    assert [r.query.get("after") for r in caller.script.sent] == [None, "a", "a", "b", "b"]
    assert sum(caller.slept) == caller.session.usage.throttled_seconds == 24 * 60


def test_a_read_of_many_pages_waits_for_its_limit_rather_than_begin_again(tmp_path: Any) -> None:
    many = [page([n], f"c{n}") for n in range(11)]
    rows, caller = read(tmp_path, *many, busy(10), page([11]))
    assert rows == list(range(12))
    assert sum(caller.slept) == 600


@pytest.mark.parametrize(
    ("answers", "restarts", "begun"),
    [
        ([busy(2)], 0, False),
        ([busy(2)], 1, False),
        ([page([1], "a"), busy(2)], 0, True),
        ([*(page([n], f"c{n}") for n in range(10)), busy(2)], 0, True),
        ([page([1], "a"), busy(16)], 1, True),
    ],
)
def test_no_slot_is_kept_for_a_wait_that_costs_little_elsewhere_or_is_very_long(
    tmp_path: Any, answers: list[Any], restarts: int, begun: bool
) -> None:
    with pytest.raises(Throttled) as caught:
        read(tmp_path, *answers, restarts=restarts)
    assert caught.value.begun is begun
    assert not list((tmp_path / "staging").rglob("*.zst"))


def test_no_page_is_waited_for_without_end(tmp_path: Any) -> None:
    with pytest.raises(Throttled):
        read(tmp_path, page([1], "a"), busy(14), restarts=1)


class Lines:
    """Rows one per line; ``end`` must come last, ``!`` is the platform's own bad news."""

    def __init__(self) -> None:
        self._rest = b""
        self._ended = False

    def feed(self, piece: bytes) -> Sequence[bytes]:
        *whole, self._rest = (self._rest + piece).split(b"\n")
        if b"!" in whole:
            raise BrokenStream(VendorError(code=4, message="too often"), 429)
        self._ended = self._ended or b"end" in whole
        return [line for line in whole if line != b"end"]

    def end(self) -> Sequence[bytes]:
        if not self._ended:
            raise ValueError("the rows end before the end")
        return []


def stream(folder: Any, *answers: Any) -> tuple[list[Any], Caller]:
    from airflow_provider_liftos.transport.flow import run

    caller = Caller(folder)
    caller.script = Script(answers, caller.clock)
    staging = Staging(str(folder / "staging"))
    asked = Request(method="GET", path="rows", account="501")
    reading = Streamed(request=asked, decoder=Lines)
    flow = fetch.rows(caller.session, reading, staging, f"{folder}/staging/raw")
    files = run(flow, caller.script, caller.sleep)
    staged = [str(path) for path in (folder / "staging").rglob("*.zst")]
    assert sorted(staged) == sorted(file.path for file in files), "what broke off is removed"
    return [json.loads(line) for file in files for line in lines(staging, file)], caller


def test_a_long_answer_is_read_in_pieces(tmp_path: Any) -> None:
    rows, caller = stream(tmp_path, answer(b"1\n22\n333333333333\n4\nend\n"))
    assert rows == [1, 22, 333333333333, 4]
    assert caller.session.usage.bytes == 24


@pytest.mark.parametrize("broken", [b"1\n22\n" + CUT, b"1\n22\n3\n", b""])
def test_a_long_answer_that_breaks_off_is_asked_for_again_from_its_beginning(
    tmp_path: Any, broken: bytes
) -> None:
    rows, caller = stream(tmp_path, answer(broken), answer(b"1\n2\nend\n"))
    assert rows == [1, 2]
    assert len(caller.script.sent) == 2


def test_bad_news_amid_the_rows_is_judged_like_any_other(tmp_path: Any) -> None:
    rows, caller = stream(tmp_path, answer(b"1\n!\n"), answer(b"1\nend\n"))
    assert rows == [1]
    assert caller.slept == [pytest.approx(60.0, abs=2.0)]


def test_a_long_answer_that_is_refused_says_why(tmp_path: Any) -> None:
    with pytest.raises(TooMuchData):
        stream(tmp_path, answer(refusal(100, 1487534), 400))
    assert not list((tmp_path / "staging").rglob("*.zst"))
