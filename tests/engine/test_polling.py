from __future__ import annotations

import time

import pytest

from airflow_provider_liftos.engine.checkpoint import FETCHED, READY, SUBMITTED, Checkpoint
from airflow_provider_liftos.engine.extraction import Extraction
from airflow_provider_liftos.model.errors import TooMuchData
from tests.engine.harness import Harness, basic, last


@pytest.mark.parametrize(
    ("state", "report_id", "expected"),
    [(SUBMITTED, "77", READY), (FETCHED, "77", FETCHED), (SUBMITTED, "78", SUBMITTED)],
)
def test_a_late_poll_writes_nothing_over_what_came_meanwhile(
    harness: Harness, state: str, report_id: str, expected: str
) -> None:
    extraction = harness.extraction()
    (point,) = extraction.checkpoints.add(harness.slices([basic()], last(1)))
    point.state, point.report_id = SUBMITTED, "77"
    extraction.checkpoints.save(point)
    heard = extraction.checkpoints.load()[point.fingerprint]
    heard.state = READY
    point.state, point.report_id, point.attempts = state, report_id, 3
    extraction.checkpoints.save(point)
    extraction.checkpoints.note(heard)
    (found,) = harness.points()
    assert (found.state, found.report_id, found.attempts) == (expected, report_id, 3)


def test_slices_that_are_split_side_by_side_disturb_no_other(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_through(self: Extraction, _point: Checkpoint) -> bool:
        return not all(time.sleep(0.001) is None for _ in self._points.values())

    def too_much(_self: Extraction, point: Checkpoint) -> None:
        time.sleep(0.002 * point.position)
        raise TooMuchData(point.slice.label)

    monkeypatch.setattr(Extraction, "_hopeless", looked_through)
    monkeypatch.setattr(Extraction, "_fetch", too_much)
    extraction = harness.extraction()
    extraction.checkpoints.add(harness.slices([basic()], last(24), slice_days=2))
    extraction._points = extraction.checkpoints.load()
    extraction._fetch_all(list(extraction._points.values()))
    assert sorted(p.state for p in harness.points()) == ["planned"] * 24 + ["split"] * 12
