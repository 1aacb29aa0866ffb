"""What is waited for is looked up among the days and tables that are wanted, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.report import Window
from airflow_provider_liftos.quality.awaited import Awaited
from tests.quality.scene import ACCOUNT, ASKED, DAY1, DAY2, DAY3, ORG, PLATFORM, Scene

LONG_AGO = [DAY1 - timedelta(days=n) for n in range(30, 90)]


class Counting(Scene):
    """Counts rows of days that are looked at, of those told day by day."""

    looked = 0

    def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        found = super().query(sql, params)
        if '."loads"' in sql and "COUNT(" not in sql:
            self.looked += len(found)
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Counting:
    return Counting(tmp_path)


def lacking(scene: Scene, *tables: str, until: date = DAY3) -> list[str]:
    window = Window(since=DAY1, until=until)
    awaited = Awaited(platform=PLATFORM, tables=tables or None, window=window)
    return awaited.lacking(scene, ORG, ASKED)


def test_only_wanted_days_of_wanted_tables_are_looked_at(scene: Counting) -> None:
    scene.published(*LONG_AGO, DAY1, DAY2, DAY3)
    scene.published(*LONG_AGO, DAY1, DAY2, DAY3, report="device")
    scene.published(*LONG_AGO, DAY3, report="campaigns", level="snapshot")
    scene.published(*LONG_AGO, DAY3, report="ads", level="changes")
    assert lacking(scene, "basic:campaign", "campaigns") == []
    assert scene.looked == 3 + 1


def test_days_that_are_missing_are_named(scene: Counting) -> None:
    scene.published(*LONG_AGO, DAY1, DAY3)
    scene.published(DAY1, DAY2, DAY3, level="ad")
    assert lacking(scene, "basic:campaign", "basic:ad", "device:campaign") == [
        f"meta account {ACCOUNT} lacks {DAY2} of basic:campaign",
        f"meta account {ACCOUNT} lacks {DAY1} and 2 more days of device:campaign",
    ]


@pytest.mark.parametrize("level", ["snapshot", "changes"])
def test_a_listing_tells_of_all_days_before_it_and_of_none_after(
    scene: Counting, level: str
) -> None:
    scene.published(*LONG_AGO, DAY2, report="campaigns", level=level)
    assert lacking(scene, "campaigns", until=DAY2) == []
    assert lacking(scene, until=DAY1) == []
    assert lacking(scene, "campaigns") == [f"meta account {ACCOUNT} lacks {DAY3} of campaigns"]
    assert lacking(scene, "ads") == [f"meta account {ACCOUNT} lacks {DAY3} of ads"]


def test_another_accounts_and_organizations_days_do_not_count(scene: Counting) -> None:
    scene.published(DAY1, DAY2, DAY3)
    scene.published(DAY1, DAY3, account="1002")
    scene.con.execute(
        f"INSERT INTO {scene.layout.published('loads')} SELECT * REPLACE ('other' AS org_id,"
        " CAST(? AS DATE) AS date) FROM (SELECT * FROM"
        f" {scene.layout.published('loads')} WHERE account_id = '1002' LIMIT 1)",
        [DAY2],
    )
    assert lacking(scene, "basic:campaign") == [f"meta account 1002 lacks {DAY2} of basic:campaign"]
