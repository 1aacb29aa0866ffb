"""Extract from a source of one's own: any SQL connection of Airflow, or files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk.configuration import conf

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import Account, Level, Window
from airflow_provider_liftos.model.source import NAMES, Source, is_source
from airflow_provider_liftos.operators.outcome import told
from airflow_provider_liftos.operators.task import (
    Entry,
    LiftosOperator,
    load_id,
    scope,
    write_manifest,
)

if TYPE_CHECKING:
    from airflow_provider_liftos.engine.source import Read, SourceReader
    from airflow_provider_liftos.engine.source_cursor import Reached
    from airflow_provider_liftos.engine.source_door import Door
    from airflow_provider_liftos.engine.source_query import Dialect, Query
    from airflow_provider_liftos.engine.source_remote import Remote, RemoteDoor
    from airflow_provider_liftos.warehouses.contract import Warehouse

_LOOKED_AT = 60
_PATIENCE = 5.0
"""Seconds for which a stint waits for statements of its own before it is deferred."""


class LiftosSqlExtractOperator(LiftosOperator):
    """Bring rows of a query, or of files, to staging; returns where their manifest is.

    What follows is what follows any extract task: normalize, load, audit and publish, with the same
    ``platform`` and ``conn_id``. The platform's name is yours, and begins with ``internal`` or
    ``offline``.

    Either ``sql`` with ``conn_id``, a connection of Postgres, MySQL, Snowflake, Databricks, DuckDB,
    SQLite, SQL Server, Oracle, BigQuery, Redshift, Trino or another database with a hook of
    Airflow, and ``parameters`` for placeholders of your own in the driver's style (BigQuery's are
    by name alone, Trino's and Redshift's by place); the query is put in parentheses, so it must be
    one that may stand there. Redshift's driver holds a whole answer in memory, others a part. Or
    ``path``, an ``ObjectStoragePath`` of a Parquet, CSV or JSONL file, of a folder, or with ``*``:
    all files are copied to ``TMPDIR`` first. ``columns`` and what follows are the parts of
    ``Source``.

    A run whose days are named (params, a partition, a backfill) brings these days. Without
    ``cursor`` every run does, with ``lookback_days`` days before its interval, or the ``last_days``
    days. With ``cursor``, other runs bring the days of which rows have changed since what is
    published, and the first one all days from ``since`` on; so does the first one of a task whose
    ``sql``, ``parameters`` or ``account`` were changed in the DAG. A cursor does not show rows that
    were deleted, nor the day that a row has left for another: read these days by their dates.

    With ``deferrable`` Snowflake and Databricks run statements by themselves, and no slot is held
    meanwhile; a retry goes on with what runs, a Clear ends it. Where it is not set it is as Airflow
    has it (``[operators] default_deferrable``), for sources that can.
    """

    phase: ClassVar[str] = "extract"
    template_fields: Sequence[str] = ("sql", "parameters", "conn_id", "path", "since")
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}

    def __init__(
        self,
        *,
        columns: Mapping[str, str],
        platform: str = "internal",
        conn_id: str | None = None,
        sql: str = "",
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        path: str = "",
        file_format: str = "",
        report: str = "basic",
        level: str = "account",
        stream: str = "",
        breakdowns: Sequence[str] = (),
        extra_metrics: Sequence[str] = (),
        account: str = "",
        currency: str = "",
        timezone: str = "UTC",
        cursor: str = "",
        overlap: float = 0.0,
        since: str = "",
        last_days: int = 30,
        lookback_days: int = 0,
        slice_days: int = 90,
        warehouse_conn_id: str | None = None,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 2)
        super().__init__(platform=platform, conn_id=conn_id, **kwargs)
        self.sql = sql
        self.parameters = parameters
        self.path = path
        self.file_format = file_format
        self.columns = columns
        self.report = report
        self.level = level
        self.stream = stream
        self.breakdowns = breakdowns
        self.extra_metrics = extra_metrics
        self.account = account
        self.currency = currency
        self.timezone = timezone
        self.cursor = cursor
        self.overlap = overlap
        self.since = since
        self.last_days = last_days
        self.lookback_days = lookback_days
        self.slice_days = slice_days
        self.warehouse_conn_id = warehouse_conn_id
        self.deferrable = deferrable
        self.has_connection = conn_id is not None
        self._running: RemoteDoor | None = None
        # As the DAG has them: what templates make of them is another text in every run.
        self.asked = (sql, parameters, account, columns.get("date"), columns.get("account_id"))

    def execute(
        self, context: Mapping[str, Any], event: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """First stint and, after a deferral, every later one.

        Raises for a source that cannot be read, or is not as declared; nothing is kept then.
        """
        from airflow_provider_liftos.engine.manifest import Manifest
        from airflow_provider_liftos.engine.source_remote import StillRunning
        from airflow_provider_liftos.state.ledger import Work

        credentials = self.hook.credentials() if is_source(self.platform) else None
        with self.recorded(context, credentials.org_id if credentials else None) as entry:
            if credentials is None:
                raise ConfigurationError(
                    f"a source cannot be called {self.platform!r}",
                    hint=f"Its name begins with {' or '.join(NAMES)}, such as internal_shop.",
                )
            if event and event.get("status") == "error":
                # The statement goes on meanwhile; the next try finds it.
                raise told(event)
            staging = config.staging()
            with self._reader(context, entry) as reader:
                try:
                    read = self._read(context, reader, entry, is_mock=credentials.is_mock)
                except StillRunning as running:
                    entry.detail = {"statement": running.statement_id}
                    self._wait(running.statement_id)
            manifest = Manifest(
                org_id=entry.org_id,
                platform=self.platform,
                load_id=load_id(context),
                slices=read.slices,
                is_mock=credentials.is_mock,
                facts={
                    "conn_id": self.conn_id,
                    "warehouse_conn_id": self.warehouse_conn_id,
                    "warnings": list(read.warnings),
                },
            )
            self._tell(entry, read)
            entry.work = Work(
                rows=manifest.rows,
                bytes=sum(file.bytes for cut in read.slices for file in cut.raw),
            )
            summary = write_manifest(staging, manifest, self.phase)
            noted = self._noted(context, read, reader.as_of)
            if self._running:
                self._running.forget()
            # Last, for it says that this run is there to be published.
            entry.detail = {"slices": len(read.slices), "source": noted}
            return summary

    @property
    def source(self) -> Source:
        """What is declared. Raises ConfigurationError."""
        if self.level not in set(Level):
            raise ConfigurationError(f"unknown level {self.level!r}; levels are {', '.join(Level)}")
        return Source(
            columns=dict(self.columns),
            report=self.report,
            level=Level(self.level),
            stream=self.stream,
            breakdowns=tuple(self.breakdowns),
            extra_metrics=tuple(self.extra_metrics),
            account=self.account,
            currency=self.currency,
            timezone=self.timezone,
            cursor=self.cursor,
            overlap=self.overlap,
        )

    @contextmanager
    def _reader(self, context: Mapping[str, Any], entry: Entry) -> Iterator[SourceReader]:
        from airflow_provider_liftos.engine.source import SourceReader

        if bool(self.sql) == bool(self.path):
            raise ConfigurationError("give either sql, with conn_id, or path")
        declared = self.source
        # Before anything is read: what changes meanwhile is newer than this.
        as_of = config.state_store().clock.now()
        with self._opened(context, entry) as (door, query):
            as_of = self._running.begin() if self._running else as_of
            yield SourceReader(
                source=declared, door=door, query=query, staging=config.staging(),
                platform=self.platform, load_id=load_id(context), as_of=as_of,
                slice_days=self.slice_days,
            )  # fmt: skip

    def _opened(
        self, context: Mapping[str, Any], entry: Entry
    ) -> AbstractContextManager[tuple[Door | RemoteDoor, Query]]:
        from airflow_provider_liftos.engine import source_files
        from airflow_provider_liftos.hooks import source as hooks

        if remote := self._remote():
            return self._by_itself(*remote, context, entry)
        if self.sql:
            return hooks.database(self.conn_id, self.sql, self.parameters, self.platform)
        conn_id = self.conn_id if self.has_connection else None
        return source_files.opened(
            hooks.files(self.path, conn_id, self.platform),
            platform=self.platform,
            title=self.path,
            file_format=self.file_format,
            cursor=self.cursor,
        )

    def _remote(self) -> tuple[Remote, Dialect] | None:
        """Where statements run by themselves; None to wait for them here.

        What was asked for and cannot be is an error; what is the deployment's default is not.
        """
        from airflow_provider_liftos.hooks import source as hooks

        default = conf.getboolean("operators", "default_deferrable", fallback=False)
        if not (default if self.deferrable is None else self.deferrable):
            return None
        try:
            return hooks.statements("" if self.path else self.conn_id, self.platform)
        except ConfigurationError as error:
            if self.deferrable:
                raise
            self.log.info("not deferred: %s", error.message)
            return None

    @contextmanager
    def _by_itself(
        self, remote: Remote, dialect: Dialect, context: Mapping[str, Any], entry: Entry
    ) -> Iterator[tuple[RemoteDoor, Query]]:
        from airflow_provider_liftos.engine.source_query import Query
        from airflow_provider_liftos.engine.source_remote import Drawer, RemoteDoor, Try
        from airflow_provider_liftos.state.statements import Statements

        staging, ti = config.staging(), context["ti"]
        folder = staging.folder("manifests", self.platform, load_id(context), "statements")
        door = RemoteDoor(
            remote=remote,
            dialect=dialect,
            platform=self.platform,
            book=Statements(config.state_store(), entry.org_id, scope(context)),
            drawer=Drawer(put=partial(staging.write_json, folder), get=staging.read_json),
            patience=_PATIENCE,
            own=Try(number=int(ti.try_number), max_tries=str(getattr(ti, "max_tries", ""))),
        )
        self._running = door
        try:
            yield door, Query(sql=self.sql, parameters=self.parameters, dialect=dialect)
        finally:
            door.close()

    def _wait(self, statement_id: str) -> NoReturn:
        from airflow_provider_liftos.triggers.statement import StatementTrigger

        now = config.state_store().clock.now()
        self.log.info("deferring: statement %s is still running", statement_id)
        self.defer(
            trigger=StatementTrigger(
                platform=self.platform,
                conn_id=self.conn_id,
                statement_id=statement_id,
                poll_seconds=config.number("poll_seconds"),
                fire_after=now + config.number("min_defer_seconds"),
            ),
            method_name="execute",
            timeout=self.execution_timeout,
        )
        raise AssertionError

    def on_kill(self) -> None:
        """The task is ended while it works: what it submitted, nobody would read."""
        if self._running:
            self._running.cancel()

    def _read(
        self, context: Mapping[str, Any], reader: SourceReader, entry: Entry, *, is_mock: bool
    ) -> Read:
        from airflow_provider_liftos.operators.window import asked, names_days

        if self.stream:
            return reader.entities()
        wanted = asked(context, self.lookback_days, self.last_days)
        if wanted.lifetime:
            return reader.everything()
        warehouse = self._warehouse(entry.org_id, is_mock=is_mock)
        if self.cursor and not names_days(context):
            known, since = self._known(context, warehouse, entry.org_id), self._since()
            return reader.changes(known, since) if known else reader.everything(since)
        return self._window(reader, warehouse, entry, wanted)

    def _window(
        self, reader: SourceReader, warehouse: Warehouse, entry: Entry, wanted: Any
    ) -> Read:
        from airflow_provider_liftos.engine import plan
        from airflow_provider_liftos.warehouses import sources

        somewhere = Account(account_id="", timezone=self.timezone)
        window, warnings = plan.resolve(wanted, somewhere, self.hook.platform, reader.as_of)
        report = self.source.as_report()
        known = sources.accounts(warehouse, entry.org_id, self.platform, report, window)
        read = reader.window(window, known)
        return replace(read, warnings=(*warnings, *read.warnings))

    def _known(
        self, context: Mapping[str, Any], warehouse: Warehouse, org_id: str
    ) -> Reached | None:
        """Where the newest run had come whose days have all been published."""
        from airflow_provider_liftos.engine.source_cursor import Reached
        from airflow_provider_liftos.state.ledger import PARTIAL, SUCCESS, Ledger
        from airflow_provider_liftos.warehouses import sources

        ledger, report = Ledger(config.state_store(), org_id), self.source.as_report()
        entries = ledger.rows(dag_id=context["ti"].dag_id, platform=self.platform, phase=self.phase)
        key = self._key(context)
        notes = [
            one.detail["source"]
            for one in entries
            if one.status in {SUCCESS, PARTIAL}
            and (one.detail.get("source") or {}).get("key") == key
        ]
        for note in notes[:_LOOKED_AT]:
            if note["reached"] and sources.arrived(
                warehouse, org_id, self.platform, report, as_of=note["as_of"], days=note["days"]
            ):
                return Reached(**note["reached"])
        return None

    def _key(self, context: Mapping[str, Any]) -> list[str]:
        """What a cursor is of: one task, and what it asks for of one place.

        Mapped tasks are told apart by what they ask for, not by their index, which is another's
        as soon as their list changes. Who asks for something else begins anew: nothing says that
        it has been read. A query in a file is known by the file's name.
        """
        ti, place = context["ti"], self.path or self.conn_id
        asked = json.dumps(self.asked, default=str, sort_keys=True)
        digest = hashlib.sha256(asked.encode()).hexdigest()[:16]
        whose = [ti.dag_id, ti.task_id, f"{self.report}:{self.level}"]
        return [*whose, place, self.cursor, digest]

    def _noted(self, context: Mapping[str, Any], read: Read, as_of: float) -> dict[str, Any] | None:
        """For the run ledger, from which the next run takes where this one had come."""
        if not self.cursor or read.reached is None:
            return None
        reached = {"kind": read.reached.kind, "text": read.reached.text}
        key = self._key(context)
        return {"key": key, "reached": reached, "as_of": as_of, "days": dict(read.days)}

    def _since(self) -> date | None:
        try:
            return date.fromisoformat(self.since) if self.since else None
        except ValueError:
            raise ConfigurationError(f"since is {self.since!r}; write it as YYYY-MM-DD") from None

    def _warehouse(self, org_id: str, *, is_mock: bool) -> Warehouse:
        from airflow_provider_liftos.hooks.warehouse import open_warehouse

        warehouse = open_warehouse(
            self.warehouse_conn_id, org_id, config.state_store(), mock=is_mock
        )
        warehouse.prepare()
        return warehouse

    def _tell(self, entry: Entry, read: Read) -> None:
        windows: list[Window] = [cut.slice.window for cut in read.slices]
        if windows:
            entry.window = (
                str(min(w.since for w in windows)), str(max(w.until for w in windows))
            )  # fmt: skip
        entry.warnings = read.warnings
        for text in read.warnings:
            self.log.warning(text)
        rows = sum(cut.raw_rows for cut in read.slices)
        self.log.info("read %s rows of %s slices", rows, len(read.slices))
