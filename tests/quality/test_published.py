from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.report import Level, Window
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.quality import published
from airflow_provider_liftos.quality.audit import AuditOutcome, audit
from airflow_provider_liftos.quality.findings import Finding, Status
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from tests.quality.scene import ASKED, Scene, days, entity
from tests.quality.scene import ORG as SCENE_ORG
from tests.warehouses.staging import (
    DAY1,
    NOON,
    ORG,
    PLATFORM,
    manifest,
    report_slice,
    result,
    stage_many,
)

ADS, DAYS = 100, 365


class Watched(DuckDbWarehouse):
    """Remembers the most rows that a question has brought."""

    most = 0

    def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        found = super().query(sql, params)
        self.most = max(self.most, len(found))
        return found


def test_of_a_year_only_a_piece_is_held_at_once(tmp_path: Path) -> None:
    last = DAY1 + timedelta(days=DAYS - 1)
    house = Watched(tmp_path / "warehouse.duckdb", None)
    house.prepare()
    file = stage_many(tmp_path / "a.parquet", ads=ADS, first=DAY1, days=DAYS, load_id="load-1")
    made = manifest(result(report_slice(DAY1, last, level=Level.AD), file))
    house.load(made)
    house.publish(made.slices[0], "load-1", ORG, NOON)
    year = Window(since=DAY1, until=last)
    seen = published.copy(house, get(PLATFORM), ORG, year, tmp_path)
    assert seen.manifest.rows == ADS * DAYS > 20_000 >= house.most
    [by_day] = seen.days.values()
    assert sum(day.rows for of_day in by_day.values() for day in of_day.values()) == ADS * DAYS


def known(scene: Scene) -> None:
    now = {"valid_from": ASKED, "is_deleted": False, "currency": "EUR", "timezone": "Europe/Berlin"}
    scene._insert(scene.layout.published("accounts"), [{**entity("accounts"), **now}])


def graded(scene: Scene, folder: Path, *there: date, now: datetime, until: date) -> AuditOutcome:
    """What people see of some days, graded as the gate alone does."""
    known(scene)
    scene.seen(*days(*there))
    scene.published(*there)
    window = Window(since=min(there), until=until)
    seen = published.copy(scene, get("meta"), SCENE_ORG, window, folder)
    expected = published.expected_days(scene, get("meta"), SCENE_ORG, window, now)
    return audit(
        seen.manifest, warehouse=scene, seen=seen.days, today=now, expected_days=expected,
        expected_accounts=list(seen.accounts), quality=get("meta").quality,
    )  # fmt: skip


WEEKS = [date(2026, 11, 19) - timedelta(days=n) for n in range(14)]
NOW = datetime(2026, 11, 21, 4, tzinfo=UTC)


def of_report(outcome: AuditOutcome, rule: str) -> Finding:
    [found] = [f for f in outcome.findings if f.rule == rule and f.report == "basic"]
    return found


@pytest.mark.parametrize(("hours", "until", "late"), [
    (0, 0, 0),  # the 20th ended five hours ago: it has a day and six hours to come
    (25, 1, 0), (26, 2, 1), (26 + 24 * 9, 20, 10),
    (26 + 24 * 9, 0, 0),  # of old days nobody asks for newer ones
])  # fmt: skip
def test_published_data_that_has_stopped_coming_is_not_fresh(
    scene: Scene, tmp_path: Path, hours: int, until: int, late: int
) -> None:
    outcome = graded(
        scene, tmp_path, *WEEKS, now=NOW + timedelta(hours=hours),
        until=WEEKS[0] + timedelta(days=until),
    )  # fmt: skip
    found = of_report(outcome, "data_fresh")
    assert found.status is (Status.FAILED if late else Status.PASSED)
    if late:
        day = WEEKS[0] + timedelta(days=late)
        assert found.observed.startswith(f"newest day {WEEKS[0]}, expected {day}; ")
        assert "no run brought those days" in found.advice


def test_a_day_that_nobody_has_loaded_is_missed_among_published_ones(
    scene: Scene, tmp_path: Path
) -> None:
    hole = WEEKS[3]
    there = [day for day in WEEKS if day != hole]
    outcome = graded(scene, tmp_path, *there, now=NOW, until=WEEKS[0])
    found = of_report(outcome, "week_covered")
    assert found.status is Status.FAILED
    assert str(hole) in found.observed
    whole = Scene(tmp_path)
    outcome = graded(whole, tmp_path, *WEEKS, now=NOW, until=WEEKS[0])
    assert of_report(outcome, "week_covered").status is Status.PASSED
