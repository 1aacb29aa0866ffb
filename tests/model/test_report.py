from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import Ids, Level, Report, Slice, Window
from airflow_provider_liftos.model.wire import Rule, VendorError, Verdict, judge

DAY = date(2026, 11, 1)
texts = st.text(max_size=12)
names = st.text(st.characters(exclude_characters="\x00"), max_size=12)
several = st.lists(texts, max_size=3).map(tuple)


@given(
    st.builds(
        Report, name=names, level=st.sampled_from(list(Level)), metrics=several, breakdowns=several,
        action_breakdowns=several, attribution_windows=several, time_increment=st.integers(1, 90),
    )
)  # fmt: skip
def test_a_report_survives_json(report: Report) -> None:
    assert Report.from_json(json.loads(json.dumps(asdict(report)))) == report


def test_a_hand_written_report_may_be_short() -> None:
    given = {"level": "ad", "metrics": "spend", "breakdowns": None, "time_increment": "7"}
    assert Report.from_json(given) == Report(level=Level.AD, metrics=("spend",), time_increment=7)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"metric": ["spend"]}, "'metric'"),
        ({"level": "adset"}, "levels are account, campaign, ad_group, ad"),
        ({"time_increment": "weekly"}, "number of days"),
    ],
)
def test_a_report_that_cannot_be_says_what_is_wrong(value: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Report.from_json(value)


@given(
    st.builds(
        Slice, platform=texts, account_id=texts,
        window=st.integers(0, 500).map(lambda n: Window(since=DAY, until=DAY + timedelta(days=n))),
        report=st.none() | st.builds(Report, metrics=several), stream=st.none() | texts,
        ids=st.none() | st.builds(Ids, values=several, everything_else=st.booleans()),
        find_ids=st.booleans(), without=several,
    )
)  # fmt: skip
def test_a_slice_survives_json_with_its_fingerprint(cut: Slice) -> None:
    again = Slice.from_json(json.loads(json.dumps(cut.to_json())))
    assert again == cut
    assert again.fingerprint() == cut.fingerprint()


def test_fingerprints_are_equal_in_every_process_and_differ_for_every_part() -> None:
    window = Window(since=DAY, until=DAY)
    cut = Slice(platform="meta", account_id="1", window=window, report=Report())
    code = (
        "from airflow_provider_liftos.model.report import *; from datetime import date;"
        "d = date(2026, 11, 1); print(Slice(platform='meta', account_id='1',"
        " window=Window(since=d, until=d), report=Report()).fingerprint())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == cut.fingerprint()
    others = [
        cut.narrowed(account_id="2"), cut.narrowed(find_ids=True), cut.narrowed(without=("x",)),
        cut.narrowed(ids=Ids(values=())), cut.narrowed(ids=Ids(values=("1",))),
        cut.narrowed(ids=Ids(values=("1",), everything_else=True)),
        cut.narrowed(window=Window(since=DAY, until=DAY + timedelta(days=1))),
    ]  # fmt: skip
    assert len({one.fingerprint() for one in (cut, *others)}) == 8


@given(st.integers(0, 400), st.integers(1, 60))
def test_chunks_are_adjacent_and_complete(span: int, size: int) -> None:
    window = Window(since=DAY, until=DAY + timedelta(days=span))
    parts = list(window.chunks(size))
    assert [day for part in reversed(parts) for day in part.dates()] == list(window.dates())
    assert all(part.days == size for part in parts[:-1])


@given(st.integers(1, 400))
def test_halves_are_a_window(span: int) -> None:
    window = Window(since=DAY, until=DAY + timedelta(days=span))
    first, second = window.halves()
    assert [*first.dates(), *second.dates()] == list(window.dates())


def test_a_reversed_window_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="exchange the two dates"):
        Window(since=DAY, until=DAY - timedelta(days=1))


def test_the_first_rule_that_matches_decides() -> None:
    rules = (
        Rule(verdict=Verdict.SHRINK, why="a", code=frozenset({1}), text="reduce"),
        Rule(verdict=Verdict.RETRY, why="b", code=frozenset({1})),
    )
    assert judge(rules, 400, VendorError(code=1, message="Reduce it")).verdict is Verdict.SHRINK
    assert judge(rules, 400, VendorError(code=1)).verdict is Verdict.RETRY
    assert judge(rules, 503, VendorError(code=7)).verdict is Verdict.RETRY
    assert judge(rules, 400, VendorError(code=7, transient=True)).verdict is Verdict.RETRY
    assert judge(rules, 400, VendorError(code=7)).verdict is Verdict.REJECTED
