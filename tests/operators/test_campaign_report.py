"""Documents of what was published, as a task and as a command."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import jsonschema
import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_liftos.cli.campaign_report import campaign_report
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.operators.campaign_report import LiftosCampaignReportOperator
from tests.warehouses.staging import (
    ACCOUNT,
    DAY1,
    DAY2,
    NOON,
    Lab,
    manifest,
    performance_row,
    report_slice,
)

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "include/schemas/campaign_report.schema.json").read_text()
)
ARGUMENTS = {
    "platform": "meta", "account": None, "since": None, "until": None, "last_days": 7,
    "warehouse_conn_id": None, "output": None, "org": "default",
}  # fmt: skip


@pytest.fixture
def published(liftos, tmp_path):
    warehouse = open_warehouse(None, "default", liftos.store)
    rows = [performance_row(day, org_id="default", date_end=day) for day in (DAY1, DAY2)]
    done = Lab(tmp_path, warehouse).staged(report_slice(), rows)
    warehouse.load(manifest(done, org_id="default"))
    warehouse.publish(done, "load-1", "default", NOON)
    return liftos


def run(liftos, folder: Path, params: dict | None = None, **options) -> list[dict]:
    task = LiftosCampaignReportOperator(
        task_id="report", platform="meta", folder=str(folder), **options
    )
    return task.execute(liftos.context("report", params=params or {}))


def test_each_account_gets_a_valid_file(published, tmp_path):
    [done] = run(published, tmp_path / "out", last_days=2)
    assert done["path"].endswith("out/campaign_report_meta_1001_2026-11-01_2026-11-02.json")
    assert (done["account_id"], done["campaigns"], done["warnings"]) == (ACCOUNT, 1, 0)
    document = json.loads(Path(done["path"]).read_text())
    jsonschema.validate(document, SCHEMA)
    assert document["summary"]["total_spend"] == 10
    assert [p.name for p in (tmp_path / "out").iterdir()] == [Path(done["path"]).name]


def test_dates_come_from_the_task_or_else_from_the_run(published, tmp_path):
    day = str(DAY2)
    for options in ({"since": day, "until": day}, {"params": {"since": day, "until": day}}):
        [done] = run(published, tmp_path, **options)
        assert done["path"].endswith("_2026-11-02_2026-11-02.json")
    with pytest.raises(AirflowFailException, match="give both, as YYYY-MM-DD"):
        run(published, tmp_path, since=day)


def test_nothing_published_is_said(liftos, tmp_path):
    open_warehouse(None, "default", liftos.store).prepare()
    with pytest.raises(AirflowFailException, match="no campaign of meta is published"):
        run(liftos, tmp_path)


def test_the_command_prints_one_document_per_line(published, capsys, tmp_path):
    campaign_report(Namespace(**ARGUMENTS))
    [line] = capsys.readouterr().out.splitlines()
    jsonschema.validate(json.loads(line), SCHEMA)
    campaign_report(Namespace(**{**ARGUMENTS, "output": str(tmp_path / "here")}))
    assert Path(capsys.readouterr().out.strip()).exists()


def test_the_command_ends_with_one_line_when_it_cannot(published):
    with pytest.raises(SystemExit, match="nothing is published"):
        campaign_report(Namespace(**{**ARGUMENTS, "account": ["999"]}))
