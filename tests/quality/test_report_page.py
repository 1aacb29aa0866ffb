"""The page of a run: what it shows, and that strangers' texts stay texts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_liftos.quality import report_page, results
from airflow_provider_liftos.quality.findings import Finding, Status
from airflow_provider_liftos.quality.policy import by_account
from airflow_provider_liftos.quality.report import CASES, RUNS, RunReport, read
from airflow_provider_liftos.quality.report_page import render
from airflow_provider_liftos.quality.score import score
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.ledger import Ledger, TaskRun
from airflow_provider_liftos.state.store import StateStore

HOSTILE = "</td></table><script>alert('x')</script><img src=x onerror=alert(1)>\"' style=\""
DAG, RUN = "liftos_meta", "scheduled__2026-11-20T10:00:00+00:00"
VOID = {"meta", "circle", "rect", "polyline", "link", "br", "img"}


class Page(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def finding(rule: str = "key_unique", status: Status = Status.PASSED, **parts: Any) -> Finding:
    given = {
        "platform": "meta", "account_id": "1001", "dimension": "uniqueness", "severity": "critical",
        "report": "basic", "level": "ad", "expected": "No two rows share a key.", **parts,
    }  # fmt: skip
    return Finding(rule=rule, status=status, **given)


FAILED = finding(
    "spend_not_negative", Status.FAILED, observed="12 of 876 rows", failing_share=0.0137,
    dimension="accuracy", advice="Look for a refund.", expected="Spend is never below zero.",
    sample=({"date": "2026-11-19", "spend": "-4.20"},),
)  # fmt: skip


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_790_000_000.0)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> StateStore:
    return StateStore(f"sqlite:///{tmp_path}/state.db", clock)


def keep(store: StateStore, *findings: Finding, run: str = RUN, **parts: str) -> None:
    outcome = SimpleNamespace(
        platform="meta", findings=findings, score=score(findings),
        accounts={a: score(own) for a, own in by_account(findings).items()},
    )  # fmt: skip
    where = {"org_id": "default", "dag_id": DAG, "run_id": run, "load_id": f"load {run}", **parts}
    results.record(store, outcome, **where)  # type: ignore[arg-type]


def page(store: StateStore, **options: str) -> Page:
    return Page(render(read(store, DAG, RUN), **options))


def test_it_says_how_good_and_what_fails_where_and_what_to_do(store: StateStore) -> None:
    keep(store, FAILED, finding(), finding("levels_add_up", account_id="1002"))
    shown = page(store, ledger_url="/air/liftos/runs/x").text
    assert f"Run {RUN}" in shown
    score_shown = score([FAILED, finding(), finding()]).value
    assert score_shown is not None
    for words in (
        f"{int(score_shown * 10) / 10} excellent", "2 hold", "1 do not hold", "spend_not_negative",
        "critical", "accuracy · ✕ does not hold 1 of 1 times · 1.37% fails",
        "Expected: Spend is never below zero.", "1001", "basic:ad", "12 of 876 rows", "1.37%",
        "date spend 2026-11-19 -4.20", "What to do Look for a refund.", "Run ledger",
    ):  # fmt: skip
        assert words in shown


def test_the_gravest_failures_come_first(store: StateStore) -> None:
    low = finding("a_low_one", Status.FAILED, severity="low", failing_share=1.0)
    unknown = finding("not_known", Status.NOT_EVALUATED)
    keep(store, unknown, low, FAILED)
    text = page(store).text
    places = [text.index(name) for name in ("spend_not_negative", "a_low_one", "not_known")]
    assert places == sorted(places)
    assert "What could not be evaluated" in text


def test_what_is_not_all_right_is_never_shown_as_a_hundred(store: StateStore) -> None:
    keep(store, finding("r", Status.FAILED, failing_share=0.0004), *[
        finding(f"r{n}") for n in range(20)
    ])  # fmt: skip
    assert "Score 99.9 of 100" in render(read(store, DAG, RUN))


def test_hostile_texts_stay_texts(store: StateStore) -> None:
    bad = finding(
        HOSTILE, Status.FAILED, account_id=HOSTILE, report=HOSTILE, level=HOSTILE,
        observed=HOSTILE, expected=HOSTILE, advice=HOSTILE, dimension=HOSTILE, failing_share=1.0,
        sample=({HOSTILE: HOSTILE},),
    )  # fmt: skip
    keep(store, bad, run=RUN)
    ledger = Ledger(store, "default")
    entry = ledger.start(
        TaskRun(dag_id=DAG, run_id=RUN, task_id="publish", phase="publish", platform="meta")
    )
    ledger.finish(entry, status="partial", warnings=(HOSTILE,))
    text = render(read(store, DAG, RUN), ledger_url=f"/runs/{HOSTILE}")
    shown = Page(text)
    assert shown.all("script") == shown.all("img") == []
    for _, attributes in shown.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    assert shown.text.count("<script>alert('x')</script>") >= 7


def test_hostile_names_of_runs_and_platforms_stay_texts() -> None:
    shown = Page(render(RunReport(dag_id=HOSTILE, run_id=HOSTILE)))
    assert shown.all("script") == shown.all("img") == []


def test_texts_that_turn_around_or_are_halves_of_characters_harm_nothing(store: StateStore) -> None:
    odd = "paid \u202egpj.exe\u2066 \ud83d \0"
    keep(store, finding("r", Status.FAILED, observed=odd, sample=({odd: odd},), failing_share=1.0))
    text = render(read(store, DAG, RUN))
    assert not re.search("[\u202a-\u202e\u2066-\u2069\0]", text)
    assert text.encode()
    assert "paid " in text


def test_nothing_is_fetched_and_no_script_runs(store: StateStore) -> None:
    keep(store, FAILED, finding())
    text = render(read(store, DAG, RUN), ledger_url="/liftos/runs/x")
    shown = Page(text)
    tags = {tag for tag, _ in shown.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form"}
    links = {v for _, a in shown.elements for n, v in a.items() if n in {"src", "href"}}
    assert links == {"/liftos/runs/x"}
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'" in report_page.HEADERS["Content-Security-Policy"]


def test_it_can_be_read_aloud(store: StateStore) -> None:
    keep(store, FAILED, finding())
    keep(store, finding(), run="later")
    shown = page(store)
    assert shown.all("html") == [{"lang": "en"}]
    assert len(shown.all("h1")) == len(shown.all("main")) == 1
    levels = [int(tag[1]) for tag, _ in shown.elements if re.fullmatch(r"h\d", tag)]
    assert all(then - before <= 1 for before, then in pairwise(levels))
    assert len(shown.all("caption")) == len(shown.all("table"))
    assert all(a.get("scope") in {"row", "col"} for a in shown.all("th"))
    for drawing in shown.all("svg"):
        assert drawing.get("aria-label") or drawing.get("aria-hidden") == "true"


def test_the_trend_ends_with_this_run_and_goes_back_so_far(
    store: StateStore, clock: ManualClock
) -> None:
    for number in range(RUNS + 5):
        keep(store, finding(), run=f"run {number}")
        clock.advance(3600)
    keep(store, FAILED, run=RUN)
    clock.advance(3600)
    keep(store, finding(), run="afterwards")
    keep(store, finding(), run="other", org_id="other")
    keep(store, FAILED, run="run 0", dag_id="liftos_quality_gate")
    [one] = read(store, DAG, RUN).platforms
    assert len(one.trend) == RUNS
    assert [graded.name for graded in one.trend][-2:] == [f"run {RUNS + 4}", RUN]
    assert f"Scores of {RUNS} runs: from 98.6 to 100.0, the last 98.6" in render(
        read(store, DAG, RUN)
    )


def test_the_first_run_has_no_trend(store: StateStore) -> None:
    keep(store, finding())
    shown = page(store)
    assert "This is the first run that was judged." in shown.text


def test_only_so_many_cases_are_shown_and_the_rest_is_counted(store: StateStore) -> None:
    many = [
        finding("r", Status.FAILED, account_id=f"a{n:03}", failing_share=n / 100)
        for n in range(CASES + 7)
    ]
    keep(store, *many)
    text = page(store).text
    assert "and 7 more" in text
    assert f"a{CASES + 6:03}" in text  # the worst


def test_what_was_held_back_is_told(store: StateStore) -> None:
    keep(store, FAILED)
    ledger = Ledger(store, "default")
    entry = ledger.start(
        TaskRun(dag_id=DAG, run_id=RUN, task_id="publish", phase="publish", platform="meta")
    )
    ledger.finish(entry, status="partial", warnings=("1001 basic:ad: spend_not_negative",))
    assert "Held back" in page(store).text
    assert "1001 basic:ad: spend_not_negative" in page(store).text


def test_dimensions_are_scored_apart(store: StateStore) -> None:
    keep(store, finding(), finding("x", Status.FAILED, dimension="accuracy", failing_share=0.5))
    [one] = read(store, DAG, RUN).platforms
    assert one.dimensions == {"accuracy": 50.0, "uniqueness": 100.0}


def test_a_run_that_was_not_judged_says_so(store: StateStore) -> None:
    assert "Nothing of this run has been judged yet" in page(store).text


def test_a_run_without_a_score_has_a_page(store: StateStore) -> None:
    keep(store, finding(status=Status.NOT_EVALUATED))
    assert "No score" in render(read(store, DAG, RUN))


def test_organizations_of_one_run_are_told_apart(store: StateStore) -> None:
    keep(store, finding(), org_id="one")
    keep(store, FAILED, org_id="two")
    found = read(store, DAG, RUN).platforms
    assert [(p.org_id, len(p.rules)) for p in found] == [("one", 1), ("two", 1)]
    assert "meta · two" in page(store).text
