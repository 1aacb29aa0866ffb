from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.quality import gx, suites
from airflow_provider_liftos.quality.findings import Finding, Status, Verdict
from airflow_provider_liftos.quality.policy import Policy, decide
from airflow_provider_liftos.quality.score import Score, score
from tests.quality.scene import (
    CLEAN,
    DAY1,
    DAY2,
    DAY3,
    Scene,
    days,
    failing,
    finding,
    part,
    row,
    stream,
)

FINE = Score(value=100.0, level="excellent")


def said(status: Status, severity: str = "critical", rule: str = "some_rule") -> Finding:
    return Finding(platform="meta", account_id="1001", rule=rule, dimension="validity",
                   severity=severity, status=status, observed="seen")  # fmt: skip


@pytest.mark.parametrize(("finding_", "policy", "verdict"), [
    (said(Status.PASSED), Policy(), Verdict.PUBLISH),
    (said(Status.NOT_APPLICABLE), Policy(), Verdict.PUBLISH),
    (said(Status.FAILED), Policy(), Verdict.QUARANTINE),
    (said(Status.FAILED, "high"), Policy(), Verdict.WARN),
    (said(Status.FAILED, "high"), Policy(block_on=frozenset({"critical", "high"})), Verdict.QUARANTINE),
    (said(Status.FAILED, "low"), Policy(), Verdict.WARN),
    (said(Status.FAILED), Policy(block_on=frozenset()), Verdict.WARN),
    (said(Status.NOT_EVALUATED), Policy(), Verdict.QUARANTINE),
    (said(Status.NOT_EVALUATED), Policy(block_on=frozenset()), Verdict.QUARANTINE),
    (said(Status.NOT_EVALUATED, "high"), Policy(block_on=frozenset({"high"})), Verdict.WARN),
])  # fmt: skip
def test_the_policy_says_what_blocks(
    scene: Scene, finding_: Finding, policy: Policy, verdict: Verdict
) -> None:
    decision = decide(scene.stage(part(), CLEAN), [finding_], FINE, policy)
    assert decision.verdict is verdict
    assert bool(decision.reasons) is (verdict is not Verdict.PUBLISH)


def test_a_failed_slice_is_blocked_whatever_the_policy(scene: Scene) -> None:
    lenient = Policy(block_on=frozenset(), minimum_score=0)
    outcome = scene.audit(scene.failed(part()), policy=lenient)
    assert outcome.decisions[0].verdict is Verdict.QUARANTINE


def test_an_account_below_the_minimum_is_blocked_and_others_are_not(scene: Scene) -> None:
    bad = [row(day, c, account_id="1002", spend="-1", link_clicks=-1, extra_metrics=None)
           for day in (DAY1, DAY2, DAY3) for c in "ab"]  # fmt: skip
    results = scene.stage(part(), CLEAN), scene.stage(part(account="1002"), bad)
    outcome = scene.audit(*results, policy=Policy(minimum_score=95))
    assert [d.verdict for d in outcome.decisions] == [Verdict.PUBLISH, Verdict.QUARANTINE]
    assert "below 95" in outcome.decisions[1].reasons[-1]
    [decision] = outcome.quarantined
    assert decision.account_id == "1002"


def test_a_raising_expectation_is_not_evaluated(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = suites.number_suite

    def broken(name: str, *args: Any) -> dict[str, Any]:
        suite = real(name, *args)
        for expectation in suite["expectations"]:
            if expectation["meta"]["rule"] in {"key_unique", "data_fresh"}:
                expectation["kwargs"]["column"] = "nowhere"
        return suite

    monkeypatch.setattr(suites, "number_suite", broken)
    outcome = scene.audit(scene.stage(part(), CLEAN))
    assert finding(outcome, "key_unique").status is Status.NOT_EVALUATED
    assert finding(outcome, "data_fresh").status is Status.NOT_EVALUATED
    assert not failing(outcome)
    assert outcome.score.value == 100.0
    assert outcome.decisions[0].verdict is Verdict.QUARANTINE
    assert [r.split(" ")[0] for r in outcome.decisions[0].reasons] == ["key_unique"]


def test_a_table_nobody_knows_is_not_evaluated_and_blocked(scene: Scene) -> None:
    outcome = scene.audit(scene.stage(stream(), []), table_of=lambda _: "mystery")
    assert outcome.decisions[0].verdict is Verdict.QUARANTINE
    assert "mystery" in outcome.decisions[0].reasons[0]


def test_regrading_an_unknown_rule_or_severity_is_refused(scene: Scene) -> None:
    with pytest.raises(ConfigurationError, match="no rule 'nope'"):
        scene.audit(scene.stage(part(), CLEAN), severities={"nope": "low"})
    with pytest.raises(ConfigurationError, match="severities are"):
        scene.audit(scene.stage(part(), CLEAN), severities={"key_unique": "fatal"})


def test_a_lawful_oddity_can_be_regraded(scene: Scene) -> None:
    rows = [*CLEAN, row(campaign="c3", impressions=0, reach=0, extra_metrics=None)]
    outcome = scene.audit(
        scene.stage(part(), rows), severities={"clicks_within_impressions": "medium"}
    )
    assert finding(outcome, "clicks_within_impressions").severity == "medium"
    assert outcome.decisions[0].verdict is Verdict.WARN


def test_a_run_without_slices_has_no_score(scene: Scene) -> None:
    outcome = scene.audit(expected_accounts=[])
    assert (outcome.score, outcome.decisions) == (score([]), ())
    assert outcome.score.level == "unknown"


def test_the_outcome_travels_as_json(scene: Scene) -> None:
    outcome = scene.audit(scene.stage(part(), CLEAN), scene.failed(part(account="1002")))
    told = json.loads(json.dumps(outcome.to_json()))
    assert [d["verdict"] for d in told["decisions"]] == ["publish", "quarantine"]
    assert told["accounts"]["1001"] == {"score": 100.0, "level": "excellent"}


def test_an_audit_opens_no_socket_and_prints_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    gx._library()
    capfd.readouterr()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an audit opened a socket")

    result = scene.stage(part(), days(DAY1, DAY3))
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    gx._definition.cache_clear()
    scene.audit(result)
    assert capfd.readouterr() == ("", "")


def test_importing_the_audit_costs_no_heavy_library() -> None:
    heavy = (
        "{'great_expectations', 'pandas', 'numpy', 'duckdb', 'pyarrow', 'airflow', 'sqlalchemy'}"
    )
    code = f"import sys, airflow_provider_liftos.quality.audit; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
