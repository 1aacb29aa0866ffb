"""The route of the quality report: for whom, below which path, with which headers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.api_fastapi.core_api import security
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.operators.links import page_url
from airflow_provider_liftos.plugins.api import create_app
from tests.quality.test_report_page import DAG, FAILED, RUN, keep

BASE = "http://127.0.0.1:8080/air"


class Gate:
    """Airflow around our application: who is logged in, and which DAGs that user may see."""

    def __init__(self) -> None:
        self.user: str | None = "anna"
        self.visible = {DAG}
        self.asked: list[tuple[str, str | None]] = []
        app = create_app()
        app.dependency_overrides[security.get_user] = self._who
        above = FastAPI()
        above.mount("/air/liftos", app)
        self.http = TestClient(above, base_url="http://127.0.0.1:8080")

    def _who(self) -> SimpleNamespace:
        if self.user is None:
            raise HTTPException(401, "Not authenticated")
        return SimpleNamespace(name=self.user)

    def is_authorized_dag(self, *, method, access_entity=None, details=None, user=None) -> bool:
        self.asked.append((method, details.id))
        return details.id in self.visible


@pytest.fixture
def gate(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"{BASE}/")
    made = Gate()
    monkeypatch.setattr(security, "get_auth_manager", lambda: made)
    monkeypatch.setattr(security.DagModel, "get_team_name", lambda *_: None, raising=False)
    return made


def test_who_may_see_the_dag_sees_the_report(gate):
    keep(config.state_store(), FAILED)
    url = page_url("quality", DAG, RUN)
    assert url.startswith("/air/liftos/quality/liftos_meta/scheduled__")
    answer = gate.http.get(url)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "spend_not_negative" in answer.text
    assert f'href="{page_url("runs", DAG, RUN)}"' in answer.text
    assert gate.asked == [("GET", DAG)]


def test_its_headers_let_nothing_run_and_nobody_frame_it(gate):
    headers = gate.http.get(page_url("quality", DAG, RUN)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_who_may_not_see_the_dag_sees_nothing(gate):
    keep(config.state_store(), FAILED)
    gate.visible = set()
    answer = gate.http.get(page_url("quality", DAG, RUN))
    assert answer.status_code == 403
    assert "spend_not_negative" not in answer.text


def test_who_is_not_logged_in_sees_nothing(gate):
    gate.user = None
    assert gate.http.get(page_url("quality", DAG, RUN)).status_code == 401


def test_a_run_that_is_not_known_has_a_page_that_says_so(gate):
    answer = gate.http.get(page_url("quality", DAG, "<script>/x"))
    assert answer.status_code == 200
    assert "Nothing of this run has been judged yet" in answer.text
    assert "<script>" not in answer.text


API = "/air/liftos/api/quality"


def test_the_newest_run_can_be_read_by_programs(gate):
    store = config.state_store()
    keep(store, FAILED, run="earlier")
    keep(store, FAILED)
    keep(store, FAILED, run="of another", dag_id="other")
    answer = gate.http.get(f"{API}/{DAG}")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert (told["dag_id"], told["run_id"]) == (DAG, RUN)
    [one] = told["platforms"]
    assert (one["platform"], one["level"], len(one["trend"])) == ("meta", "excellent", 2)
    [rule] = one["rules"]
    assert (rule["rule"], rule["status"], rule["severity"]) == (
        "spend_not_negative", "failed", "critical",
    )  # fmt: skip
    [case] = rule["cases"]
    assert (case["account_id"], case["advice"]) == ("1001", "Look for a refund.")
    assert case["sample"] == [{"date": "2026-11-19", "spend": "-4.20"}]
    assert gate.asked == [("GET", DAG)]
    by_run = gate.http.get(page_url("quality", DAG, RUN).replace("liftos/", "liftos/api/", 1))
    assert by_run.json() == told


def test_programs_see_no_more_than_people(gate):
    keep(config.state_store(), FAILED)
    gate.visible = set()
    for path in (DAG, f"{DAG}/x"):
        answer = gate.http.get(f"{API}/{path}")
        assert answer.status_code == 403
        assert "spend_not_negative" not in answer.text


def test_what_was_not_judged_is_not_there(gate):
    for path in (DAG, f"{DAG}/no-such-run"):
        assert gate.http.get(f"{API}/{path}").status_code == 404


def test_the_rules_can_be_read_by_who_is_logged_in(gate):
    told = {one["rule"]: one for one in gate.http.get(f"{API}/rules").json()["rules"]}
    assert told["required_fields"]["weight"] == 3.0
    assert told["data_fresh"] | {"expected": "", "advice": ""} == {
        "rule": "data_fresh", "severity": "high", "weight": 2.0, "dimension": "timeliness",
        "judges": "aggregate", "expected": "", "advice": "",
    }  # fmt: skip
    assert {"no_sudden_drop", "clicks_within_impressions"} <= set(told)
    gate.user = None
    assert gate.http.get(f"{API}/rules").status_code == 401
