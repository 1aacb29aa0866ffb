"""Of every rule: a fault that it alone finds and nobody without it, a run it passes, one it is not for.

The faults are single; what else may be said of a rule stands in the test of its module.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_liftos.engine.manifest import File
from airflow_provider_liftos.model.report import Level, Window
from airflow_provider_liftos.model.unified import TABLES
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.quality import anomalies, audit, published, rules, suites
from airflow_provider_liftos.quality.audit import AuditOutcome
from airflow_provider_liftos.quality.findings import Status
from tests.quality.scene import (
    ACCOUNT,
    CLEAN,
    DAY1,
    DAY2,
    DAY3,
    ORG,
    PLATFORM,
    TODAY,
    Scene,
    days,
    entity,
    failing,
    part,
    row,
    stream,
    totals,
)  # fmt: skip
from tests.quality.test_history import OLD, SETTLED, WEEK_AGO, like_days, others, settled, tracked
from tests.quality.test_row_rules import FAULTS, GOOGLE
from tests.quality.test_sums import AFTER, BEFORE, COUNTRY, by_country

Audited = Callable[[], AuditOutcome]
ROWS = dict(reversed(FAULTS))
"""The first fault of each rule over rows."""
BACK = [DAY1 - timedelta(days=n) for n in range(1, 43)]
MANY = ("c1", "c2", "c3", "c4", "c5", "c6")
"""Enough campaigns that one of them does not make the account unusual by its silence."""
QUIET: dict[str, Any] = {"impressions": 0, "clicks": 20, "spend": "0", "reach": 0,
                         "frequency": None, "extra_metrics": None}  # fmt: skip


def of_row(rule: str) -> Callable[[Scene], Audited]:
    return lambda scene: audited(
        scene, scene.stage(part(), [*CLEAN, row(campaign="c3") | ROWS[rule]])
    )


def audited(scene: Scene, *results: Any, **options: Any) -> Audited:
    return lambda: scene.audit(*results, **options)


def quality_score(scene: Scene) -> Audited:
    extra = json.dumps({"metrics.historical_quality_score": "11"})
    return audited(
        scene, scene.stage(part(), [r | {"extra_metrics": extra} for r in CLEAN]), **GOOGLE
    )


def rows_kept(scene: Scene) -> Audited:
    received = (File(path="rows.ndjson", rows=9, bytes=1, sha256=""),)
    return audited(scene, scene.stage(part(), CLEAN, raw=received, rejected=3))


def rows_loaded(scene: Scene) -> Audited:
    result = scene.stage(part(), CLEAN)
    scene.con.execute("DELETE FROM liftos_audit.performance WHERE campaign_id = 'c2'")
    return audited(scene, result)


def week_covered(scene: Scene) -> Audited:
    scene.published(*(day for day in WEEK_AGO if day != WEEK_AGO[2]))
    return audited(scene, scene.stage(part(), CLEAN))


def after_spend(*when: Any) -> Callable[[Scene], Audited]:
    def make(scene: Scene) -> Audited:
        scene.published(*when)
        return audited(scene, scene.stage(part(), []))

    return make


def delivery_goes_on(scene: Scene) -> Audited:
    scene.published(BEFORE, DAY2)
    return audited(scene, scene.stage(part(since=DAY1, until=DAY1), []))


def entities_go_on(scene: Scene) -> Audited:
    scene.living("c1")
    audiences = scene.stage(stream("audiences"), [entity("audiences", audience_id="1")])
    return audited(scene, scene.stage(stream(), []), audiences)


def family(scene: Scene, *groups: str) -> list[Any]:
    """An ad group, and ads that name these."""
    ads = [entity("ads", ad_id=f"a{n}", ad_group_id=name) for n, name in enumerate(groups)]
    known = scene.stage(stream("ad_groups"), [entity("ad_groups", ad_group_id="g1")])
    return [known, scene.stage(stream("ads"), ads)]


def levels(scene: Scene, rows: list[dict[str, Any]]) -> list[Any]:
    return [scene.stage(part(Level.ACCOUNT), totals(CLEAN)), scene.stage(part(), rows)]


def breakdowns(scene: Scene, share: float) -> list[Any]:
    countries = scene.stage(part(**COUNTRY), by_country(CLEAN, share))
    return [scene.stage(part(), CLEAN), countries]


def volume(scene: Scene) -> Audited:
    scene.published(*like_days(DAY3), rows=60)
    scene.published(*(DAY3 - timedelta(days=n) for n in range(1, 7)), rows=2)
    return audited(scene, scene.stage(part(since=DAY3), days(DAY3)))


def platforms_agree(scene: Scene) -> Audited:
    others(scene)
    dear = [r | {"spend": 1000} for r in totals(CLEAN)]
    return audited(scene, scene.stage(part(Level.ACCOUNT), dear))


def unusual(*rows: dict[str, Any], **options: Any) -> Callable[[Scene], Audited]:
    """These rows after weeks of days that are all alike, in place of the day's own."""

    def make(scene: Scene) -> Audited:
        lived(scene, *MANY)
        keys = {(r["date"], r["campaign_id"]) for r in rows}
        usual = days(DAY1, DAY2, DAY3, campaigns=MANY)
        kept = [r for r in usual if (r["date"], r["campaign_id"]) not in keys]
        there = [r for r in rows if r["impressions"] is not None]
        return audited(scene, scene.stage(part(), [*kept, *there]), **options)

    return make


def lived(scene: Scene, *campaigns: str) -> None:
    """Weeks of delivery that people see."""
    names = ", ".join(f'"{name}"' for name in row() if name != "unreadable")
    scene.seen(*days(BACK[0], campaigns=campaigns))
    scene.con.execute(
        f"INSERT INTO liftos.performance ({names}) SELECT * EXCLUDE (n) REPLACE"
        f" (date - n AS date, date_end - n AS date_end) FROM (SELECT {names} FROM"
        f" liftos.performance), (SELECT unnest(range(1, {len(BACK)}))::INTEGER AS n)"
    )
    scene.published(*BACK, rows=len(campaigns), spend=5.0 * len(campaigns), conversions=20)


FOUND: dict[str, Callable[[Scene], Audited]] = {
    **{rule: of_row(rule) for rule in ROWS},
    "quality_score_in_range": quality_score,
    "slice_complete": lambda s: audited(s, s.stage(part(), CLEAN), s.failed(part(account="1002"))),
    "rows_kept": rows_kept,
    "rows_loaded": rows_loaded,
    "key_unique": lambda s: audited(s, s.stage(part(), [*CLEAN, CLEAN[0]])),
    "data_fresh": lambda s: audited(s, s.stage(part(), days(DAY1, DAY2)), today=AFTER),
    "week_covered": week_covered,
    "expected_days_present": lambda s: audited(s, s.stage(part(), days(DAY1, DAY3))),
    "empty_is_not_zero": after_spend(DAY2),
    "account_is_heard": after_spend(BEFORE),
    "delivery_goes_on": delivery_goes_on,
    "entities_go_on": entities_go_on,
    "hierarchy_intact": lambda s: audited(s, *family(s, "g1", "g7")),
    "levels_add_up": lambda s: audited(s, *levels(s, CLEAN[:-1])),
    "breakdowns_add_up": lambda s: audited(s, *breakdowns(s, 0.6)),
    "volume_as_usual": volume,
    "settled_days_stay": lambda s: audited(s, settled(s, spend=10.2)),
    "conversions_go_on": lambda s: audited(s, tracked(s, before=20, now="0")),
    "accounts_present": lambda s: audited(
        s, s.stage(part(), CLEAN), expected_accounts=[ACCOUNT, "1002"]
    ),
    "platforms_agree": platforms_agree,
    "no_sudden_jump": unusual(
        row(DAY2, "c1", impressions=3000, clicks=30, spend="15", frequency=None, extra_metrics=None)
    ),
    "no_sudden_drop": unusual(
        row(
            DAY2,
            "c1",
            impressions=300,
            clicks=3,
            spend="1.5",
            reach=100,
            frequency=None,
            extra_metrics=None,
        )
    ),
    "no_gap_in_delivery": unusual(row(DAY2, "c1", impressions=None)),
    "clicks_have_impressions": unusual(row(DAY2, "c9", **QUIET), **GOOGLE),
}
BESIDE = {"rows_in_slice": {"rows_loaded"}}
"""Sums look at the slice's own days, and so miss a row that is of another."""


def catalogue() -> set[str]:
    relations = [r.name for table in TABLES.values() for r in table.relations]
    listed = (*rules.ROW_RULES, *rules.SLICE_RULES, *rules.ACCOUNT_RULES, *anomalies.RULES)
    return {*relations, *(rule.name for rule in listed)}


def disable(monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    """As if the rule had never been written down."""

    def others(of: Any) -> tuple[Any, ...]:
        return tuple(one for one in of if one.name != rule)

    relations = audit.relation_rules
    monkeypatch.setattr(audit, "ROW_RULES", others(audit.ROW_RULES))
    monkeypatch.setattr(audit, "relation_rules", lambda table: others(relations(table)))
    monkeypatch.setattr(anomalies, "RULES", others(anomalies.RULES))
    for name in ("SLICE_LIMITS", "ACCOUNT_LIMITS"):
        limits = {one: limit for one, limit in getattr(suites, name).items() if one != rule}
        monkeypatch.setattr(suites, name, limits)


def test_every_rule_has_a_fault_of_its_own() -> None:
    assert set(FOUND) == catalogue()


@pytest.mark.parametrize("rule", FOUND)
def test_a_fault_is_found_by_its_rule_alone_and_by_nobody_without_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    look = FOUND[rule](scene)
    assert failing(look()) - BESIDE.get(rule, set()) == {rule}
    disable(monkeypatch, rule)
    outcome = look()
    assert failing(outcome) - BESIDE.get(rule, set()) == set()
    assert rule not in {finding.rule for finding in outcome.findings}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Scene]:
    return lambda: Scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def clean(scenes: Callable[[], Scene]) -> dict[str, set[Status]]:
    """A run with something to judge for every rule, and nothing to object to."""
    scene = scenes()
    lived(scene, "c1", "c2")
    others(scene)
    scene.published(OLD, spend=10, conversions=2)
    scene.published(*WEEK_AGO, level="account")
    extra = json.dumps({"metrics.historical_quality_score": "7", "metrics.ctr": "0.01"})
    rows = [r | {"extra_metrics": extra} for r in CLEAN]
    results = [
        *levels(scene, rows),
        scene.stage(part(**COUNTRY), by_country(rows, 0.5)),
        scene.stage(part(**SETTLED), [r | {"extra_metrics": extra} for r in days(OLD)]),
        *family(scene, "g1"),
    ]
    return statuses(scene.audit(*results, **GOOGLE))


@pytest.fixture(scope="module")
def nothing(scenes: Callable[[], Scene]) -> dict[str, set[Status]]:
    """A first answer, without rows, of a report that nobody knows."""
    scene = scenes()
    return statuses(scene.audit(scene.stage(part(report="mine"), [])))


@pytest.fixture(scope="module")
def seen(
    scenes: Callable[[], Scene], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, set[Status]]:
    """What is published, of which nothing is known of how it came."""
    scene = scenes()
    scene.seen(*CLEAN)
    scene.published(DAY1, DAY2, DAY3)
    window, folder = Window(since=DAY1, until=DAY3), tmp_path_factory.mktemp("copy")
    found = published.copy(scene, get(PLATFORM), ORG, window, folder)
    return statuses(audit.audit(
        found.manifest, warehouse=scene, seen=found.days, today=TODAY, expected_accounts=[ACCOUNT]
    ))  # fmt: skip


def statuses(outcome: AuditOutcome) -> dict[str, set[Status]]:
    found: dict[str, set[Status]] = {}
    for finding in outcome.findings:
        found.setdefault(finding.rule, set()).add(finding.status)
    return found


ONLY_OBJECT = {"account_is_heard", "delivery_goes_on", "entities_go_on"}
"""Of what came there is nothing to say by them: they are not for it, and so never pass."""
OF_EXTRACTION = {"slice_complete", "rows_kept", "rows_loaded"}


@pytest.mark.parametrize("rule", FOUND)
def test_a_rule_passes_a_clean_run(clean: dict[str, set[Status]], rule: str) -> None:
    passed = Status.NOT_APPLICABLE if rule in ONLY_OBJECT else Status.PASSED
    assert passed in clean[rule]
    assert clean[rule] <= {Status.PASSED, Status.NOT_APPLICABLE}


@pytest.mark.parametrize("rule", FOUND)
def test_a_rule_says_nothing_where_it_is_not_for_the_run(
    nothing: dict[str, set[Status]], seen: dict[str, set[Status]], rule: str
) -> None:
    found = seen if rule in OF_EXTRACTION else nothing
    assert found.get(rule, {Status.NOT_APPLICABLE}) == {Status.NOT_APPLICABLE}
