"""Audits that are run again, after publish."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.quality.findings import Status, Verdict
from airflow_provider_liftos.quality.settled import Standing
from tests.quality.scene import (
    CLEAN,
    DAY1,
    DAY2,
    DAY3,
    Scene,
    campaign,
    days,
    failing,
    finding,
    part,
    stream,
    totals,
)


def test_what_is_published_is_judged_as_it_is_there(scene: Scene) -> None:
    top = scene.stage(part(Level.ACCOUNT), totals(CLEAN))
    low, entities = scene.stage(part(), CLEAN), scene.stage(stream(), [campaign()])
    first = scene.audit(top, low, entities)
    scene.publish(top, low, entities)
    again = scene.audit(top, low, entities)
    assert not failing(again)
    assert (again.findings, again.decisions, again.score) == (
        first.findings,
        first.decisions,
        first.score,
    )
    assert (first.settled, set(again.settled.values())) == ({}, {Standing.PUBLISHED})
    scene.con.execute(
        "DELETE FROM liftos.performance WHERE level = 'campaign' AND date = ?", [DAY2]
    )
    assert failing(scene.audit(top, low, entities)) == {
        "rows_loaded",
        "levels_add_up",
        "expected_days_present",
    }


def test_what_waits_is_judged_beside_what_is_published(scene: Scene) -> None:
    top = scene.stage(part(Level.ACCOUNT), totals(CLEAN))
    scene.publish(top)
    low = scene.stage(part(), CLEAN[:-1])
    outcome = scene.audit(top, low)
    assert failing(outcome) == {"levels_add_up"}
    assert [*outcome.settled] == [top.slice.fingerprint()]


@pytest.mark.parametrize("empty", [False, True])
def test_what_newer_data_has_replaced_is_not_judged(scene: Scene, empty: bool) -> None:
    asked = scene.stage(part(), [] if empty else CLEAN)
    scene.publish(load="load-9")
    scene.published(DAY1, DAY2, DAY3, load="load-9", hours=1)
    outcome = scene.audit(asked)
    assert not failing(outcome)
    assert outcome.settled == {asked.slice.fingerprint(): Standing.SUPERSEDED}
    assert finding(outcome, "rows_loaded").status is Status.NOT_APPLICABLE
    assert outcome.decisions[0].verdict is Verdict.PUBLISH


def test_a_superseded_report_is_no_reference(scene: Scene) -> None:
    top = scene.stage(part(Level.ACCOUNT), totals(days(DAY1, DAY2, DAY3, spend="9")))
    scene.publish(top, load="load-9", hours=1)
    low = scene.stage(part(), CLEAN)
    outcome = scene.audit(top, low)
    assert not failing(outcome)
    assert finding(outcome, "levels_add_up", low).status is Status.NOT_APPLICABLE


def test_an_older_answer_of_the_same_load_is_not_this_one(scene: Scene) -> None:
    first = scene.stage(part(), CLEAN)
    scene.publish(first, hours=0)
    later = replace(first, as_of=first.as_of + 60)
    outcome = scene.audit(later)
    assert "rows_loaded" in failing(outcome)
    assert outcome.settled == {}


def test_every_day_of_a_slice_must_be_settled(scene: Scene) -> None:
    asked = scene.stage(part(), CLEAN)
    scene.publish()
    scene.published(DAY1, DAY2, load="load-1", hours=0)
    assert "rows_loaded" in failing(scene.audit(asked))
    scene.published(DAY3, load="load-9", hours=1)
    assert scene.audit(asked).settled == {asked.slice.fingerprint(): Standing.SUPERSEDED}


def test_a_snapshot_is_found_whatever_its_day(scene: Scene) -> None:
    asked = scene.stage(stream(), [campaign("c1"), campaign("c2")])
    scene.publish()
    whose = {"report": "campaigns", "level": "snapshot"}
    scene.published(DAY3 + timedelta(days=9), **whose, load="load-1", hours=0)
    outcome = scene.audit(asked)
    assert not failing(outcome)
    assert finding(outcome, "rows_loaded").status is Status.PASSED
    scene.published(DAY3, **whose, load="load-9", hours=2)
    newer = scene.audit(asked)
    assert finding(newer, "rows_loaded").status is Status.NOT_APPLICABLE
    assert newer.settled == {asked.slice.fingerprint(): Standing.SUPERSEDED}
