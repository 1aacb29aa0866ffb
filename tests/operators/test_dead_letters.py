"""What cannot be processed becomes a dead letter, is left alone in time, and comes by a replay."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_provider_liftos.cli.proof import compare
from airflow_provider_liftos.engine.staging import RawWriter
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.operators.letters import box
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.replay import (
    LiftosChooseLettersOperator,
    LiftosReplayOperator,
)
from airflow_provider_liftos.platforms.meta import wire
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.dead_letters import DeadLetters
from airflow_provider_liftos.state.ledger import Ledger
from airflow_provider_liftos.state.letter import DISCARDED, Wanted
from airflow_provider_liftos.state.tokens import process
from airflow_provider_liftos.transforms import unify
from tests.operators.test_incremental import Daily, ago, span
from tests.operators.test_partial import Partial
from tests.operators.test_tasks import _fire

DAY = 86_400.0
BAD = b'{"spend": "1.50", "note": "access_token=sandbox-token", "campaign_id": "7"}'


class Shifted:
    """The machine's clock, some days later."""

    def __init__(self, days: float) -> None:
        self.days = days

    def now(self) -> float:
        return time.time() + self.days * DAY


def poison(liftos, day) -> int:
    """Reports that cover the day fail."""
    return liftos.sandbox.faults.add(kind="job_failed", platform="meta", date=str(day))


def night(run: Daily, day, **options) -> dict:
    """A scheduled run, as far as it gets: publish says what is missing."""
    item = run.scheduled(day, **options)
    with suppress(AirflowFailException):
        run.bring(REPORTS)
    return item


REPORTS = ["basic:account"]


def letters(liftos, **wanted) -> list:
    return DeadLetters(liftos.store, "default").find(Wanted(**wanted))


def chosen(liftos, **params) -> list[dict]:
    context = liftos.context("choose", params=params)
    return LiftosChooseLettersOperator(task_id="choose").execute(context)


def replayed(liftos, batch: dict, run_id: str = "replay", tries: int = 2, **options) -> dict:
    """Stint after stint until it is done."""
    event, context = None, liftos.context("replay", map_index=0)
    context["ti"].run_id, context["ti"].dag_id = run_id, "liftos_replay_dead_letters"
    context["dag_run"].triggering_user_name = "anna"
    context["ti"].max_tries = tries
    for _ in range(50):
        task = LiftosReplayOperator(task_id="replay", letters=batch, **options)
        try:
            return task.execute(context, event)
        except TaskDeferred as pause:
            event = asyncio.run(_fire(pause.trigger))
    raise AssertionError("it never ends")


def test_a_slice_that_is_given_up_is_a_letter_and_a_replay_brings_its_day(liftos):
    poison(liftos, ago(5))
    run = Daily(liftos)
    night(run, ago(1))
    [letter] = letters(liftos)
    assert (letter.kind, letter.name, letter.since, letter.until) == (
        "slice", "basic:account", str(ago(5)), str(ago(5)),
    )  # fmt: skip
    assert (letter.state, letter.attempts, letter.account_id) == ("open", 1, run.accounts[0])
    assert letter.reason
    assert run.known()["basic", "account"].holes[0].since == ago(5)

    [batch] = chosen(liftos)
    with pytest.raises(AirflowFailException, match="1 of 1 dead letters failed again"):
        replayed(liftos, batch)
    [letter] = letters(liftos)
    assert (letter.state, letter.attempts) == ("open", 2)

    liftos.sandbox.faults.clear()
    [batch] = chosen(liftos, platform="meta", kind="slice")
    assert replayed(liftos, batch, "second") == {"letters": 1, "settled": 1, "failed": 0}
    [letter] = letters(liftos)
    assert (letter.state, letter.attempts) == ("replayed", 2)
    assert letter.closed_by == "anna (liftos_replay_dead_letters/second)"
    assert letter.closed_at == pytest.approx(time.time(), abs=600)
    assert run.known()["basic", "account"].holes == ()
    proof = compare(liftos.folder / "warehouse.duckdb", liftos.sandbox.url)
    assert (proof.compared, proof.differences) == (29, [])

    entry, *_ = Ledger(liftos.store, "default").rows(run_id="second")
    assert (entry.run.phase, entry.run.platform, entry.status) == ("replay", "meta", "success")
    assert entry.work.rows == 1
    assert entry.work.requests > 0
    noted, *_ = AuditLog(liftos.store, "default").entries()
    assert (noted.actor[:4], noted.action, noted.detail["settled"]) == (
        "anna", "replayed dead letters", 1,
    )  # fmt: skip
    assert noted.detail["from"] == process()

    assert chosen(liftos) == []
    assert replayed(liftos, batch, "third") == {"letters": 0, "settled": 0, "failed": 0}


def test_a_replay_goes_on_where_it_was_killed_and_another_one_takes_nothing(liftos, monkeypatch):
    poison(liftos, ago(5))
    night(Daily(liftos), ago(1))
    liftos.sandbox.faults.clear()
    [batch] = chosen(liftos)

    class KilledError(BaseException):
        pass

    def kill(*_, **__):
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(LiftosLoadOperator, "execute", kill)
        with pytest.raises(KilledError):
            replayed(liftos, batch)
    [letter] = letters(liftos)
    assert letter.state == "replaying"
    asked = len(liftos.sandbox.journal.entries("meta", contains="POST"))
    assert replayed(liftos, batch, "another")["letters"] == 0, "it is somebody else's"
    assert replayed(liftos, batch)["settled"] == 1
    assert len(liftos.sandbox.journal.entries("meta", contains="POST")) == asked, (
        "what was fetched is not fetched again"
    )


def test_a_bug_met_by_a_slice_is_a_letter_that_a_replay_settles_once_it_is_mended(
    liftos, monkeypatch
):
    read = wire.page

    def page(body):
        if b"date_start" in body:
            raise KeyError("spend")
        return read(body)

    with monkeypatch.context() as patch:
        patch.setattr(wire, "page", page)
        night(Daily(liftos), ago(1))
    [letter] = letters(liftos)
    assert (letter.kind, letter.name, letter.until) == ("slice", "basic:account", str(ago(1)))
    assert "KeyError: 'spend'" in letter.reason
    [batch] = chosen(liftos)
    assert replayed(liftos, batch) == {"letters": 1, "settled": 1, "failed": 0}
    proof = compare(liftos.folder / "warehouse.duckdb", liftos.sandbox.url)
    assert (proof.compared, proof.differences) == (29, [])


def test_a_replay_that_fails_for_good_lets_its_letters_go(liftos, monkeypatch):
    poison(liftos, ago(5))
    night(Daily(liftos), ago(1))
    [batch] = chosen(liftos)
    liftos.connect("liftos_meta_default", extra={"org_id": "other"})
    with pytest.raises(AirflowFailException, match="of organization 'default', but connection"):
        replayed(liftos, batch)
    [letter] = letters(liftos)
    assert (letter.state, letter.attempts) == ("open", 1)


def test_a_replay_that_is_not_tried_again_keeps_no_letters_although_tries_are_left(
    liftos, monkeypatch
):
    poison(liftos, ago(5))
    night(Daily(liftos), ago(1))
    liftos.sandbox.faults.clear()
    [batch] = chosen(liftos)

    def refuse(*_, **__):
        raise ConfigurationError("the warehouse's connection is of no known type")

    monkeypatch.setattr(LiftosLoadOperator, "execute", refuse)
    with pytest.raises(AirflowFailException, match="of no known type"):
        replayed(liftos, batch, tries=3)
    [letter] = letters(liftos)
    assert letter.state == "open"


def test_what_a_later_run_brings_needs_no_replay(liftos):
    poison(liftos, ago(5))
    run = Daily(liftos)
    night(run, ago(1))
    liftos.sandbox.faults.clear()
    run.scheduled(ago(1))
    run.run += "again"
    run.bring(REPORTS)
    [letter] = letters(liftos)
    assert (letter.state, letter.closed_by) == ("superseded", f"dag/{run.run}")
    assert chosen(liftos) == []


def test_a_hole_that_fails_night_after_night_is_left_to_the_dead_letters(liftos):
    liftos.set("failing_nights", "2")
    run = Daily(liftos)
    run.scheduled(ago(45))
    run.bring(REPORTS)
    poison(liftos, ago(40))  # after the newest published day, behind the window of today's run
    asked = []
    for offset in range(3):
        liftos.store.clock = Shifted(offset)
        item = night(run, ago(1 - offset), reports=REPORTS)
        asked.append(item.get("more"))
        entry, *_ = Ledger(liftos.store, "default").rows(phase="plan")
    assert asked[0] == {"basic:account": [span(44, 30)]}
    assert asked[1] == {"basic:account": [span(40, 40)]}, "the rest came"
    assert asked[2] is None, "two nights were enough"
    [line] = [line for line in entry.warnings if "again and again" in line]
    assert f"basic:account: {ago(40)} failed" in line
    [letter] = letters(liftos)
    assert (letter.attempts, len(letter.days), letter.state) == (2, 2, "open")

    liftos.set("failing_nights", "0")
    assert run.scheduled(ago(-1), reports=REPORTS)["more"] == asked[1], "0: for ever"


def test_a_hole_whose_letter_was_discarded_is_left_alone_without_a_word(liftos):
    poison(liftos, ago(40))
    run = Daily(liftos)
    run.scheduled(ago(45))
    run.bring(REPORTS)
    night(run, ago(1), reports=REPORTS)
    [letter] = letters(liftos)
    box("default").close([letter.id], state=DISCARDED, by="anna")
    assert "more" not in run.scheduled(ago(1), reports=REPORTS)
    entry, *_ = Ledger(liftos.store, "default").rows(phase="plan")
    assert entry.warnings == ()


def test_days_left_alone_do_not_use_up_the_history_of_a_run(liftos):
    liftos.set("failing_nights", "1")
    run = Daily(liftos)
    run.scheduled(ago(1))
    run.bring(REPORTS)
    poison(liftos, ago(31))
    options = {"reports": REPORTS, "history_since": ago(35), "history_days": 2}
    assert night(run, ago(1), **options)["more"] == {"basic:account": [span(31, 30)]}
    assert run.scheduled(ago(1), **options)["more"] == {"basic:account": [span(33, 32)]}


@pytest.fixture
def bad_row(monkeypatch):
    """Every report comes with a row that has no day; call it to end that."""
    with monkeypatch.context() as patched:
        write = RawWriter.write
        patched.setattr(RawWriter, "write", lambda self, rows: write(self, [*rows, BAD]))
        yield patched.undo


def brought(liftos) -> Partial:
    run = Partial(liftos, streams=(), reports=["basic:campaign"])
    run.params["accounts"] = run.params["accounts"][:1]
    [batch] = run.plan()
    audited = run.audited(run.loaded(run.normalized(run.fetched(batch))), [batch])
    run.published(audited, on_partial="warn")
    return run


def test_a_refused_row_is_a_letter_without_secrets(liftos, bad_row):
    brought(liftos)
    [letter] = letters(liftos, kind="row")
    assert (letter.kind, letter.name, letter.form) == ("row", "basic:campaign", "plain")
    assert letter.reason == "no readable date_start"
    assert "sandbox-token" not in letter.payload
    assert '"1.50"' in letter.payload
    assert letter.spec["conn_id"] == "liftos_meta_default"


def test_a_row_that_cannot_be_read_still_is_not_fetched_again(liftos, bad_row):
    brought(liftos)
    bad_row()
    [batch] = chosen(liftos, kind="row")
    before = len(liftos.sandbox.journal.entries("meta"))
    with pytest.raises(AirflowFailException, match="no readable date"):
        replayed(liftos, batch)
    assert len(liftos.sandbox.journal.entries("meta")) == before
    [letter] = letters(liftos, kind="row")
    assert (letter.state, letter.attempts) == ("open", 2)


def test_a_row_that_todays_mapping_reads_brings_its_days_again(liftos, bad_row, monkeypatch):
    brought(liftos)
    bad_row()
    accept = lambda *_: "SELECT 'x' AS reason, 'y' AS line WHERE false"  # noqa: E731
    with monkeypatch.context() as patched:
        patched.setattr(unify, "rejected_sql", accept)  # a mapping that has learned
        [batch] = chosen(liftos, kind="row")
        assert replayed(liftos, batch)["settled"] == 1
    [letter] = letters(liftos, kind="row")
    assert letter.state == "replayed"
    [held] = letters(liftos, kind="slice")
    assert (held.state, held.reason[:9]) == ("superseded", "held back"), "for that row"


def test_a_row_that_comes_again_stays_open_with_one_attempt_more(liftos, bad_row, monkeypatch):
    brought(liftos)
    monkeypatch.setattr("airflow_provider_liftos.engine.rereading.Rereading.refused", lambda *_: {})
    [batch] = chosen(liftos, kind="row")
    with pytest.raises(AirflowFailException, match="1 of 1 dead letters failed again"):
        replayed(liftos, batch)
    [again] = letters(liftos, kind="row")
    assert (again.state, again.attempts) == ("open", 2)


def test_a_slice_that_the_audit_holds_is_a_letter(liftos):
    from airflow_provider_liftos.hooks import config

    run = Partial(liftos)
    [batch] = run.plan()
    audited = run.audited(run.loaded(run.normalized(run.fetched(batch))), [batch])
    staging = config.staging()
    verdicts = staging.read_json(audited["decisions"])
    verdicts["decisions"][0] |= {"verdict": "quarantine", "reasons": ["spend fell"]}
    audited["decisions"] = staging.write_json(staging.folder("manifests"), verdicts)
    run.published(audited, on_partial="warn")
    [letter] = letters(liftos)
    assert letter.reason == "held back by the audit: spend fell"


def test_letters_are_chosen_by_organization_and_connection(liftos):
    poison(liftos, ago(5))
    night(Daily(liftos), ago(1))
    [batch] = chosen(liftos, org_id="default")
    assert batch["conn_id"] == "liftos_meta_default"
    assert chosen(liftos, org_id="another") == chosen(liftos, kind="row") == []
    context = liftos.context("choose")
    assert LiftosChooseLettersOperator(task_id="c", org_ids=["x"]).execute(context) == []
