"""The gate between what was loaded and what people see: an audit that says what may pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from airflow.sdk import XComArg
from airflow.sdk.configuration import conf

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import Window
from airflow_provider_liftos.operators.awaiting import Patience, await_published
from airflow_provider_liftos.operators.outcome import translated
from airflow_provider_liftos.operators.quality_audit import AuditingOperator
from airflow_provider_liftos.operators.task import Entry, days_of, read_manifest

ALL, USUAL = "all", "usual"
"""Every organization that has data; every table that is loaded regularly."""


class LiftosQualityGateOperator(AuditingOperator):
    """Audit all slices of a run; returns decisions and scores, by which publish goes.

    ``loaded`` is the load task's result, ``planned`` the plan task's: accounts that were planned
    and did not come are findings, and ``missing`` in the result.

    Without ``loaded`` the operator runs alone: it audits what is published of the platform, reports
    in the days ``since`` to ``until`` of the run's params, or else the last ``last_days``, and
    entities as they are now. ``organizations`` are those to audit, one by one: None means the
    connection's, ``"all"`` whichever have data in the warehouse.

    ``block_on`` (severities) and ``minimum_score`` say what keeps a slice from being published;
    ``on_block`` what becomes of it: ``quarantine`` keeps its rows where only the audit looks while
    the others are published, ``fail`` ends the run here and publishes nothing of it. Alone, the
    first only tells, the second fails the task.

    ``severities`` and ``thresholds`` change rules by name, for this DAG; ``baseline`` is what
    unusual days are held against: ``median`` of like weekdays, or ``stl``, which needs the extra
    ``forecast``. ``quality`` in the extra of the connection, an object with the same three, does so
    for all DAGs that use it. Users' own suites are taken from ``suites_folder``: without one from
    ``include/gx`` beside the folder of DAGs, or under AIRFLOW_HOME.

    Alone, it can wait as sensors do. ``wait_for`` names the tables that have to be published first,
    such as ``basic:ad`` or ``campaigns``, or is ``"usual"`` for all that are loaded regularly: on
    the days of the params, or else on the newest day that there can be. ``deferrable`` gives the
    worker's slot away meanwhile; the trigger watches the run ledger, so that the task goes on when
    something was published, and every ``poke_interval`` seconds in any case. After ``timeout``
    seconds the task fails and is not retried, or is skipped if ``soft_fail``.
    """

    template_fields: Sequence[str] = ("loaded", "planned")
    phase: ClassVar[str] = "audit"

    def __init__(
        self,
        *,
        loaded: Mapping[str, Any] | XComArg | None = None,
        planned: Sequence[Mapping[str, Any]] | XComArg = (),
        last_days: int = 30,
        organizations: Sequence[str] | str | None = None,
        wait_for: Sequence[str] | str | None = None,
        timeout: float | timedelta = timedelta(hours=6),
        poke_interval: float | timedelta = timedelta(minutes=10),
        soft_fail: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.loaded: Any = loaded
        self.planned: Any = planned
        self.last_days = last_days
        self.organizations = organizations
        self.wait_for = wait_for
        self.timeout = _seconds(timeout)
        self.poke_interval = _seconds(poke_interval)
        self.soft_fail = soft_fail
        self.deferrable = deferrable

    def execute(
        self,
        context: Mapping[str, Any],
        event: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> dict[str, Any]:
        """Says what may be published; raises QualityError for bad data only if ``on_block`` does.

        Either way findings and scores are kept first. ``event`` and ``deadline`` are of a wait.
        """
        if self.loaded is None:
            return self._alone(context, event, deadline)
        with self.recorded(context) as entry:
            staging = config.staging()
            manifest = read_manifest(staging, self.loaded)
            entry.window = days_of(manifest)
            outcome = self.audited(
                context, manifest, staging=staging, unplanned=self._expected("failed"),
                expected_accounts=self._expected("accounts"),
            )  # fmt: skip
            self.enter(entry, manifest, outcome)
            self.refuse(outcome, "nothing of this run is published")
            folder = staging.folder("manifests", manifest.platform, manifest.load_id, self.phase)
            return {
                **self.loaded,
                "decisions": staging.write_json(folder, outcome.to_json()),
                "score": outcome.score.value,
                "level": outcome.score.level,
                "quarantined": len(outcome.quarantined),
                "missing": list(outcome.missing),
            }

    def _alone(
        self, context: Mapping[str, Any], event: Mapping[str, Any] | None, deadline: float | None
    ) -> dict[str, Any]:
        """Audit what people see already, of every organization; a bad one holds up no other."""
        org_id, is_mock = self._connected()
        waits = self.wait_for is not None
        with self.recorded(context, org_id) if waits else translated():
            org_ids = self._org_ids(org_id, is_mock=is_mock)
            window = self._window(context)
            if waits:
                await_published(self, self._patience(context, org_ids), event, deadline)
        told: dict[str, dict[str, Any]] = {}
        refusal: Exception | None = None
        for one in org_ids:
            try:
                with self.recorded(context, one) as entry:
                    told[one] = self._graded(context, entry, one, window, is_mock=is_mock)
            except Exception as error:  # noqa: BLE001  told when all have been graded
                self.log.warning("organization %s: %s", one, error)
                refusal = refusal or error
        if refusal:
            raise refusal
        return {"platform": self.platform, "since": str(window.since), "until": str(window.until),
                **_together(told)}  # fmt: skip

    def _graded(
        self,
        context: Mapping[str, Any],
        entry: Entry,
        org_id: str,
        window: Window,
        *,
        is_mock: bool,
    ) -> dict[str, Any]:
        import tempfile
        from pathlib import Path

        from airflow_provider_liftos.quality import published

        entry.window = str(window.since), str(window.until)
        with tempfile.TemporaryDirectory() as folder:
            warehouse = self._warehouse(org_id, is_mock=is_mock)
            seen = published.copy(
                warehouse, self.hook.platform, org_id, window, Path(folder), is_mock=is_mock
            )
            now = datetime.fromtimestamp(config.state_store().clock.now(), UTC)
            outcome = self.audited(
                context, seen.manifest, seen=seen.days, expected_accounts=list(seen.accounts),
                expected_days=published.expected_days(
                    warehouse, self.hook.platform, org_id, window, now
                ),
            )  # fmt: skip
        self.enter(entry, seen.manifest, outcome)
        self.refuse(outcome, "published data does not pass the audit")
        rows = sum(result.staged_rows for result in seen.manifest.slices if result.slice.report)
        return {
            "rows": rows,
            "entities": seen.manifest.rows - rows,
            "score": outcome.score.value,
            "level": outcome.score.level,
            "failed": len(outcome.failed),
        }

    def _warehouse(self, org_id: str, *, is_mock: bool) -> Any:
        store = config.state_store()
        warehouse = open_warehouse(self.warehouse_conn_id, org_id, store, mock=is_mock)
        warehouse.prepare()  # it may be asked before anything was ever loaded
        return warehouse

    def _connected(self) -> tuple[str, bool]:
        """The connection's organization, and whether a sandbox is behind it."""
        try:
            credentials = self.hook.credentials()
        except Exception:  # noqa: BLE001  what is published can be audited without a connection
            return "default", False
        return credentials.org_id, credentials.is_mock

    def _org_ids(self, own: str, *, is_mock: bool) -> list[str]:
        from airflow_provider_liftos.quality.published import organizations

        if self.organizations is None:
            return [own]
        if self.organizations != ALL:
            given = self.organizations
            return [given] if isinstance(given, str) else list(given)
        warehouse = self._warehouse(own, is_mock=is_mock)
        return organizations(warehouse, self.hook.platform.name) or [own]

    def _patience(self, context: Mapping[str, Any], org_ids: Sequence[str]) -> Patience:
        from airflow_provider_liftos.quality.awaited import Awaited

        platform = self.hook.platform
        return Patience(
            awaited=Awaited(
                platform=platform.name,
                tables=_tables(self.wait_for),
                window=_given(context),
                delay_days=platform.availability.delay_days,
            ),
            org_ids=tuple(org_ids),
            open_warehouse=lambda org_id: self._warehouse(org_id, is_mock=self._connected()[1]),
            timeout=self.timeout,
            poke_interval=self.poke_interval,
            soft_fail=self.soft_fail,
            deferrable=self.deferrable,
        )

    def _window(self, context: Mapping[str, Any]) -> Window:
        today = datetime.fromtimestamp(config.state_store().clock.now(), UTC).date()
        return _given(context) or Window(since=today - timedelta(days=self.last_days), until=today)

    def _expected(self, key: str) -> dict[str, str]:
        """Accounts of the plan's batches, with what kept one from being planned."""
        items = [item for batch in self.planned or () for item in batch.get(key) or ()]
        return {_account_id(item): str(item.get("error", "")) for item in items}


def _given(context: Mapping[str, Any]) -> Window | None:
    """The days of the run's params."""
    params = context.get("params") or {}
    given = [params.get(name) for name in ("since", "until")]
    if not any(given):
        return None
    try:
        since, until = (date.fromisoformat(str(day)) for day in given)
    except ValueError:
        raise ConfigurationError(
            f"since and until are {given[0]!r} and {given[1]!r}; they are dates, or neither is"
        ) from None
    return Window(since=since, until=until)


def _together(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of all organizations: sums, and the grade of the worst."""
    graded = [one for one in told.values() if one["score"] is not None]
    worst = min(graded, key=lambda one: one["score"], default={"score": None, "level": "unknown"})
    return {
        **{
            name: sum(one[name] for one in told.values()) for name in ("rows", "entities", "failed")
        },
        "score": worst["score"],
        "level": worst["level"],
        "organizations": dict(told),
    }


def _tables(given: Sequence[str] | str | None) -> list[str] | None:
    if given is None or given == USUAL:
        return None
    return [given] if isinstance(given, str) else list(given)


def _seconds(given: float | timedelta) -> float:
    return given.total_seconds() if isinstance(given, timedelta) else float(given)


def _account_id(item: Mapping[str, Any]) -> str:
    account = item.get("account", item)
    return str(account["account_id"] if isinstance(account, Mapping) else account)
