"""Users' own expectations: files, schemas, Python; which rows they are about; how they are judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.quality.findings import Status, Verdict
from airflow_provider_liftos.quality.own import read
from tests.quality.scene import (
    CLEAN,
    DAY1,
    Scene,
    entity,
    failing,
    finding,
    part,
    row,
    stream,
)  # fmt: skip

SCHEMA = """
ad_data_schema = {
    "ad_id": {"type": "string", "required": True},
    "headline": {"type": "string", "required": True, "max_length": 20},
    "description": {"type": "string", "required": False},
    "platform": {"type": "string", "required": True, "allowed": ["facebook", "google"]},
    "impressions": {"type": "integer", "required": True, "min": 0},
    "clicks": {"type": "integer", "required": True, "min": 0},
    "ctr": {"type": "float", "required": False, "min": 0, "max": 1},
    "spend": {"type": "float", "required": True, "min": 0},
    "conversions": {"type": "integer", "required": False, "min": 0},
    "start_date": {"type": "date", "required": True},
    "end_date": {"type": "date", "required": True},
}
"""
IDS: dict[str, Any] = {"level": "ad", "campaign_id": "c1", "ad_group_id": "g1", "ad_id": "a1"}


def suite(*expectations: dict[str, Any], **parts: Any) -> str:
    return json.dumps({"name": "mine", "expectations": expectations, **parts})


def between(column: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": "expect_column_values_to_be_between", "kwargs": {"column": column, **kwargs}}


def written(folder: Path, text: str, name: str = "mine.json") -> Path:
    place = folder / "gx"
    place.mkdir(exist_ok=True)
    (place / name).write_text(text)
    return place


def judged(scene: Scene, text: str, *results: Any, name: str = "mine.json", **options: Any) -> Any:
    return scene.audit(*results, own=read(written(scene._folder, text, name)), **options)


def test_a_suite_in_json_or_yaml_finds_its_rows(scene: Scene) -> None:
    asked = between("spend", max_value=6) | {"severity": "critical"}
    rows = [*CLEAN, row(campaign="c3", spend="7", extra_metrics=None)]
    staged = scene.stage(part(), rows)
    outcome = judged(scene, suite(asked), staged)
    rule = "mine__column_values_to_be_between__spend"
    assert failing(outcome) == {rule}
    found = finding(outcome, rule)
    assert (found.severity, found.observed) == ("critical", "1 of 7 rows")
    assert found.sample[0]["campaign_id"] == "c3"
    assert "currency" not in found.sample[0]
    assert outcome.decisions[0].verdict is Verdict.QUARANTINE
    text = """
name: mine
expectations:
  - type: expect_column_max_to_be_between
    kwargs: {column: spend, max_value: 6}
    meta: {rule: dear, severity: low}
"""
    (scene._folder / "gx" / "mine.json").unlink()
    whole = judged(scene, text, staged, name="mine.yaml")
    assert (failing(whole), finding(whole, "dear").severity) == ({"dear"}, "low")


def test_severity_and_threshold_of_own_rules_can_be_changed(scene: Scene) -> None:
    asked = between("spend", max_value=6) | {"meta": {"rule": "dear", "severity": "critical"}}
    staged = scene.stage(part(), [*CLEAN, row(campaign="c3", spend="7", extra_metrics=None)])
    regraded = judged(scene, suite(asked), staged, severities={"dear": "low"})
    assert finding(regraded, "dear").severity == "low"
    tolerated = judged(scene, suite(asked), staged, thresholds={"dear": 0.2})
    assert finding(tolerated, "dear").status is Status.PASSED


@pytest.mark.parametrize(("scope", "applies"), [
    ({}, True), ({"platform": "meta"}, True), ({"platform": "tiktok"}, False),
    ({"report": "basic", "level": "campaign"}, True), ({"level": "ad"}, False),
    ({"meta": {"report": "countries"}}, False), ({"table": "campaigns"}, False),
])  # fmt: skip
def test_a_suite_says_which_rows_it_is_about(
    scene: Scene, scope: dict[str, Any], applies: bool
) -> None:
    [own] = read(written(scene._folder, suite(between("spend", min_value=0), **scope)))
    assert own.concerns("meta", "performance", scene.stage(part(), CLEAN)) is applies


def test_nothing_to_judge_and_what_raises_neither_pass_nor_fail(scene: Scene) -> None:
    asked = (
        between("video_views", min_value=0) | {"meta": {"rule": "nulls"}},
        {"type": "expect_column_max_to_be_between", "kwargs": {"column": "video_views", "max_value": 9},
         "meta": {"rule": "no_max"}},
        between("nowhere", min_value=0) | {"meta": {"rule": "missing", "severity": "critical"}},
        {"type": "expect_the_unknown", "kwargs": {}, "meta": {"rule": "unknown"}},
        {"type": "expect_ratio_to_agree", "kwargs": {"column_list": ["ctr", "clicks", "impressions"]},
         "meta": {"rule": "ratio"}},
    )  # fmt: skip
    outcome = judged(scene, suite(*asked), scene.stage(part(), CLEAN))
    assert {r: finding(outcome, r).status for r in ("nulls", "no_max", "missing", "unknown", "ratio")} == {
        "nulls": Status.NOT_APPLICABLE, "no_max": Status.NOT_EVALUATED,
        "missing": Status.NOT_EVALUATED, "unknown": Status.NOT_EVALUATED, "ratio": Status.PASSED,
    }  # fmt: skip
    assert outcome.score.value == 100.0
    assert outcome.decisions[0].verdict is Verdict.QUARANTINE
    empty = Scene(scene._folder)
    told = judged(empty, suite(*asked), empty.stage(part(), []))
    assert finding(told, "nulls").status is Status.NOT_APPLICABLE


@pytest.mark.parametrize(("kind", "kwargs", "status"), [
    ("column_sum_to_be_between", {"min_value": 0}, Status.NOT_APPLICABLE),
    ("column_distinct_values_to_be_in_set", {"value_set": [1]}, Status.NOT_APPLICABLE),
    ("column_most_common_value_to_be_in_set", {"value_set": [1]}, Status.NOT_APPLICABLE),
    ("column_unique_value_count_to_be_between", {"max_value": 5}, Status.NOT_APPLICABLE),
    ("column_values_to_be_null", {}, Status.PASSED),
    ("column_values_to_not_be_null", {}, Status.FAILED),
    ("column_to_exist", {}, Status.PASSED),
])  # fmt: skip
def test_a_column_of_nulls_passes_nothing_but_what_asks_for_nulls(
    scene: Scene, kind: str, kwargs: dict[str, Any], status: Status
) -> None:
    asked = {
        "type": f"expect_{kind}", "kwargs": {"column": "video_views", **kwargs},
        "meta": {"rule": "mine"},
    }  # fmt: skip
    outcome = judged(scene, suite(asked), scene.stage(part(), CLEAN))
    assert finding(outcome, "mine").status is status


@pytest.mark.parametrize(("column", "status"), [
    ("conversions_value", Status.PASSED), ("video_views", Status.NOT_APPLICABLE),
])  # fmt: skip
def test_a_ratio_of_nulls_neither_agrees_nor_disagrees(
    scene: Scene, column: str, status: Status
) -> None:
    rows = [*CLEAN, row(campaign="c3", conversions_value=None)]
    asked = {"type": "expect_ratio_to_agree", "meta": {"rule": "mine"},
             "kwargs": {"column_list": ["roas", column, "spend"]}}  # fmt: skip
    outcome = judged(scene, suite(asked), scene.stage(part(), rows))
    assert finding(outcome, "mine").status is status


def test_a_rule_with_the_name_of_another_is_refused(scene: Scene) -> None:
    """Two findings of one name would replace one another in the results."""
    asked = between("spend", min_value=0)
    for name in ("required_fields", "clicks_within_impressions", "no_sudden_drop"):
        named = suite(asked | {"meta": {"rule": name}})
        with pytest.raises(ConfigurationError, match=f"own rule '{name}' has the name of another"):
            judged(scene, named, scene.stage(part(), CLEAN))


@pytest.mark.parametrize("others", [{}, {"spend": {"type": "float"}}])
def test_a_field_that_is_nowhere_is_not_evaluated(scene: Scene, others: dict[str, Any]) -> None:
    schema = json.dumps({**others, "spent": {"type": "float", "required": True}})
    outcome = judged(scene, schema, scene.stage(part(), CLEAN))
    found = finding(outcome, "mine")
    assert found.status is Status.NOT_EVALUATED
    assert "spent" in found.observed


def ads(scene: Scene, **fault: Any) -> Any:
    return scene.stage(
        part(Level.AD, until=DAY1), [row() | IDS, row() | IDS | {"ad_id": "a2"} | fault]
    )


def test_a_schema_of_fields_is_judged_where_the_fields_are(scene: Scene) -> None:
    creative = entity("creatives", creative_id="x", title="A garden chair")
    staged = ads(scene), scene.stage(stream("creatives"), [creative])
    outcome = judged(scene, SCHEMA, *staged, name="schema.py", today=DAY1)
    statuses = [f.status for f in outcome.findings if f.rule == "ad_data_schema"]
    assert statuses == [Status.PASSED, Status.PASSED]


@pytest.mark.parametrize(("fault", "says"), [
    ({"conversions": "0.5"}, "conversions"), ({"spend": None}, "spend_required"),
    ({"clicks": 2000}, "ctr"),
])  # fmt: skip
def test_a_row_against_the_schema_is_found(scene: Scene, fault: dict[str, Any], says: str) -> None:
    parts = {"extra_metrics": None, "frequency": None, "reach": None, **fault}
    outcome = judged(scene, SCHEMA, ads(scene, **parts), name="schema.py", today=DAY1)
    found = finding(outcome, "ad_data_schema")
    assert (found.status, found.severity) == (Status.FAILED, "high")
    assert found.observed == f"{says}: 1 of 2 rows"


def test_texts_of_creatives_have_lengths(scene: Scene) -> None:
    creative = entity("creatives", creative_id="x", title="A garden chair of teak, for two")
    staged = scene.stage(stream("creatives"), [creative])
    outcome = judged(scene, SCHEMA, staged, name="schema.py")
    assert finding(outcome, "ad_data_schema").observed == "headline: 1 of 1 rows"


def test_python_may_define_expectations_of_its_own(scene: Scene) -> None:
    text = (
        "from great_expectations.expectations.core import ExpectColumnValuesToBeInSet\n"
        "class ExpectOurCurrency(ExpectColumnValuesToBeInSet):\n"
        "    value_set: list = ['USD']\n"
        "suite = {'name': 'py', 'expectations': [{'type': 'expect_our_currency',"
        " 'kwargs': {'column': 'currency', 'value_set': ['USD']}, 'meta': {'rule': 'dollars'}}]}\n"
    )
    outcome = judged(scene, text, scene.stage(part(), CLEAN), name="ours.py")
    assert failing(outcome) == {"dollars"}
    assert finding(outcome, "dollars").failing_share == 1.0


@pytest.mark.parametrize(("name", "text", "says"), [
    ("a.json", "{", "cannot be read"),
    ("a.json", "[1]", "neither a suite nor a schema"),
    ("a.yaml", "spend: 3", "neither a suite nor a schema"),
    ("a.py", "raise OSError('no disk')", "no disk"),
    ("a.json", suite(between("spend"), table="nowhere"), "no table 'nowhere'"),
    ("a.json", suite(between("spend") | {"meta": {"severity": "fatal"}}), "severity 'fatal'"),
    ("a.json", suite(between("spend"), between("spend")), "twice"),
    ("a.json", json.dumps({"spend": {"type": "money"}}), "type 'money'"),
])  # fmt: skip
def test_a_file_that_cannot_be_understood_is_named(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        read(written(tmp_path, text, name))
    assert "gx" in str(caught.value)


def test_the_example_can_be_read_once_it_is_copied(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "include" / "gx" / "_example.yaml"
    assert read(example.parent) == []
    suites = read(written(tmp_path, example.read_text(), "copied.yaml"))
    assert [s.name for s in suites] == ["ours", "ad_data_schema", "ad_data_schema"]
