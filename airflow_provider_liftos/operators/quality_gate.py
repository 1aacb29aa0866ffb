"""The gate between what was loaded and what people see: an audit that says what may pass."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import XComArg

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError, QualityError
from airflow_provider_liftos.model.report import Window
from airflow_provider_liftos.operators.links import QualityReportLink, page_url
from airflow_provider_liftos.operators.task import (
    Entry,
    LiftosOperator,
    days_of,
    read_manifest,
    staged,
)
from airflow_provider_liftos.quality.findings import Verdict

if TYPE_CHECKING:
    from airflow_provider_liftos.engine.manifest import Manifest
    from airflow_provider_liftos.quality.audit import AuditOutcome
    from airflow_provider_liftos.quality.own import OwnSuite
    from airflow_provider_liftos.quality.policy import Policy

_SHOWN = 12
_NAMED = 3


class LiftosQualityGateOperator(LiftosOperator):
    """Audit all slices of a run; returns decisions and scores, by which publish goes.

    ``loaded`` is the load task's result, ``planned`` the plan task's: accounts that were planned
    and did not come are findings, and ``missing`` in the result. Without ``loaded`` the operator
    runs alone: it audits what is published of the platform, in the days ``since`` to ``until`` of
    the run's params, or else the last ``last_days``.

    ``block_on`` (severities) and ``minimum_score`` say what keeps a slice from being published;
    ``on_block`` what becomes of it: ``quarantine`` keeps its rows where only the audit looks while
    the others are published, ``fail`` ends the run here and publishes nothing of it. Alone, the
    first only tells, the second fails the task.

    ``severities`` and ``thresholds`` change rules by name, for this DAG; ``quality`` in the extra
    of the connection, an object with the same two, does so for all DAGs that use it. Users' own
    suites are taken from ``suites_folder``: without one from ``include/gx`` beside the folder of
    DAGs, or under AIRFLOW_HOME.
    """

    phase: ClassVar[str] = "audit"
    template_fields: Sequence[str] = ("loaded", "planned")
    operator_extra_links = (  # type: ignore[assignment]  # one link more than its base has
        *LiftosOperator.operator_extra_links,
        QualityReportLink(),
    )

    def __init__(
        self,
        *,
        loaded: Mapping[str, Any] | XComArg | None = None,
        planned: Sequence[Mapping[str, Any]] | XComArg = (),
        warehouse_conn_id: str | None = None,
        block_on: Sequence[str] = ("critical",),
        minimum_score: float = 60.0,
        on_block: str = "quarantine",
        severities: Mapping[str, str] | None = None,
        thresholds: Mapping[str, float] | None = None,
        suites_folder: str | None = None,
        last_days: int = 30,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 1)
        super().__init__(**kwargs)
        self.loaded: Any = loaded
        self.planned: Any = planned
        self.warehouse_conn_id = warehouse_conn_id
        self.block_on = block_on
        self.minimum_score = minimum_score
        self.on_block = on_block
        self.severities = severities
        self.thresholds = thresholds
        self.suites_folder = suites_folder
        self.last_days = last_days
        self.quality_url = ""

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Says what may be published; raises QualityError for bad data only if ``on_block`` does.

        Either way findings and scores are kept first.
        """
        if self.loaded is None:
            return self._alone(context)
        with self.recorded(context) as entry:
            staging = config.staging()
            manifest = read_manifest(staging, self.loaded)
            entry.window = days_of(manifest)
            outcome = self._audited(
                context, manifest, staging=staging, unplanned=self._expected("failed"),
                expected_accounts=self._expected("accounts"),
            )  # fmt: skip
            self._enter(entry, manifest, outcome)
            self._refuse(outcome, "nothing of this run is published")
            folder = staging.folder("manifests", manifest.platform, manifest.load_id, self.phase)
            return {
                **self.loaded,
                "decisions": staging.write_json(folder, outcome.to_json()),
                "score": outcome.score.value,
                "level": outcome.score.level,
                "quarantined": len(outcome.quarantined),
                "missing": list(outcome.missing),
            }

    def _alone(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Audit what people see already."""
        import tempfile
        from pathlib import Path

        from airflow_provider_liftos.quality import published

        with self.recorded(context) as entry, tempfile.TemporaryDirectory() as folder:
            store, (org_id, _) = config.state_store(), self._whose(None)
            window = self._window(context, datetime.fromtimestamp(store.clock.now(), UTC).date())
            entry.window = str(window.since), str(window.until)
            warehouse = open_warehouse(self.warehouse_conn_id, org_id, store)
            seen = published.copy(warehouse, self.hook.platform, org_id, window, Path(folder))
            outcome = self._audited(
                context, seen.manifest, seen=seen.days, expected_accounts=list(seen.accounts)
            )
            self._enter(entry, seen.manifest, outcome)
            self._refuse(outcome, "published data does not pass the audit")
            return {
                "platform": self.platform,
                "since": str(window.since),
                "until": str(window.until),
                "rows": seen.manifest.rows,
                "score": outcome.score.value,
                "level": outcome.score.level,
                "failed": len(outcome.failed),
            }

    def _window(self, context: Mapping[str, Any], today: date) -> Window:
        params = context.get("params") or {}
        given = [params.get(name) for name in ("since", "until")]
        if not any(given):
            return Window(since=today - timedelta(days=self.last_days), until=today)
        try:
            since, until = (date.fromisoformat(str(day)) for day in given)
        except ValueError:
            raise ConfigurationError(
                f"since and until are {given[0]!r} and {given[1]!r}; they are dates, or neither is"
            ) from None
        return Window(since=since, until=until)

    def _audited(
        self, context: Mapping[str, Any], manifest: Manifest, **facts: Any
    ) -> AuditOutcome:
        """The outcome of a manifest, kept in the state store."""
        from airflow_provider_liftos.quality.audit import audit
        from airflow_provider_liftos.quality.gx import documented
        from airflow_provider_liftos.quality.results import record

        store, platform, changed = config.state_store(), self.hook.platform, self._changed()
        ti = context["ti"]
        with documented(config.data_docs(dag=ti.dag_id, run=ti.run_id, task=ti.task_id)):
            outcome = audit(
                manifest,
                warehouse=open_warehouse(
                    self.warehouse_conn_id, manifest.org_id, store, mock=manifest.is_mock
                ),
                today=datetime.fromtimestamp(store.clock.now(), UTC),
                policy=self._policy(),
                delay_days=platform.availability.delay_days,
                restatement_days=config.restatement_days(platform),
                coverage=platform.coverage,
                quality=platform.quality,
                severities=changed["severities"],
                thresholds=changed["thresholds"],
                own=own_suites(self.suites_folder),
                **facts,
            )
        self.quality_url = page_url("quality", ti.dag_id, ti.run_id)
        record(
            store, outcome, org_id=manifest.org_id, dag_id=ti.dag_id, run_id=ti.run_id,
            load_id=manifest.load_id,
        )  # fmt: skip
        return outcome

    def _enter(self, entry: Entry, manifest: Manifest, outcome: AuditOutcome) -> None:
        entry.work = staged(manifest.slices)
        entry.warnings = tuple(self._tell(outcome))
        entry.detail = {"score": outcome.score.value, "level": outcome.score.level}

    def _policy(self) -> Policy:
        from airflow_provider_liftos.quality.policy import Policy

        return Policy(
            block_on=frozenset(self.block_on),
            minimum_score=self.minimum_score,
            on_block=self.on_block,
        )

    def _changed(self) -> dict[str, dict[str, Any]]:
        """Severities and thresholds: the connection's, and over them the DAG's."""
        try:
            given = self.hook.credentials().options.get("quality") or {}
        except LiftosError:
            if self.loaded is not None:
                raise
            given = {}  # what is published can be audited without a connection
        if isinstance(given, str):  # as a connection given as URI has it
            given = _object(given, self.conn_id)
        if wrong := sorted(set(given) - {"severities", "thresholds"}):
            raise ConfigurationError(
                f"quality of connection {self.conn_id!r} has no part {wrong[0]!r}; its parts are"
                " severities and thresholds"
            )
        own = {"severities": self.severities, "thresholds": self.thresholds}
        return {name: {**(given.get(name) or {}), **(own[name] or {})} for name in own}

    def _tell(self, outcome: AuditOutcome) -> list[str]:
        """Log what someone should read; all of it is returned."""
        self.log.info(
            "score %s (%s): %s findings, %s of %s slices quarantined", outcome.score.value,
            outcome.score.level, len(outcome.failed), len(outcome.quarantined),
            len(outcome.decisions),
        )  # fmt: skip
        if outcome.settled:
            self.log.info(
                "%s slices are published already and were judged as they are there",
                len(outcome.settled),
            )
        for finding in outcome.failed[:_SHOWN]:
            self.log.warning("%s %s", finding.told, finding.advice)
        return [finding.told for finding in outcome.failed]

    def _refuse(self, outcome: AuditOutcome, what: str) -> None:
        """Raises QualityError where the policy lets nothing pass."""
        bad = [d for d in outcome.quarantined if d.verdict is Verdict.FAIL]
        if not bad:
            return
        reasons = [f"{d.account_id} {d.label}: {', '.join(d.reasons)}" for d in bad]
        more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
        raise QualityError(
            f"{what}: {'; '.join(reasons[:_NAMED])}{more}",
            score=outcome.score.value or 0.0,
            failed=reasons,
        )

    def _expected(self, key: str) -> dict[str, str]:
        """Accounts of the plan's batches, with what kept one from being planned."""
        items = [item for batch in self.planned or () for item in batch.get(key) or ()]
        return {_account_id(item): str(item.get("error", "")) for item in items}


def own_suites(folder: str | None = None) -> list[OwnSuite]:
    """Users' suites; ConfigurationError where the folder named, or a file of it, cannot be read."""
    import os
    from pathlib import Path

    from airflow.sdk.configuration import conf

    from airflow_provider_liftos.quality.own import read

    if folder:
        if not Path(folder).is_dir():
            raise ConfigurationError(f"there is no folder {folder!r} of suites")
        return read(Path(folder))
    dags = conf.get("core", "dags_folder", fallback="") or ""
    places = [Path(dags).parent if dags else None, os.environ.get("AIRFLOW_HOME")]
    found = [Path(place) / "include" / "gx" for place in places if place]
    return next((read(place) for place in found if place.is_dir()), [])


def _object(text: str, conn_id: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigurationError(f"quality of connection {conn_id!r} is no JSON object")
    return found


def _account_id(item: Mapping[str, Any]) -> str:
    account = item.get("account", item)
    return str(account["account_id"] if isinstance(account, Mapping) else account)
