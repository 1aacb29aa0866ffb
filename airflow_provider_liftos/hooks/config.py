"""The ``[liftos]`` section of Airflow's configuration, as one table of options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_liftos.engine.staging import Staging
    from airflow_provider_liftos.model.platform import Platform
    from airflow_provider_liftos.state.keyring import KeyRing
    from airflow_provider_liftos.state.store import StateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option; ``default`` None means "computed", as the description says."""

    name: str
    kind: str
    default: str | None
    description: str
    secret: bool = False


OPTIONS = (
    Option(name="state_url", kind="string", default=None,
           secret=True,
           description="State store: sqlite:///path or postgresql://... "
           "Default: liftos/state.db under AIRFLOW_HOME. Several hosts need Postgres."),
    Option(name="state_conn_id", kind="string", default=None,
           description="Airflow connection (postgres) of the state store; wins over state_url."),
    Option(name="credential_keys", kind="string", default="", secret=True,
           description="Keys with which the state store keeps secrets, comma-separated, the newest "
           "first; `airflow liftos rotate-keys --new` prints one. Without any, no secret is kept."),
    Option(name="oauth_redirect_hosts", kind="string", default="",
           description="Hosts, comma-separated, to which platforms may send the browser of a "
           "person who consented. Default: that of [api] base_url, and this machine."),
    Option(name="api_conn_id", kind="string", default="",
           description="Airflow connection (http, with a user who may edit connections) of the API "
           "server. With it, renewed credentials are also put into the connections themselves."),
    Option(name="staging_url", kind="string", default=None,
           description="Where files wait between tasks. Default: liftos/staging under "
           "AIRFLOW_HOME. Several hosts need an object store (s3://conn_id@bucket/folder, gs://, "
           "abfs://...) or shared:///path, a folder that all of them mount."),
    Option(name="duckdb_path", kind="string", default=None,
           description="File of the default warehouse. "
           "Default: liftos/warehouse.duckdb under AIRFLOW_HOME."),
    Option(name="duckdb_read_copy", kind="string", default="",
           description="A file that is replaced, all at once, by a copy of the default warehouse "
           "whenever a run has published: for BI tools, which so never block a load. Empty: none."),
    Option(name="warehouse_conn_id", kind="string", default="",
           description="Airflow connection of the warehouse, for pipelines, operators and commands "
           "that name none. Empty: the DuckDB file of duckdb_path."),
    Option(name="accounts_per_task", kind="integer", default="10",
           description="Accounts that one mapped extract task carries."),
    Option(name="fetch_threads", kind="integer", default="4",
           description="Reports that one task reads at the same time."),
    Option(name="fallback_version", kind="string", default="",
           description="API versions to speak when a connection's is switched off, where that is "
           "not to be the newest: meta=v25.0, google_ads=v25. The connection's own field wins."),
    Option(name="on_partial", kind="string", default="fail",
           description="What becomes of a publish task when accounts or slices are missing, after "
           "the others were published: fail, or warn. A pipeline's own setting wins."),
    Option(name="wire_log", kind="string", default="",
           description="Folder for whole exchanges with platforms, redacted and capped, while "
           "something is being debugged. Empty or off: none is written."),
    Option(name="poll_seconds", kind="float", default="10",
           description="Pause between the first two looks at running reports; grows to a minute."),
    Option(name="min_defer_seconds", kind="float", default="15",
           description="Shortest deferral. Airflow 3.3 may fail a task whose trigger fires within "
           "seconds of the deferral; this keeps clear of it."),
    Option(name="report_timeout_seconds", kind="float", default="0",
           description="How long a report may run before it is submitted again. "
           "0: the platform's own default."),
    Option(name="memory_limit", kind="string", default="256MB",
           description="Memory DuckDB may use for normalizing; loading takes 128 MB."),
    Option(name="reporting_currency", kind="string", default="USD",
           description="ISO 4217 code of the currency into which the views convert all money."),
    Option(name="restatement_days", kind="string", default="",
           description="For how many days platforms are taken to restate a day, where that is to "
           "differ from what is known of them: meta=7, google_ads=60."),
    Option(name="limits", kind="string", default="",
           description="Caps on calls beside those of connections, the stricter wins: "
           "meta.requests_per_hour=150, tiktok.requests_per_second=5. concurrent_requests and "
           "concurrent_requests_per_account cap how many are in flight at once."),
    Option(name="breaker_failures", kind="integer", default="5",
           description="Failures in a row after which nothing is sent to an account for a while."),
    Option(name="breaker_seconds", kind="float", default="60",
           description="How long that is, until the first requests try again."),
    Option(name="breaker_probes", kind="integer", default="3",
           description="How many requests may then try at once."),
    Option(name="failing_nights", kind="integer", default="5",
           description="On how many days a missing day may fail before scheduled runs leave it to "
           "the dead letters. 0: they ask for ever."),
    Option(name="retention_days", kind="string", default="",
           description="How many days what is kept, where that is to differ from the defaults: "
           "run_ledger=200, staging=3. The DAG liftos_maintenance deletes what is older."),
    Option(name="data_docs", kind="string", default="",
           description="Folder for Great Expectations' own Data Docs of every audit, which take "
           "styles and scripts from the internet. Empty: none; our report page needs neither."),
    Option(name="full_listing_days", kind="float", default="7",
           description="How often scheduled runs list entities in full, where the platform tells "
           "what changed in between. 0: always."),
)  # fmt: skip


def _default(name: str) -> str | None:
    return next(option.default for option in OPTIONS if option.name == name)


def text(name: str) -> str:
    """A text option; empty when unset."""
    from airflow.sdk.configuration import conf

    return str(conf.get("liftos", name, fallback=None) or _default(name) or "")


def number(name: str) -> float:
    """A numeric option."""
    from airflow_provider_liftos.model.errors import ConfigurationError

    value = text(name)
    try:
        return float(value)
    except ValueError:
        raise ConfigurationError(f"[liftos] {name} is {value!r}, not a number") from None


def restatement_days(platform: Platform) -> int:
    """For how many days the platform is taken to restate a day: as set, else as is known of it.

    One number for all tasks of a deployment, because ``is_estimated`` is a fact of the table.
    """
    from airflow_provider_liftos.model.errors import ConfigurationError
    from airflow_provider_liftos.platforms import discover

    given, days = text("restatement_days"), by_platform("restatement_days")
    known = {one.name for one in discover()}
    if wrong := [
        name for name, value in days.items() if name not in known or not value.isdecimal()
    ]:
        raise ConfigurationError(
            f"[liftos] restatement_days is {given!r}: {wrong[0]!r} is no platform with a number of"
            f" days; write it as {min(known)}=30, and platforms are {', '.join(sorted(known))}"
        )
    return int(days.get(platform.name, platform.availability.restatement_days))


def by_platform(name: str) -> dict[str, str]:
    """An option of parts like ``meta=v25.0, google_ads=v25``, by platform."""
    parts = [part.partition("=") for part in text(name).split(",") if part.strip()]
    return {platform.strip(): value.strip() for platform, _, value in parts}


def retention_days() -> dict[str, int]:
    """For how many days each thing is kept: as set, else by default.

    ConfigurationError for a thing that does not exist, or a number of days below 1.
    """
    from airflow_provider_liftos.model.errors import ConfigurationError
    from airflow_provider_liftos.state.retention import DAYS

    given = by_platform("retention_days")
    for name, value in given.items():
        if name not in DAYS or not value.isdecimal() or int(value) < 1:
            raise ConfigurationError(
                f"[liftos] retention_days has {name}={value}; write it as run_ledger=200, with"
                f" whole days above 0, and names are {', '.join(DAYS)}"
            )
    return {**DAYS, **{name: int(value) for name, value in given.items()}}


def on_partial(given: str | None) -> str:
    """``fail`` or ``warn``: as given, else as set for the deployment."""
    from airflow_provider_liftos.model.errors import ConfigurationError

    policy = given or text("on_partial").strip().lower()
    if policy not in {"fail", "warn"}:
        where = "on_partial" if given else "[liftos] on_partial"
        raise ConfigurationError(f"{where} is {policy!r}; it is fail or warn")
    return policy


def reporting_currency() -> str:
    """The currency of the views' ``..._reporting`` columns."""
    from airflow_provider_liftos.model.errors import ConfigurationError

    value = text("reporting_currency").strip().upper()
    if len(value) != len("USD") or not (value.isascii() and value.isalpha()):
        raise ConfigurationError(
            f"[liftos] reporting_currency is {value!r}; it is an ISO 4217 code such as USD"
        )
    return value


def _home() -> str:
    import os
    from pathlib import Path

    return os.environ.get("AIRFLOW_HOME") or str(Path("~/airflow").expanduser())


SHARED = "shared://"
_FOLDERS = frozenset({"", "file", "local"})
"""Schemes of folders of this host; without one it is a path."""


def refuse_one_host(*, duckdb: bool = True) -> None:
    """ConfigurationError where tasks run on several hosts and our files would be on one.

    Not tolerated, because it would seem to work: limits and checkpoints would be of one host each.
    ``duckdb`` says whether the warehouse is that of ``[liftos] duckdb_path``. No connection is
    looked up, DAG files are read too often for that: what is wrong with ``[liftos] state_conn_id``,
    ``state_store`` says.
    """
    from airflow_provider_liftos.hooks.executors import of_several_hosts

    executor = of_several_hosts()
    if not executor:
        return
    if not text("state_conn_id"):
        _refuse_state_file(executor, text("state_url"))
    scheme, path = _parts(text("staging_url"))
    if scheme in _FOLDERS:
        raise _staging_here(executor)
    if scheme == "shared":
        _mounted("[liftos] staging_url", path)
    if duckdb:
        duckdb_file(text("duckdb_path"))


def refuse_at_parse(*, duckdb: bool = False) -> None:
    """The same where a DAG file is read.

    Not where a task's process reads it again, on a host with settings of its own: to Airflow the
    DAG would only seem to be missing, while the task says in one line what is wrong.
    """
    from airflow.sdk import get_parsing_context

    if get_parsing_context().task_id is None:
        refuse_one_host(duckdb=duckdb)


def _parts(url: str) -> tuple[str, str]:
    """A URL's scheme in small letters, empty without one, and what follows it."""
    scheme, found, rest = url.strip().partition("://")
    return (scheme.lower(), rest) if found else ("", url)


def _mounted(what: str, path: str) -> str:
    """What stands behind ``shared://``: a whole path, and not that of everything."""
    from os.path import normpath

    from airflow_provider_liftos.model.errors import ConfigurationError

    if not path.startswith("/") or not normpath(path).strip("/"):
        raise ConfigurationError(
            f"{what} is '{SHARED}{path}', which names no place below the root",
            hint=f"Give the whole path that every host mounts, as in {SHARED}/mnt/liftos.",
        )
    return path


def _staging_here(executor: str) -> Exception:
    return _one_host(
        executor,
        "staging is a folder on one",
        "Set [liftos] staging_url to an object store (s3://conn_id@bucket/folder), or to"
        " shared://<path>, a folder that every host mounts.",
    )


def _refuse_state_file(executor: str, url: str) -> None:
    if url.strip().lower().partition(":")[0].partition("+")[0] in {"", "sqlite"}:
        raise _one_host(
            executor,
            "the state store is a file on one",
            "Set [liftos] state_url or state_conn_id to a Postgres database.",
        )


def _one_host(executor: str, what: str, hint: str) -> Exception:
    from airflow_provider_liftos.model.errors import ConfigurationError

    return ConfigurationError(f"{executor} runs tasks on several hosts, but {what}", hint=hint)


def duckdb_file(given: str) -> str:
    """A warehouse's path as DuckDB opens it.

    ConfigurationError where it is a file on one of several hosts, or ``shared://`` has no path.
    """
    from airflow_provider_liftos.hooks.executors import of_several_hosts

    scheme, path = _parts(given)
    if scheme == "shared":
        return _mounted("the DuckDB warehouse", path)
    if executor := of_several_hosts():
        raise _one_host(
            executor,
            "the DuckDB warehouse is a file on one",
            "Name a connection of type postgres in [liftos] warehouse_conn_id, or set [liftos]"
            " duckdb_path to shared://<path>, a file that every host mounts with working locks.",
        )
    return given


def duckdb_read_copy() -> str:
    """Where readers find a copy of the default warehouse; empty: nowhere.

    Raises ConfigurationError when that is the warehouse itself.
    """
    from os.path import realpath

    from airflow_provider_liftos.model.errors import ConfigurationError

    copy = text("duckdb_read_copy")
    if copy and realpath(copy) == realpath(duckdb_path()):
        raise ConfigurationError(f"[liftos] duckdb_read_copy is the warehouse itself: {copy}")
    return copy


def duckdb_path() -> str:
    """Path of the default warehouse; ConfigurationError where ``shared://`` has none."""
    scheme, path = _parts(text("duckdb_path"))
    if scheme == "shared":
        return _mounted("[liftos] duckdb_path", path)
    return text("duckdb_path") or f"{_home()}/liftos/warehouse.duckdb"


def state_store() -> StateStore:
    """The state store of this deployment, one per process."""
    from airflow_provider_liftos.hooks.executors import of_several_hosts
    from airflow_provider_liftos.state.store import open_store

    refuse_one_host(duckdb=False)
    conn_id = text("state_conn_id")
    if conn_id:
        from airflow.sdk import BaseHook

        connection: Any = BaseHook.get_connection(conn_id)
        url = connection.get_uri().replace("postgres://", "postgresql://", 1)
        if executor := of_several_hosts():
            _refuse_state_file(executor, url)
        return open_store(url)
    return open_store(text("state_url") or f"sqlite:///{_home()}/liftos/state.db")


def keyring() -> KeyRing:
    """The key ring of this deployment; an empty one seals nothing.

    ConfigurationError when a key is not one.
    """
    from airflow_provider_liftos.state.keyring import KeyRing

    return KeyRing.read(text("credential_keys"))


def oauth_redirect_hosts() -> list[str]:
    """Hosts to which platforms may send people back."""
    from urllib.parse import urlsplit

    from airflow.sdk.configuration import conf

    if given := text("oauth_redirect_hosts"):
        return [host.strip() for host in given.split(",") if host.strip()]
    own = urlsplit(str(conf.get("api", "base_url", fallback="") or "")).hostname
    return [*([own] if own else []), "127.0.0.1", "localhost"]


def data_docs(**named: str) -> Path | None:
    """Where Data Docs go, in a folder for each of the names given; None where nobody wants any."""
    from pathlib import Path
    from urllib.parse import quote

    folder = text("data_docs")
    parts = [f"{key}={quote(value, safe='')}" for key, value in named.items()]
    return Path(folder).joinpath(*parts) if folder else None


def staging() -> Staging:
    """The staging area, on whatever file system its URL names.

    ConfigurationError when no installed provider knows the URL's scheme, or its connection is
    missing.
    """
    from airflow_provider_liftos.engine.staging import Staging

    refuse_one_host(duckdb=False)
    url = text("staging_url") or f"{_home()}/liftos/staging"
    scheme, path = _parts(url)
    if scheme == "shared":
        return Staging(_mounted("[liftos] staging_url", path))
    return Staging(path) if scheme in _FOLDERS else _object_store(url)


def _object_store(url: str) -> Staging:
    from airflow.sdk import BaseHook, ObjectStoragePath
    from airflow.sdk.exceptions import AirflowNotFoundException

    from airflow_provider_liftos.engine.staging import Staging
    from airflow_provider_liftos.hooks.executors import of_several_hosts
    from airflow_provider_liftos.model.errors import ConfigurationError

    try:
        path = ObjectStoragePath(url)
        if path.conn_id:  # of one that nobody made, S3's would make the host's own role, or nobody
            BaseHook.get_connection(path.conn_id)
        fs = path.fs
    except (AirflowNotFoundException, ImportError, ValueError) as error:
        raise ConfigurationError(
            f"[liftos] staging_url with {url.partition('://')[0]}:// cannot be used: {error}",
            hint="It is <scheme>://<connection>@<bucket>/<folder>; s3:// needs"
            " airflow-provider-liftos[s3], gs:// [gcs], abfs:// [abfs].",
        ) from None
    # Names in manifests are for this file system, which does not know of connections.
    staging = Staging(fs.unstrip_protocol(path.path), fs)
    if staging.is_local and (executor := of_several_hosts()):
        raise _staging_here(executor)
    return staging
