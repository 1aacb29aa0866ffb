"""A platform's whole way from plan to publish, as one object to put into a DAG."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param, TaskGroup, TriggerRule

from airflow_provider_liftos.hooks import config, configuration, registry
from airflow_provider_liftos.hooks.report_types import reports_for
from airflow_provider_liftos.model.report import Report
from airflow_provider_liftos.operators.assets import platform_asset
from airflow_provider_liftos.operators.extract import LiftosExtractOperator
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.normalize import LiftosNormalizeOperator
from airflow_provider_liftos.operators.plan import LiftosPlanOperator
from airflow_provider_liftos.operators.publish import LiftosPublishOperator
from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from airflow_provider_liftos.platforms import get

_LOG = logging.getLogger(__name__)

DAILY = "0 10 * * *"
"""10:00 UTC: yesterday is over from Sydney to Honolulu."""


class PlatformPipeline:
    """Plan, extract, normalize, load, audit and publish one platform.

    ``reports`` and ``streams`` are what every run brings unless its params say otherwise;
    None means the usual ones of the platform, and all of its streams. A run without a window takes
    ``last_days`` days. ``block_on``, ``minimum_score``, ``on_block`` (quarantine or
    fail), ``severities`` and ``thresholds`` of rules by name, ``baseline`` (median or stl) and
    ``suites_folder`` are the audit's.
    ``defaults`` are values of a run's params for when nobody gives others.

    Scheduled runs also bring days that are missing behind theirs. ``history_since`` names the first
    day that there should be (none: the first that was published), ``history_days`` how much of
    history, or of old holes, one run adds to each report.
    """

    def __init__(
        self,
        platform: str,
        *,
        conn_id: str | None = None,
        warehouse_conn_id: str | None = None,
        reports: Sequence[Report | str | Mapping[str, Any]] | None = None,
        streams: Sequence[str] | None = None,
        accounts: Sequence[str] = (),
        last_days: int = 30,
        slice_days: int | None = None,
        on_partial: str | None = None,
        block_on: Sequence[str] = ("critical",),
        minimum_score: float = 60.0,
        on_block: str = "quarantine",
        severities: Mapping[str, str] | None = None,
        thresholds: Mapping[str, float] | None = None,
        baseline: str | None = None,
        suites_folder: str | None = None,
        deferrable: bool = True,
        defaults: Mapping[str, Any] | None = None,
        history_since: date | str | None = None,
        history_days: int = 30,
    ) -> None:
        config.refuse_at_parse(duckdb=not (warehouse_conn_id or config.text("warehouse_conn_id")))
        self.platform = get(platform)
        self.conn_id = conn_id or registry.default_conn_id(platform)
        self.warehouse_conn_id = warehouse_conn_id
        self.reports = list(self.platform.usual_reports if reports is None else reports)
        self.streams = [s.name for s in self.platform.streams] if streams is None else list(streams)
        self.accounts = list(accounts)
        self.last_days = last_days
        self.slice_days = slice_days
        self.on_partial = on_partial
        self.block_on = list(block_on)
        self.minimum_score = minimum_score
        self.on_block = on_block
        self.severities = dict(severities or {})
        self.thresholds = dict(thresholds or {})
        self.baseline = baseline
        self.suites_folder = suites_folder
        self.deferrable = deferrable
        self.defaults = dict(defaults or {})
        self.history_since = history_since
        self.history_days = history_days

    @classmethod
    def from_yaml(cls, source: str | Path, **options: Any) -> dict[str, PlatformPipeline]:
        """A pipeline for each platform that a configuration names; ``source`` is a path or text.

        ``options`` are those of the constructor and win over the file. What the file asks for and a
        platform does not offer is logged. Its secrets are not looked at: of them ``airflow liftos
        configure`` makes connections.

        Raises:
            ConfigurationError: the file has a key or a value that does not exist; the message names
                it and the nearest right one.
        """
        found = configuration.read(source)
        pipelines = {}
        for section in found.sections:
            name, extraction = section.platform.name, found.extraction
            for line in section.notes:
                _LOG.warning(line)
            given = {
                "conn_id": section.conn_id,
                "accounts": section.accounts,
                "reports": reports_for(section.platform, extraction, _LOG.warning),
                "last_days": extraction.last_days,
                "defaults": extraction.params,
            }
            pipelines[name] = cls(name, **{**given, **options})
        return pipelines

    @property
    def asset(self) -> Asset:
        """The published tables of this platform; its events carry rows, window and score."""
        return platform_asset(self.platform.name)

    def params(self) -> dict[str, Param]:
        """What a person may set when starting a run by hand."""
        day: dict[str, Any] = {"type": ["string", "null"], "format": "date"}
        params = {
            "since": Param(None, title="First day", description="In the accounts' zones.", **day),
            "until": Param(None, title="Last day", description="Included.", **day),
            "last_n_days": Param(None, type=["integer", "null"], minimum=1, title="Last N days"),
            "lifetime": Param(False, type="boolean", title="Everything the platform keeps"),
            "lookback_days": Param(
                None, type=["integer", "null"], minimum=0, title="Days to read again",
                description=f"Empty: {config.restatement_days(self.platform)} in scheduled"
                " runs, none in backfills."),
            "accounts": Param(
                None, type=["array", "null"], items={"type": "string"}, title="Only accounts"),
            "reports": Param(
                None, type=["array", "null"], title="Only reports",
                description="Names such as basic:ad, or objects with the parts of a report."),
            "streams": Param(
                None, type=["array", "null"], items={"type": "string"}, title="Only streams",
                description=f"Of {', '.join(s.name for s in self.platform.streams)}."),
        }  # fmt: skip
        for name, value in self.defaults.items():
            params[name] = Param(value, **params[name].schema)
        return params

    def dag(self, dag_id: str | None = None, *, schedule: Any = DAILY, **kwargs: Any) -> DAG:
        """A DAG around the pipeline: daily, no catch-up, one run at a time."""
        if isinstance(schedule, str):
            schedule = CronDataIntervalTimetable(schedule, timezone="UTC")
        kwargs.setdefault("default_args", {"retry_delay": timedelta(seconds=30)})
        with DAG(
            dag_id or f"liftos_{self.platform.name}",
            description=f"{self.platform.title} into the warehouse, checked before publishing",
            schedule=schedule,
            start_date=datetime(2024, 1, 1),  # noqa: DTZ001  read in the timetable's zone
            catchup=False,
            max_active_runs=kwargs.pop("max_active_runs", 1),
            params=self.params(),
            tags=["liftos", self.platform.name],
            doc_md=_DOC.format(title=self.platform.title),
            **kwargs,
        ) as dag:
            self.task_group()
        return dag

    def task_group(self, group_id: str | None = None) -> TaskGroup:
        """The tasks, for use in a DAG of your own."""
        common: dict[str, Any] = {"platform": self.platform.name, "conn_id": self.conn_id}
        target: dict[str, Any] = {"warehouse_conn_id": self.warehouse_conn_id}
        with TaskGroup(group_id or self.platform.name, prefix_group_id=bool(group_id)) as group:
            plan = LiftosPlanOperator(
                task_id="plan", accounts=self.accounts, last_days=self.last_days, retries=2,
                reports=self.reports, history_since=self.history_since,
                history_days=self.history_days, doc_md=LiftosPlanOperator.__doc__, **target,
                **common,
            )  # fmt: skip
            extract = LiftosExtractOperator.partial(
                task_id="extract",
                reports=self.reports,
                streams=self.streams,
                slice_days=self.slice_days,
                deferrable=self.deferrable,
                retries=2,
                map_index_template="{{ task.batch['label'] }}",
                doc_md=LiftosExtractOperator.__doc__,
                **common,
            ).expand(batch=plan.output)
            normalize = LiftosNormalizeOperator.partial(
                task_id="normalize",
                retries=2,
                trigger_rule=TriggerRule.ALL_DONE,
                map_index_template="{{ task.extracted['rows'] }} rows",
                doc_md=LiftosNormalizeOperator.__doc__,
                **common,
            ).expand(extracted=extract.output)
            load = LiftosLoadOperator(
                task_id="load", normalized=normalize.output, trigger_rule=TriggerRule.ALL_DONE,
                doc_md=LiftosLoadOperator.__doc__, **target, **common,
            )  # fmt: skip
            audit = LiftosQualityGateOperator(
                task_id="audit", loaded=load.output, planned=plan.output, block_on=self.block_on,
                minimum_score=self.minimum_score, on_block=self.on_block,
                severities=self.severities, thresholds=self.thresholds, baseline=self.baseline,
                suites_folder=self.suites_folder, doc_md=LiftosQualityGateOperator.__doc__,
                **target, **common,
            )  # fmt: skip
            publish = LiftosPublishOperator(
                task_id="publish", audited=audit.output, on_partial=self.on_partial,
                outlets=[self.asset], doc_md=LiftosPublishOperator.__doc__, **target, **common,
            )  # fmt: skip
            load >> audit >> publish
        return group


_DOC = """
### {title} into the warehouse

**plan** finds the accounts and the days · **extract** submits reports and waits without a worker
slot · **normalize** makes unified rows · **load** puts them where only the audit looks · **audit**
grades them · **publish** replaces what people see, slice by slice.

Start it by hand with dates, accounts or reports of your choice, or backfill a range: any day can be
brought again at any time, and the result is the same.
"""
