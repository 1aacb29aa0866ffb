"""What is there of slices: asked for many at once, and told of each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.warehouses.contract import Layout, Restatement
from airflow_provider_liftos.warehouses.duckdb import CAPABILITIES
from airflow_provider_liftos.warehouses.inventory import of_days, spans
from airflow_provider_liftos.warehouses.job import Job
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    NOON,
    ORG,
    Lab,
    manifest,
    performance_row,
    report_slice,
    result,
)

LAYOUT = Layout(capabilities=CAPABILITIES, schema="s", audit_schema="a")


def a_job(account: str, **parts: Any) -> Job:
    part = report_slice(DAY1, DAY2, account=account, **parts)
    none: Any = None
    return Job(session=none, layout=LAYOUT, result=result(part), table="performance",
               load_id="load", org_id=ORG, now=NOON)  # fmt: skip


def test_accounts_of_the_same_days_are_found_by_one_condition():
    jobs = [a_job("a"), a_job("b"), a_job("c", level=Level.ACCOUNT)]
    both, other = of_days((job, (DAY1, DAY2)) for job in jobs)
    assert both.sql.endswith('("account_id" IN (?, ?))) AND ("date" BETWEEN ? AND ?)')
    assert both.params[-4:] == ("a", "b", DAY1, DAY2)
    assert other.params[-3:] == ("c", DAY1, DAY2)
    assert len(of_days([(jobs[0], (DAY1,)), (jobs[1], (DAY2,))])) == 2


def test_days_are_as_few_ranges_as_possible():
    days = [DAY1 + timedelta(days=n) for n in (0, 1, 3, 5, 6)]
    assert spans(days) == [(days[0], days[1]), (days[2], days[2]), (days[3], days[4])]
    assert spans([]) == []


@pytest.mark.parametrize("engine", ["duckdb", "postgres", "snowflake", "databricks"])
def test_of_slices_that_go_together_each_is_told_what_is_its_own(lab: Lab) -> None:
    def rows(account: str, *days: Any, spend: str) -> list[dict[str, Any]]:
        return [performance_row(day, account_id=account, spend=spend) for day in days]

    both = replace(report_slice(), account_id="a")
    newer = replace(report_slice(DAY2, DAY2), account_id="a")
    lab.publish(newer, rows("a", DAY2, spend="9"), load_id="newer", as_of=NOON + 60)
    first = replace(report_slice(DAY1, DAY1), account_id="c")
    lab.publish(first, rows("c", DAY1, spend="5"), load_id="first", as_of=NOON - 60)
    emptied = replace(report_slice(level=Level.ACCOUNT), account_id="c")
    lab.publish(emptied, [row | {"level": "account"} for row in rows("c", DAY1, DAY2, spend="3")],
                load_id="first", as_of=NOON - 60)  # fmt: skip
    cuts = [
        lab.staged(both, rows("a", DAY1, DAY2, spend="1"), load_id="now"),
        lab.staged(replace(both, account_id="b"), rows("b", DAY1, spend="2"), load_id="now"),
        lab.staged(first, rows("c", DAY1, spend="7"), load_id="now"),
        result(emptied),
    ]
    lab.warehouse.load(manifest(*cuts, load_id="now"))
    done = [one for _, one in lab.warehouse.publish_each(cuts, "now", ORG, lambda: NOON)]
    assert [(one.rows_before, one.rows_after) for one in done] == [(1, 2), (0, 1), (1, 1), (2, 0)]
    assert [one.dates_published for one in done] == [
        (DAY1,), (DAY1, DAY2), (DAY1,), (DAY1, DAY2)
    ]  # fmt: skip
    assert [one.dates_skipped for one in done] == [(DAY2,), (), (), ()]
    assert [one.restated[:1] for one in done[:3]] == [
        (), (), (Restatement(date=DAY1, metric="spend", old=5, new=7),)
    ]  # fmt: skip
    assert {(one.date, one.new) for one in done[3].restated if one.metric == "spend"} == {
        (DAY1, None), (DAY2, None)
    }  # fmt: skip
    assert lab.warehouse.query(
        "SELECT account_id, date, spend, load_id FROM liftos.performance ORDER BY 1, 2"
    ) == [("a", DAY1, 1, "now"), ("a", DAY2, 9, "newer"), ("b", DAY1, 2, "now"),
          ("c", DAY1, 7, "now")]  # fmt: skip
