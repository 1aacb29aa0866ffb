"""Entities as people see them are graded by the rules of snapshots under audit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.report import Window
from airflow_provider_liftos.model.unified import ENTITIES, TABLES
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.quality import published, published_entities
from airflow_provider_liftos.quality.audit import AuditOutcome, audit
from airflow_provider_liftos.quality.findings import Status
from tests.quality.scene import (
    ACCOUNT,
    ASKED,
    CLEAN,
    DAY1,
    DAY3,
    ORG,
    PLATFORM,
    TODAY,
    Scene,
    entity,
    failing,
    finding,
)  # fmt: skip

IDS = {"accounts": {}, "campaigns": {"campaign_id": "c1"}, "ad_groups": {"ad_group_id": "g1"},
       "ads": {"ad_id": "a1"}, "creatives": {"creative_id": "k1"},
       "audiences": {"audience_id": "u1"}}  # fmt: skip
OWNED = {"campaign_id": "c1", "ad_group_id": "g1"}


def seen(scene: Scene, table: str, **parts: Any) -> None:
    """One version of an entity that people see."""
    now = {"valid_from": ASKED, "is_deleted": False, "load_id": "load-0"}
    owned = {"ads": OWNED, "ad_groups": {"campaign_id": "c1"}}.get(table, {})
    money = {"currency": "EUR", "timezone": "Europe/Berlin"} if table == "accounts" else {}
    row = {**entity(table), **IDS[table], **owned, **money, **now, **parts}
    scene._insert(scene.layout.published(table), [row])


@pytest.fixture
def whole(scene: Scene) -> Scene:
    """An account with one of everything, and three days of a report."""
    for table in ENTITIES:
        seen(scene, table.name)
    scene.seen(*CLEAN)
    scene.published(*(DAY1 + timedelta(days=n) for n in range(3)), spend=10.0)
    return scene


def graded(scene: Scene, folder: Path, **options: Any) -> AuditOutcome:
    folder = folder / str(len(list(folder.iterdir())))
    folder.mkdir()
    found = published.copy(scene, get(PLATFORM), ORG, Window(since=DAY1, until=DAY3), folder)
    usual = {"today": TODAY, "expected_accounts": list(found.accounts), "previous": [],
             "quality": get(PLATFORM).quality}  # fmt: skip
    return audit(found.manifest, warehouse=scene, seen=found.days, **{**usual, **options})


def test_what_is_as_it_should_be_passes_with_every_table(whole: Scene, tmp_path: Path) -> None:
    outcome = graded(whole, tmp_path)
    assert failing(outcome) == set()
    assert {f.report for f in outcome.findings if f.rule == "key_unique"} == {
        "basic", *(table.name for table in ENTITIES)
    }  # fmt: skip
    told = {(f.report, f.status) for f in outcome.findings if f.rule == "hierarchy_intact"}
    assert {("ads", Status.PASSED), ("ad_groups", Status.PASSED)} <= told


def test_what_only_an_extraction_could_say_is_not_said(whole: Scene, tmp_path: Path) -> None:
    outcome = graded(whole, tmp_path)
    for rule in ("slice_complete", "rows_kept", "rows_loaded", "values_readable"):
        assert {f.status for f in outcome.findings if f.rule == rule} == {Status.NOT_APPLICABLE}


OVERLAP = {"valid_from": ASKED - timedelta(days=3), "valid_to": ASKED + timedelta(hours=1)}
FAULTS: list[tuple[str, str, dict[str, Any]]] = [
    ("hierarchy_intact", "ads", {"ad_id": "a7", "ad_group_id": "g7"}),
    ("hierarchy_intact", "ads", {"ad_id": "a7", "campaign_id": "c7"}),
    ("hierarchy_intact", "ad_groups", {"ad_group_id": "g7", "campaign_id": "c7"}),
    ("key_unique", "campaigns", {}),
    ("key_unique", "campaigns", OVERLAP),
    ("required_fields", "accounts", {"account_id": "1002", "currency": None}),
    ("required_fields", "ads", {"ad_id": ""}),
    ("value_ranges", "campaigns", {"campaign_id": "c2", "daily_budget": "-1"}),
    ("mock_rows_marked", "creatives", {"creative_id": "k2", "is_mock": True}),
]


@pytest.mark.parametrize(("rule", "table", "parts"), FAULTS)
def test_a_fault_among_published_entities_is_found_by_its_rule_alone(
    whole: Scene, tmp_path: Path, rule: str, table: str, parts: dict[str, Any]
) -> None:
    seen(whole, table, **parts)
    outcome = graded(whole, tmp_path, expected_accounts=[ACCOUNT])
    assert failing(outcome) == {rule}
    [found] = [f for f in outcome.findings if f.status is Status.FAILED]
    assert found.report == table


def test_versions_that_follow_one_another_and_what_is_deleted_are_lawful(
    whole: Scene, tmp_path: Path
) -> None:
    seen(whole, "campaigns", valid_from=ASKED - timedelta(days=3), valid_to=ASKED)
    seen(whole, "ads", ad_id="a7", ad_group_id="g7", campaign_id="c7", is_deleted=True)
    assert failing(graded(whole, tmp_path)) == set()


def test_entities_are_no_sign_that_reports_came(whole: Scene, tmp_path: Path) -> None:
    seen(whole, "accounts", account_id="1002")
    outcome = graded(whole, tmp_path, expected_accounts=[ACCOUNT, "1002"])
    assert failing(outcome) == {"accounts_present"}
    assert outcome.missing == {"1002": "no slice of the account"}


def test_another_organizations_entities_are_not_looked_at(whole: Scene, tmp_path: Path) -> None:
    seen(whole, "ads", org_id="other", ad_id="a7", ad_group_id="g7")
    assert failing(graded(whole, tmp_path)) == set()
    assert published.organizations(whole, PLATFORM) == [ORG]
    assert published.organizations(whole, "tiktok") == []


def test_large_tables_are_copied_in_pieces(
    whole: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_entities, "AT_ONCE", 2)
    for number in range(2, 6):
        seen(whole, "ads", ad_id=f"a{number}", ad_group_id="g7" if number == 5 else "g1")
    outcome = graded(whole, tmp_path)
    assert finding(outcome, "hierarchy_intact", _slice_of(whole, tmp_path, "ads")).observed == (
        "1 ads name none of the ad_groups, such as a5"
    )


def pieces(scene: Scene, table: str, between: Callable[[], None]) -> list[list[tuple[Any, ...]]]:
    """The living of a table, in pieces of which each is followed by something."""
    found = []
    manifest = scene.manifest()
    for piece in published_entities._pieces(scene, manifest, TABLES[table]):
        found.append(list(piece))
        between()
    return found


def ids(found: list[list[tuple[Any, ...]]], column: str = "ad_id") -> list[list[Any]]:
    position = TABLES["ads"].names().index(column)
    return [[row[position] for row in piece] for piece in found]


@pytest.fixture
def ads(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Six of them, of two accounts, in pieces of two."""
    monkeypatch.setattr(published_entities, "AT_ONCE", 2)
    for account, number in ((1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)):
        seen(scene, "ads", account_id=f"100{account}", ad_id=f"a{number}")
    return scene


def test_what_is_published_between_two_pieces_repeats_no_entity_and_leaves_none_out(
    ads: Scene,
) -> None:
    def publish() -> None:  # a new version of the first, and one before it
        where = ads.layout.published("ads")
        ads.con.execute(f"UPDATE {where} SET valid_to = now() WHERE ad_id IN ('a1', 'a0')"
                        " AND account_id = '1001'")  # fmt: skip
        for name in ("a0", "a1"):
            seen(ads, "ads", ad_id=name, valid_from=ASKED + timedelta(hours=1))

    found = pieces(ads, "ads", publish)
    assert ids(found) == [["a1", "a2"], ["a3", "a1"], ["a2", "a3"]]
    assert ids(found, "account_id") == [["1001", "1001"], ["1001", "1002"], ["1002", "1002"]]


def test_what_is_there_twice_is_in_one_piece_however_often(ads: Scene) -> None:
    for _ in range(4):
        seen(ads, "ads", ad_id="a2")
    found = pieces(ads, "ads", lambda: None)
    assert ids(found) == [["a1"], ["a2"] * 5, ["a3", "a1"], ["a2", "a3"]]


def test_what_has_no_id_is_read_too(ads: Scene) -> None:
    seen(ads, "ads", account_id="1002", ad_id=None)
    found = [name for piece in ids(pieces(ads, "ads", lambda: None)) for name in piece]
    assert found == ["a1", "a2", "a3", None, "a1", "a2", "a3"]


def _slice_of(scene: Scene, folder: Path, table: str) -> Any:
    (folder := folder / "again").mkdir()
    found = published.copy(scene, get(PLATFORM), ORG, Window(since=DAY1, until=DAY3), folder)
    [result] = [r for r in found.manifest.slices if r.slice.stream == table]
    assert [file.rows for file in result.staged] == [2, 2, 1]
    return result
