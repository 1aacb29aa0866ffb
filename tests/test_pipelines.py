"""What a pipeline hands on to its tasks."""

from __future__ import annotations

from airflow_provider_liftos.pipelines import PlatformPipeline


def test_the_audit_gets_what_blocks():
    pipeline = PlatformPipeline(
        "meta", block_on=("critical", "high"), minimum_score=80, severities={"data_fresh": "low"},
        baseline="stl", suites_folder="/etc/suites",
    )  # fmt: skip
    audit = pipeline.dag("graded").get_task("audit")
    assert (audit.block_on, audit.minimum_score) == (["critical", "high"], 80)
    assert audit.severities == {"data_fresh": "low"}
    assert (audit.baseline, audit.suites_folder) == ("stl", "/etc/suites")
    plain = PlatformPipeline("meta").dag("plain").get_task("audit")
    assert (plain.minimum_score, plain.severities) == (60.0, {})
