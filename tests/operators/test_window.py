"""Which days a run asks for, for every kind of run."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG, CronDataIntervalTimetable
from airflow.sdk.api.datamodels._generated import DagRunType

from airflow_provider_liftos.engine.plan import DateRange
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.operators.window import asked, catches_up

TEN = datetime(2026, 11, 20, 10, tzinfo=UTC)
NEXT_TEN = datetime(2026, 11, 21, 10, tzinfo=UTC)
DAY = date(2026, 11, 20)


def window(*, params=None, run_type=DagRunType.MANUAL, **context) -> DateRange:
    run = SimpleNamespace(run_type=run_type)
    return asked(
        {"params": params or {}, "dag_run": run, **context}, restatement_days=28, last_days=30
    )


def interval(start=TEN, end=NEXT_TEN):
    return {"data_interval_start": start, "data_interval_end": end}


def test_params_win_over_everything():
    params = {"since": "2026-01-01", "until": "2026-01-31"}
    found = window(
        params=params, run_type=DagRunType.SCHEDULED, partition_key="2026-02-02", **interval()
    )
    assert found == DateRange(since=date(2026, 1, 1), until=date(2026, 1, 31))
    assert window(params={"last_n_days": 7}, **interval()) == DateRange(last_days=7)
    assert window(params={"lifetime": True}, **interval()) == DateRange(lifetime=True)


def test_a_partition_is_one_day():
    assert window(partition_key="2026-04-04", partition_date=None) == DateRange(
        since=date(2026, 4, 4), until=date(2026, 4, 4)
    )
    assert window(partition_key="2026-04-04T00:00:00", **interval()).since == date(2026, 4, 4)


def test_a_scheduled_run_reads_its_day_and_the_restatement_window():
    assert window(run_type=DagRunType.SCHEDULED, **interval()) == DateRange(
        since=DAY, until=DAY, lookback_days=28
    )
    assert window(run_type="scheduled", **interval()).lookback_days == 28


def test_the_lookback_can_be_set():
    assert (
        window(
            params={"lookback_days": 0}, run_type=DagRunType.SCHEDULED, **interval()
        ).lookback_days
        == 0
    )
    assert (
        window(
            params={"lookback_days": 3}, run_type=DagRunType.BACKFILL, **interval()
        ).lookback_days
        == 3
    )


@pytest.mark.parametrize("run_type", [DagRunType.BACKFILL, "backfill"])
def test_a_backfill_names_its_own_days(run_type):
    assert window(run_type=run_type, **interval()) == DateRange(since=DAY, until=DAY)


def test_a_week_is_seven_days():
    week = interval(datetime(2026, 11, 9, 10, tzinfo=UTC), datetime(2026, 11, 16, 10, tzinfo=UTC))
    found = window(run_type=DagRunType.BACKFILL, **week)
    assert (found.since, found.until) == (date(2026, 11, 9), date(2026, 11, 15))


def test_an_hour_is_its_day():
    hour = interval(TEN, datetime(2026, 11, 20, 11, tzinfo=UTC))
    assert window(run_type=DagRunType.BACKFILL, **hour) == DateRange(since=DAY, until=DAY)


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        ("Europe/Berlin", "2026-11-19T23:00+00:00", "2026-11-20T23:00+00:00"),
        ("America/Los_Angeles", "2026-11-20T08:00+00:00", "2026-11-21T08:00+00:00"),
        ("Pacific/Auckland", "2026-11-19T11:00+00:00", "2026-11-20T11:00+00:00"),
    ],
)
def test_days_are_those_of_the_schedules_zone(zone, start, end):
    schedule = CronDataIntervalTimetable("0 0 * * *", timezone=zone)
    dag = DAG("midnight", schedule=schedule, start_date=datetime(2024, 1, 1))  # noqa: DTZ001
    moments = interval(datetime.fromisoformat(start), datetime.fromisoformat(end))
    found = window(run_type=DagRunType.BACKFILL, dag=dag, **moments)
    assert found == DateRange(since=DAY, until=DAY)


def test_without_an_interval_it_is_the_last_days():
    assert window() == DateRange(last_days=30)
    assert window(run_type=DagRunType.ASSET_TRIGGERED) == DateRange(last_days=30)
    assert window(run_type=DagRunType.SCHEDULED, **interval(TEN, TEN)) == DateRange(last_days=30)
    assert asked({}, restatement_days=28, last_days=5) == DateRange(last_days=5)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"since": "2026-01-01"}, "both since and until"),
        ({"until": "2026-01-01"}, "both since and until"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "ends .2026-01-01. before it begins"),
        (
            {"since": "yesterday", "until": "2026-01-01"},
            "since is 'yesterday'; write it as YYYY-MM-DD",
        ),
        ({"last_n_days": -1}, "at least 1"),
    ],
)
def test_senseless_params_are_refused_in_words(params, says):
    with pytest.raises(ConfigurationError, match=says):
        window(params=params)


def test_a_partition_key_that_is_no_day_is_refused():
    with pytest.raises(ConfigurationError, match="partition key is 'emea'"):
        window(partition_key="emea")


@pytest.mark.parametrize("run_type", [DagRunType.MANUAL, "manual"])
def test_a_run_by_hand_does_not_take_the_interval_airflow_infers(run_type):
    assert window(run_type=run_type, **interval()) == DateRange(last_days=30)


@pytest.mark.parametrize(
    ("context", "does"),
    [
        ({"run_type": DagRunType.SCHEDULED}, True),
        ({"run_type": DagRunType.ASSET_TRIGGERED}, True),
        ({"run_type": DagRunType.BACKFILL}, False),
        ({"run_type": DagRunType.MANUAL}, False),
        ({"run_type": DagRunType.SCHEDULED, "params": {"last_n_days": 3}}, False),
        ({"run_type": DagRunType.SCHEDULED, "partition_key": "2026-04-04"}, False),
    ],
)
def test_only_runs_that_nobody_gave_days_bring_more_than_their_days(context, does):
    run = SimpleNamespace(run_type=context.pop("run_type"))
    assert catches_up({"params": {}, "dag_run": run, **context}) is does
