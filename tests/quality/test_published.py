from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow_provider_liftos.model.report import Level, Window
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.quality import published
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
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
