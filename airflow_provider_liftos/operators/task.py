"""What all our operators share: a connection, a run ledger entry, manifests on staging."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred

from airflow_provider_liftos.hooks import config, observing, registry
from airflow_provider_liftos.model.errors import CircuitOpen, Throttled
from airflow_provider_liftos.operators.links import AdsManagerLink, RunLedgerLink
from airflow_provider_liftos.operators.outcome import translated
from airflow_provider_liftos.operators.retries import usual

if TYPE_CHECKING:
    from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
    from airflow_provider_liftos.engine.staging import Staging
    from airflow_provider_liftos.hooks.liftos import LiftosHook
    from airflow_provider_liftos.state.ledger import TaskRun, Work
    from airflow_provider_liftos.transport.session import Usage


class Entry:
    """The open ledger entry of a task; fill it while working.

    ``window`` is the first and the last day that the work is about, ``api_version`` the one that
    was spoken in the end.
    """

    def __init__(self, org_id: str) -> None:
        self.org_id = org_id
        self.work: Work | None = None
        self.window: tuple[str, str] | None = None
        self.api_version: str | None = None
        self.warnings: tuple[str, ...] = ()
        self.detail: dict[str, Any] = {}
        self.status = "success"


class LiftosOperator(BaseOperator):
    """Base of our operators. ``platform`` is a name, ``conn_id`` one of its connections."""

    phase: ClassVar[str] = ""
    operator_extra_links = (AdsManagerLink(), RunLedgerLink())
    ui_color = "#e8f4fd"

    def __init__(self, *, platform: str, conn_id: str | None = None, **kwargs: Any) -> None:
        config.refuse_at_parse()
        super().__init__(**usual(kwargs))
        self.platform = platform
        self.conn_id = conn_id or registry.default_conn_id(platform)
        self.account_url = ""
        self.ledger_url = ""

    @property
    def hook(self) -> LiftosHook:
        """The platform's hook on our connection."""
        return registry.hook(self.platform, self.conn_id)

    @contextmanager
    def recorded(self, context: Mapping[str, Any], org_id: str | None = None) -> Iterator[Entry]:
        """Open a ledger entry, translate errors into outcomes, close the entry either way.

        Without ``org_id`` it is the connection's; what goes wrong before that is known is kept
        for the organization ``default``.
        """
        from airflow_provider_liftos.state.ledger import SKIPPED, Ledger

        org, version = self._whose(org_id)
        entry = Entry(org)
        observing.begin(load_id({"task": self, **context}))
        with translated():
            ledger = Ledger(config.state_store(), org)
            task_instance = context["ti"]
            entry_id = ledger.start(self._run(task_instance, version))
            self.ledger_url = _ledger_url(task_instance.dag_id, task_instance.run_id)
            error = None
            try:
                yield entry
            except AirflowSkipException as skip:
                entry.status = SKIPPED
                entry.warnings = (*entry.warnings, str(skip))
                raise
            except Exception as failure:
                entry.status = _status(entry, failure)
                error = f"{type(failure).__name__}: {failure}"
                raise
            except BaseException as pause:
                entry.status = "deferred" if isinstance(pause, TaskDeferred) else "interrupted"
                raise
            finally:
                ledger.finish(
                    entry_id, status=entry.status, work=entry.work, window=entry.window,
                    warnings=entry.warnings, error=error, detail=entry.detail,
                    api_version=entry.api_version,
                )  # fmt: skip

    def _whose(self, org_id: str | None) -> tuple[str, str | None]:
        """The organization, and the API version of the connection, where there is one."""
        if not registry.is_known(self.platform):
            return org_id or "default", None
        try:
            credentials = self.hook.credentials()
        except Exception:  # noqa: BLE001  the task itself will say what is wrong with it
            return org_id or "default", None
        return org_id or credentials.org_id, credentials.version

    def _run(self, task_instance: Any, version: str | None) -> TaskRun:
        from airflow_provider_liftos.state.ledger import TaskRun

        return TaskRun(
            dag_id=task_instance.dag_id,
            run_id=task_instance.run_id,
            task_id=task_instance.task_id,
            phase=self.phase,
            map_index=_map_index(task_instance),
            try_number=task_instance.try_number,
            platform=self.platform,
            api_version=version,
        )


def spent(usage: Usage) -> Work:
    """What a session cost, for the ledger."""
    from airflow_provider_liftos.state.ledger import Work

    return Work(
        bytes=usage.bytes,
        requests=usage.requests,
        retries=usage.retries,
        throttled_seconds=usage.throttled_seconds,
    )


def staged(slices: Iterable[SliceResult]) -> Work:
    """Rows of slices and bytes of their files, for the ledger."""
    from airflow_provider_liftos.state.ledger import Work

    found = list(slices)
    return Work(
        rows=sum(cut.rows for cut in found),
        bytes=sum(file.bytes for cut in found for file in cut.staged),
    )


def days_of(manifest: Manifest) -> tuple[str, str] | None:
    """First and last day of a manifest's slices, for the ledger."""
    windows = [cut.slice.window for cut in manifest.slices]
    if not windows:
        return None
    return str(min(w.since for w in windows)), str(max(w.until for w in windows))


def _status(entry: Entry, error: Exception) -> str:
    if isinstance(error, (Throttled, CircuitOpen)):
        return "waiting"
    return "failed" if entry.status == "success" else entry.status


def _ledger_url(dag_id: str, run_id: str) -> str:
    """The plugin's page of a run, also where Airflow is served below a path."""
    from urllib.parse import quote, urlsplit

    from airflow.sdk.configuration import conf

    below = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
    return f"{below}/liftos/runs/{quote(dag_id)}/{quote(run_id, safe='')}"


def _map_index(task_instance: Any) -> int:
    index = getattr(task_instance, "map_index", -1)
    return -1 if index is None else int(index)


def scope(context: Mapping[str, Any]) -> str:
    """The checkpoint scope: this task of this dag run, whichever try."""
    ti = context["ti"]
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{_map_index(ti)}"


def load_id(context: Mapping[str, Any]) -> str:
    """One id for the tasks of one pipeline in one dag run.

    A pipeline is a task group and a connection; several in one DAG share nothing.
    """
    ti, task = context["ti"], context.get("task")
    whose = [str(getattr(task, name, "")) for name in ("platform", "conn_id")]
    return observing.load_id(ti.dag_id, ti.run_id, ti.task_id, *whose)


def write_manifest(staging: Staging, manifest: Manifest, phase: str) -> dict[str, Any]:
    """Put a manifest on staging; what goes into XCom is its path and a summary."""
    folder = staging.folder("manifests", manifest.platform, manifest.load_id, phase)
    path = staging.write_json(folder, manifest.to_json())
    windows = [s.slice.window for s in manifest.slices]
    return {
        "manifest": path,
        "platform": manifest.platform,
        "load_id": manifest.load_id,
        "slices": len(manifest.slices),
        "failed": len(manifest.failed),
        "rows": manifest.rows,
        "since": str(min((w.since for w in windows), default="")),
        "until": str(max((w.until for w in windows), default="")),
    }


def read_manifest(staging: Staging, summary: Mapping[str, Any]) -> Manifest:
    """The manifest a summary points to; StagingError when it is missing or damaged."""
    from airflow_provider_liftos.engine.manifest import Manifest
    from airflow_provider_liftos.model.errors import StagingError

    value = staging.read_json(str(summary["manifest"]))
    try:
        return Manifest.from_json(value)
    except (KeyError, TypeError, ValueError) as error:
        raise StagingError(
            f"the manifest {summary['manifest']} is damaged ({type(error).__name__})",
            hint="Clear the task that wrote it; nothing was published from it.",
        ) from None
