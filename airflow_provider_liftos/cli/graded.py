"""How a run was graded, printed and as its report page, from a deployment under one folder."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_liftos.quality.findings import Status
from airflow_provider_liftos.quality.report import PlatformReport, read
from airflow_provider_liftos.quality.report_drawings import shown
from airflow_provider_liftos.quality.report_page import render
from airflow_provider_liftos.state.store import open_store


def graded(home: Path, dag_id: str, run_id: str) -> tuple[PlatformReport, ...]:
    """The run's grades, by platform."""
    return read(open_store(f"sqlite:///{home / 'state.db'}"), dag_id, run_id).platforms


def tell(home: Path, dag_id: str, run_id: str) -> Path:
    """Print score and rules of a run; its report page is written beside, and its path returned."""
    report = read(open_store(f"sqlite:///{home / 'state.db'}"), dag_id, run_id)
    for one in report.platforms:
        counts = [sum(rule.status is status for rule in one.rules) for status in _WORDS]
        rules = ", ".join(
            f"{count} {word}" for count, word in zip(counts, _WORDS.values(), strict=True) if count
        )
        score = "no score" if one.whole.score is None else shown(one.whole.score)
        print(f"{dag_id}: quality score {score} ({one.whole.level}); rules: {rules}", flush=True)
    page = home / f"quality-{dag_id}.html"
    page.write_text(render(report), encoding="utf-8")
    return page


_WORDS = {
    Status.PASSED: "hold",
    Status.FAILED: "do not",
    Status.NOT_EVALUATED: "not evaluated",
    Status.NOT_APPLICABLE: "do not apply",
}
