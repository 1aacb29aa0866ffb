"""Limits amid a read: the slot is let go once, and a slice that no limit lets pass gets smaller."""

from __future__ import annotations

import pytest

from airflow_provider_liftos.engine.extraction import Options, Waiting
from airflow_provider_liftos.model.wire import Request, Response
from tests.engine.harness import Harness, basic, last


class Strict:
    """Passes requests on, and lets a limit be reached after every so many pages in a row."""

    def __init__(self, harness: Harness, *, after: int, regain: float) -> None:
        self._harness, self._sender = harness, harness.sender
        self._after, self._regain = after, regain
        self.pages = 0

    def send(self, base_url: str, request: Request) -> Response:
        response = self._sender.send(base_url, request)
        came = request.method == "GET" and request.path.endswith("/insights")
        self.pages += came and response.status == 200
        if came and response.status == 200 and self.pages % self._after == 0:
            self._harness.sandbox.faults.add(
                kind="rate_limit", match="GET .*/insights", times=1, regain=self._regain
            )
        return response

    def __getattr__(self, name: str) -> object:
        return getattr(self._sender, name)


def test_a_wait_amid_a_read_is_for_another_stint_and_for_the_slot_the_next_time(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "sender", Strict(harness, after=2, regain=300))
    harness.how = Options(page_size=20)
    cuts = harness.slices([basic()], last(4))
    outcome = harness.extraction().advance(cuts)
    assert isinstance(outcome, Waiting)
    assert outcome.until == pytest.approx(harness.clock.now() + 300, abs=60)
    (point,) = harness.points()
    assert (point.state, point.restarts, point.files) == ("ready", 1, ())
    harness.pass_time(301)
    harness.run_to_end(cuts)
    assert harness.waits == []
    assert harness.published_equals_truth()
    assert len(harness.submissions()) == 1
    staged = list((harness.folder / "staging").rglob("raw/**/*.zst"))
    assert [str(path) for path in staged] == [f.path for f in harness.points()[0].files]


def test_a_slice_that_a_limit_breaks_off_again_and_again_gets_smaller(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts = harness.slices([basic()], last(4))
    rows = harness.extract(cuts).slices[0].rows
    harness.scope = "dag/run2/extract/-1"
    harness.how = Options(page_size=rows // 3)
    monkeypatch.setattr(harness, "sender", Strict(harness, after=3, regain=1200))
    done = harness.run_to_end(cuts, "load2")
    assert len(done.slices) > 1
    assert not done.failed
    assert harness.published_equals_truth()
