from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_provider_liftos.engine.manifest import SliceResult
from airflow_provider_liftos.model.report import Ids, Slice
from airflow_provider_liftos.quality.findings import Verdict
from tests.quality.scene import ASKED, CLEAN, DAY3, Scene, entity, part, stream


def emptied(scene: Scene, *beside: SliceResult, table: str = "campaigns") -> tuple[Verdict, str]:
    """Verdict and note on an empty snapshot of a table that is published, beside other slices."""
    key = {"campaigns": "campaign_id", "audiences": "audience_id"}.get(table)
    now = {"valid_from": ASKED, "is_deleted": False, **({key: "1"} if key else {})}
    scene._insert(scene.layout.published(table), [{**entity(table), **now}])
    if table == "accounts":
        scene.con.execute("UPDATE liftos.accounts SET currency = 'EUR', timezone = 'UTC'")
    result = scene.stage(stream(table), [])
    outcome = scene.audit(result, *beside)
    broken = [f for f in outcome.failed if f.fingerprint == result.slice.fingerprint()]
    return outcome.decisions[0].verdict, "; ".join(f"{f.rule}: {f.observed}" for f in broken)


GONE = "entities_go_on: no rows, but 1 are published"
HELD = "empty_is_not_zero: no rows, but 1 are published, and "


def test_the_last_entity_of_a_living_account_may_be_deleted(scene: Scene) -> None:
    ads = scene.stage(stream("ads"), [entity("ads", ad_id="a1")])
    groups = scene.stage(stream("ad_groups"), [entity("ad_groups", ad_group_id="g1")])
    found = emptied(scene, ads, groups, table="audiences")
    assert found == (Verdict.WARN, GONE)


def test_spend_of_older_days_is_no_sign_of_living_campaigns(scene: Scene) -> None:
    rows = [r for r in CLEAN if r["date"] < DAY3]
    assert emptied(scene, scene.stage(part(), rows)) == (Verdict.WARN, GONE)


def test_an_emptied_stream_that_others_contradict_blocks(tmp_path: Path) -> None:
    def found(*beside: tuple[Slice, list[dict[str, Any]]], table: str = "campaigns") -> Any:
        (folder := tmp_path / str(len(list(tmp_path.iterdir())))).mkdir()
        scene = Scene(folder)
        return emptied(scene, *(scene.stage(*one) for one in beside), table=table)

    ads = (stream("ads"), [entity("ads", ad_id="a1")])
    audiences = (stream("audiences"), [entity("audiences", audience_id="1")])
    assert found(ads) == (Verdict.QUARANTINE, f"{HELD}1 ads that need them are there")
    assert found((part(), CLEAN)) == (Verdict.QUARANTINE, f"{HELD}spend on {DAY3}")
    assert found(ads, table="accounts")[1] == f"{HELD}every account has a row of its own"
    assert found((stream("ads"), []), audiences) == (Verdict.WARN, GONE)
    scene = Scene(tmp_path)
    lost = emptied(scene, scene.failed(stream("ads")), scene.stage(*audiences))
    assert lost == (Verdict.QUARANTINE, f"{HELD}nobody knows of its ads")


def test_no_changes_are_no_sign_that_entities_are_gone(scene: Scene) -> None:
    now = {"valid_from": ASKED, "is_deleted": False}
    scene._insert(scene.layout.published("ads"), [{**entity("ads", ad_id="a1"), **now}])
    told = scene.stage(stream("ads").narrowed(ids=Ids(values=())), [])
    listed = scene.stage(stream("audiences"), [entity("audiences", audience_id="1")])
    assert scene.audit(told, listed).decisions[0].verdict is Verdict.PUBLISH
    assert emptied(scene, told, listed) == (Verdict.QUARANTINE, f"{HELD}nobody knows of its ads")
