"""What every audit shares: whose terms it takes, who keeps and tells what it found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError, QualityError
from airflow_provider_liftos.operators.links import QualityReportLink, page_url
from airflow_provider_liftos.operators.task import Entry, LiftosOperator, staged
from airflow_provider_liftos.quality.findings import Verdict

if TYPE_CHECKING:
    from airflow_provider_liftos.engine.manifest import Manifest
    from airflow_provider_liftos.quality.audit import AuditOutcome
    from airflow_provider_liftos.quality.own import OwnSuite
    from airflow_provider_liftos.quality.policy import Policy

_SHOWN = 12
_NAMED = 3
_PARTS = ("severities", "thresholds", "baseline")


class AuditingOperator(LiftosOperator):
    """Base of what audits; see ``LiftosQualityGateOperator`` for the parts of the policy."""

    phase: ClassVar[str] = "audit"
    operator_extra_links = (  # type: ignore[assignment]  # one link more than its base has
        *LiftosOperator.operator_extra_links,
        QualityReportLink(),
    )

    def __init__(
        self,
        *,
        warehouse_conn_id: str | None = None,
        block_on: Sequence[str] = ("critical",),
        minimum_score: float = 60.0,
        on_block: str = "quarantine",
        severities: Mapping[str, str] | None = None,
        thresholds: Mapping[str, float] | None = None,
        baseline: str | None = None,
        suites_folder: str | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 1)
        super().__init__(**kwargs)
        self.warehouse_conn_id = warehouse_conn_id
        self.block_on = block_on
        self.minimum_score = minimum_score
        self.on_block = on_block
        self.severities = severities
        self.thresholds = thresholds
        self.baseline = baseline
        self.suites_folder = suites_folder
        self.quality_url = ""

    def audited(self, context: Mapping[str, Any], manifest: Manifest, **facts: Any) -> AuditOutcome:
        """The outcome of a manifest, kept in the state store."""
        from airflow_provider_liftos.quality.audit import audit
        from airflow_provider_liftos.quality.gx import documented
        from airflow_provider_liftos.quality.results import record

        store, platform = config.state_store(), self.hook.platform
        terms = self._terms(manifest.org_id, strict="seen" not in facts)
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
                own=own_suites(self.suites_folder),
                **terms,
                **facts,
            )
        self.quality_url = page_url("quality", ti.dag_id, ti.run_id)
        record(
            store, outcome, org_id=manifest.org_id, dag_id=ti.dag_id, run_id=ti.run_id,
            load_id=manifest.load_id,
        )  # fmt: skip
        return outcome

    def enter(self, entry: Entry, manifest: Manifest, outcome: AuditOutcome) -> None:
        """Say in the ledger what came of it."""
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

    def _terms(self, org_id: str, *, strict: bool) -> dict[str, Any]:
        """Severities, thresholds and baseline: the connection's, and over them the DAG's."""
        from airflow_provider_liftos.quality.anomalies import MEDIAN, check_baseline

        given = self._of_connection(org_id, strict=strict)
        if wrong := sorted(set(given) - set(_PARTS)):
            raise ConfigurationError(
                f"quality of connection {self.conn_id!r} has no part {wrong[0]!r}; its parts are"
                f" {', '.join(_PARTS[:-1])} and {_PARTS[-1]}"
            )
        own = {"severities": self.severities, "thresholds": self.thresholds}
        terms = {name: {**(given.get(name) or {}), **(own[name] or {})} for name in own}
        baseline = self.baseline or given.get("baseline") or MEDIAN
        return {**terms, "baseline": check_baseline(str(baseline))}

    def _of_connection(self, org_id: str, *, strict: bool) -> Mapping[str, Any]:
        """What the connection changes of rules, for its own organization and no other.

        What is published can be audited without a connection, unless ``strict``.
        """
        try:
            credentials = self.hook.credentials()
        except LiftosError:
            if strict:
                raise
            return {}
        given = credentials.options.get("quality") if credentials.org_id == org_id else None
        if isinstance(given, str):  # as a connection given as URI has it
            return _object(given, self.conn_id)
        return given or {}

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

    def refuse(self, outcome: AuditOutcome, what: str) -> None:
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
