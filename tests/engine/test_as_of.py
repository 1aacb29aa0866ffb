"""The moment a slice's data are of: when the request that brought them went out, after all waits.

Noted earlier it would be taken for older than it is, and give way to what was asked for before it;
noted later, the other way round.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.report import Slice
from airflow_provider_liftos.platforms import get, names
from airflow_provider_liftos.sandbox import Sandbox
from tests.engine.harness import Harness, basic, last
from tests.engine.totals import expected, staged

BEGINS = {"meta": "/insights", "google_ads": "searchStream", "tiktok": "report/task/create"}
"""What asks for the rows of a report, which are of that moment."""


def asked(harness: Harness, contains: str) -> list[float]:
    """When requests came in, in epoch seconds."""
    entries = [e for e in harness.journal() if contains.lower() in e["path"].lower()]
    return [datetime.fromisoformat(e["time"]).timestamp() for e in entries]


def of(harness: Harness, cuts: list[Slice]) -> list[float]:
    done = harness.normalize(harness.extract(cuts))
    assert staged(done) == expected(harness.platform, harness.sandbox, done)
    return sorted(cut.as_of for cut in done.slices)


@pytest.fixture(params=names())
def each(request: Any, tmp_path: Path, own_sandbox: Sandbox) -> Any:
    made = Harness(sandbox=own_sandbox, folder=tmp_path, platform=get(request.param))
    made.how = replace(made.how, fetch_threads=1)
    yield made
    made.close()


def test_it_is_when_the_request_went_out_not_when_it_queued_for_a_limit(each: Harness) -> None:
    option = "requests_per_second" if each.platform.name == "tiktok" else "requests_per_minute"
    each.options = {option: 1.0}
    moments = of(each, each.slices([basic(platform=each.platform)], last(2), accounts=(0, 1)))
    began = asked(each, BEGINS[each.platform.name])[:2]
    assert began[1] > began[0]
    assert moments == pytest.approx(began, rel=0, abs=0.01)


def test_it_is_when_the_attempt_went_out_that_was_answered(each: Harness) -> None:
    each.sandbox.faults.add(platform=each.platform.name, kind="http_500", times=2)
    [moment] = of(each, each.slices([basic(platform=each.platform)], last(2)))
    answered = [entry for entry in each.journal() if entry["fault"] is None]
    assert len(each.journal()) == len(answered) + 2
    began = [e for e in answered if BEGINS[each.platform.name].lower() in e["path"].lower()]
    when = datetime.fromisoformat(began[0]["time"]).timestamp()
    assert moment == pytest.approx(when, rel=0, abs=0.01)
