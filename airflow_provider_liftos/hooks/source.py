"""Sources of one's own in the place of a platform, and the doors to their rows.

No credentials of ours are in play: connections are those of Airflow's SQL hooks. What our own
connections say in their extra (``org_id``, ``is_mock``, ``quality``), these may say too; drivers
are not told of it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_liftos.engine.source_query import Dialect, Query
from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.liftos import LiftosHook
from airflow_provider_liftos.hooks.source_dialects import dialect_of
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError, Missing
from airflow_provider_liftos.model.platform import (
    Availability,
    Coverage,
    Credentials,
    Platform,
    Version,
)
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.transforms import source as unify

if TYPE_CHECKING:
    from airflow_provider_liftos.engine.source_door import Door
    from airflow_provider_liftos.engine.source_files import SourceFile
    from airflow_provider_liftos.engine.source_remote import Remote

_OURS = ("org_id", "is_mock", "quality")
_SECRET = ("pass", "secret", "token", "key", "credential")
_EMBEDDED = {"duckdb", "sqlite"}


def declaration(name: str) -> Platform:
    """A source as a platform: how its rows are read, with nothing to ask for by requests."""

    def nothing(*_: Any) -> NoReturn:
        raise ConfigurationError(
            f"rows of {name} come from a query, not from a platform's interface",
            platform=name,
            hint="Run the DAG of its LiftosSqlExtractOperator, for the days in question.",
        )

    return Platform(
        name=name,
        title=name.replace("_", " ").capitalize(),
        conn_type="",
        documentation="",
        base_url="",
        versions=(Version(name=""),),
        conn_fields=(),
        limits=(),
        rules=(),
        authorize=nothing,
        error=nothing,
        signals=lambda _headers, _account: (),
        scopes=(),
        token=nothing,
        read_token=nothing,
        accounts=nothing,
        presets={},
        check=lambda report: report,
        mapping=unify.mapping,
        minor_units=lambda _currency: 1,
        streams=unify.streams(),
        availability=Availability(history_days=36_525, restatement_days=0),
        account_url=lambda _account: "",
        coverage=lambda _report: Coverage(sparse=True),
    )


class SourceHook(LiftosHook):
    """Stands for a source where our operators want a platform's hook."""

    default_conn_name = ""

    def __init__(self, name: str, conn_id: str | None = None) -> None:
        super().__init__(conn_id or "")
        self._name = name

    @property
    def platform(self) -> Platform:
        """The source as a platform."""
        return declaration(self._name)

    def credentials(self) -> Credentials:
        """What the connection says of us; without one, nothing. Files need none."""
        connection = found(self.conn_id)
        extra = connection.extra_dejson if connection else {}
        given = {name: extra[name] for name in _OURS if name in extra}
        return Credentials(
            org_id=str(given.pop("org_id", None) or "default"),
            conn_id=self.conn_id,
            base_url="",
            version="",
            secrets={str(n): s for n, s in enumerate(_secrets(connection))} if connection else {},
            is_mock=str(given.pop("is_mock", "")).strip().lower() in {"true", "1", "yes", "on"},
            options=given,
        )

    def session(self, *_: Any, **__: Any) -> NoReturn:
        """There is none. Raises ConfigurationError."""
        self.platform.accounts(None, None)  # type: ignore[arg-type]
        raise AssertionError


def found(conn_id: str) -> Any:
    """The connection, or None where there is none of that name."""
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return BaseHook.get_connection(conn_id) if conn_id else None
    except AirflowNotFoundException:
        return None


@contextmanager
def database(
    conn_id: str, sql: str, parameters: Any, platform: str
) -> Iterator[tuple[Door, Query]]:
    """A query on a connection, ready to be read.

    Raises:
        ConfigurationError: the connection is of no SQL database, or its provider is missing.
        LiftosError: there is no such connection, or the database cannot be reached.
    """
    door = _door(_defined(conn_id, platform), platform)
    try:
        yield door, Query(sql=sql, parameters=parameters, dialect=door.dialect)
    finally:
        door.close()


def statements(conn_id: str, platform: str) -> tuple[Remote, Dialect]:
    """Statements that run by themselves on a connection's engine. It asks nothing of it yet.

    Raises:
        ConfigurationError: the engine runs none, or not for such a connection; files run nothing.
        LiftosError: there is no such connection.
    """
    if not conn_id:
        raise ConfigurationError(
            "files are read at once", platform=platform, hint="Leave deferrable out."
        )
    connection = _defined(conn_id, platform)
    title = f"connection {conn_id!r}"
    made: Any
    try:
        if connection.conn_type == "snowflake":
            from airflow_provider_liftos.hooks.snowflake_statements import SnowflakeStatements

            made = SnowflakeStatements(
                conn_id, title, platform, partial(_door, connection, platform)
            )
        elif connection.conn_type == "databricks":
            from airflow_provider_liftos.hooks.databricks_statements import DatabricksStatements

            made = DatabricksStatements(connection, title, platform)
        else:
            raise ConfigurationError(
                f"{title} is of type {connection.conn_type!r}, which runs no statements by itself",
                platform=platform,
                hint="Leave deferrable out; only Snowflake and Databricks do.",
            )
    except ImportError as error:
        raise ConfigurationError(
            f"{title} is of type {connection.conn_type!r}: {error}",
            platform=platform,
            hint="Install the provider of that type.",
        ) from None
    made.check()
    return made, dialect_of(connection)


def secrets(conn_id: str) -> Collection[Secret]:
    """What texts about a connection must not show."""
    connection = found(conn_id)
    return _secrets(connection) if connection else ()


def _defined(conn_id: str, platform: str) -> Any:
    """The connection, with its secrets masked in logs from now on."""
    from airflow_provider_liftos.hooks.masking import mask

    connection = found(conn_id)
    if connection is None:
        # No ConfigurationError: Airflow says the same when a secrets backend is out of reach.
        raise LiftosError(
            f"connection {conn_id!r} is not defined",
            platform=platform,
            hint="Create it, of the type of your database, or correct conn_id.",
        )
    mask({str(number): secret for number, secret in enumerate(_secrets(connection))})
    return connection


def _door(connection: Any, platform: str) -> Door:
    """An open connection."""
    from airflow_provider_liftos.engine.source_door import Door, translated
    from airflow_provider_liftos.transport.redact import redact

    title, known = f"connection {connection.conn_id!r}", _secrets(connection)
    try:
        opened, dialect = _opened(connection, platform)
    except LiftosError:
        raise
    except ValueError as error:  # a key that is none, and the like
        raise ConfigurationError(
            f"{title} cannot be opened: {redact(' '.join(str(error).split()), known)}",
            platform=platform,
            hint="Correct the connection.",
        ) from None
    except Exception as error:  # noqa: BLE001  drivers share no base
        raise translated(error, title, platform, known) from None
    return Door(connection=opened, dialect=dialect, title=title, platform=platform, secrets=known)


def files(path: str, conn_id: str | None, platform: str) -> list[SourceFile]:
    """The files that a path names: one, those of a folder, or those that match its wildcards.

    Raises:
        Missing: there is none.
        ConfigurationError: the path's scheme, or its connection, is not known.
    """
    from airflow.sdk import ObjectStoragePath
    from airflow.sdk.exceptions import AirflowNotFoundException

    from airflow_provider_liftos.engine.source_door import translated

    try:
        names = _named(path, lambda text: ObjectStoragePath(text, conn_id=conn_id))
    except (AirflowNotFoundException, ImportError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", platform=platform) from None
    except Exception as error:  # noqa: BLE001  drivers share no base
        raise translated(error, path, platform) from None
    if not names:
        raise Missing(
            f"there is no file at {path}",
            platform=platform,
            hint="Nothing was replaced. Correct path, or wait for the file.",
        )
    return names


def _named(path: str, storage: Callable[[str], Any]) -> list[SourceFile]:
    from airflow_provider_liftos.engine.source_files import SourceFile, belongs

    folder, star, rest = path.partition("*")
    if star:
        folder, _, begun = folder.rpartition("/")
        items = list(storage(folder or ".").glob(begun + star + rest))
    elif (whole := storage(path)).is_dir():
        items = [one for one in whole.iterdir() if belongs(one.name)]
    else:
        items = [whole] if whole.exists() else []
    by_name = {str(one): one for one in items}
    return [
        SourceFile(name=name, open=partial(by_name[name].open, "rb")) for name in sorted(by_name)
    ]


def _opened(connection: Any, platform: str) -> tuple[Any, Dialect]:
    if connection.conn_type in _EMBEDDED:
        return _embedded(connection)
    hook = _hook(connection, platform)
    return hook.get_conn(), dialect_of(connection, hook)


def _embedded(connection: Any) -> tuple[Any, Dialect]:
    """A file that is a database: opened for reading only, so that a wrong path makes none."""
    path = (connection.host or connection.schema or "").removeprefix(config.SHARED)
    if connection.conn_type == "duckdb":
        from airflow_provider_liftos.transforms.duckdb import connect

        return connect(path, read_only=True), dialect_of(connection)
    import sqlite3
    from pathlib import Path

    address = f"{Path(path).absolute().as_uri()}?mode=ro"
    return sqlite3.connect(address, uri=True), dialect_of(connection)


def _hook(connection: Any, platform: str) -> Any:
    """The connection's hook of Airflow, which is not told what is ours in the extra."""
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk.exceptions import AirflowException

    if connection.conn_type == "databricks":  # its type stands for the hook of its jobs
        return _databricks(connection)
    if connection.conn_type == "snowflake":  # ours also takes its protocol and timeouts
        return _snowflake(connection, platform)
    plain = copy.copy(connection)
    extra = {n: v for n, v in connection.extra_dejson.items() if n not in _OURS}
    plain.extra = json.dumps(extra) if extra else None
    try:
        hook = plain.get_hook()
    except (AirflowException, ImportError) as error:
        raise ConfigurationError(
            f"connection {connection.conn_id!r} is of type {connection.conn_type!r}: {error}",
            platform=platform,
            hint="Install the provider of that type.",
        ) from None
    if not isinstance(hook, DbApiHook):
        raise ConfigurationError(
            f"connection {connection.conn_id!r} is of type {connection.conn_type!r}, which is no"
            " SQL database",
            platform=platform,
        )
    hook._connection = plain  # noqa: SLF001  a constructor's argument, which not all hooks pass on
    if connection.conn_type == "gcpbigquery":
        hook.use_legacy_sql = False  # the hook's default, which quotes otherwise
    return hook


def _databricks(connection: Any) -> Any:
    from airflow.providers.databricks.hooks.databricks_sql import DatabricksSqlHook

    return DatabricksSqlHook(connection.conn_id)


def _snowflake(connection: Any, platform: str) -> Any:
    try:
        from airflow_provider_liftos.hooks.snowflake import LiftosSnowflakeHook
    except ImportError as error:
        raise ConfigurationError(
            f"connection {connection.conn_id!r} is of type 'snowflake': {error}",
            platform=platform,
            hint="Install airflow-provider-liftos[snowflake].",
        ) from None
    return LiftosSnowflakeHook(connection.conn_id)


def _secrets(connection: Any) -> Collection[Secret]:
    """The password, and what is named like a secret in the extra."""
    values = [connection.password]
    values += [
        value
        for name, value in connection.extra_dejson.items()
        if isinstance(value, str) and any(word in name.lower() for word in _SECRET)
    ]
    return [Secret(value) for value in values if value]
