"""Tables, volumes and what became of every statement, on DuckDB in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .dialect import INFORMATION, Plan, plan

CATALOG = "workspace"
"""The catalogue that names without one are looked for in."""

_VOLUME_DEPTH = 3  # catalogue, schema and volume

# What Unity Catalog's information schema shows, of what DuckDB has.
_VIEWS = f"""
CREATE SCHEMA {INFORMATION};
CREATE VIEW {INFORMATION}.schemata AS
SELECT database_name AS catalog_name, schema_name FROM duckdb_schemas()
WHERE database_name = '{CATALOG}' AND schema_name NOT IN ('main', '{INFORMATION}')
  AND NOT starts_with(schema_name, 'pg_') AND schema_name <> 'information_schema';
CREATE VIEW {INFORMATION}.tables AS
SELECT database_name AS table_catalog, schema_name AS table_schema, table_name,
  'MANAGED' AS table_type, comment FROM duckdb_tables() WHERE database_name = '{CATALOG}'
UNION ALL
SELECT database_name, schema_name, view_name, 'VIEW', comment FROM duckdb_views()
WHERE database_name = '{CATALOG}' AND NOT internal AND schema_name <> '{INFORMATION}';
CREATE VIEW {INFORMATION}.columns AS
SELECT database_name AS table_catalog, schema_name AS table_schema, table_name, column_name,
  CAST(column_index - 1 AS INTEGER) AS ordinal_position, full_data_type,
  CASE full_data_type WHEN 'bigint' THEN 'LONG' ELSE upper(split_part(full_data_type, '(', 1)) END
    AS data_type
FROM (SELECT *, CASE data_type WHEN 'VARCHAR' THEN 'string' WHEN 'INTEGER' THEN 'int'
  WHEN 'TIMESTAMP WITH TIME ZONE' THEN 'timestamp' WHEN 'TIMESTAMP' THEN 'timestamp_ntz'
  ELSE lower(data_type) END AS full_data_type
  FROM duckdb_columns() WHERE database_name = '{CATALOG}' AND NOT internal
    AND schema_name <> '{INFORMATION}');
"""


class Refused(Exception):
    """A statement that is answered with an error, as the vendor words it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """A file the client is to send or to delete at ``path`` of a volume."""

    operation: str
    path: str
    local: str


@dataclass(slots=True, kw_only=True)
class Answer:
    """Rows, or a file to stage; ``modified`` counts the rows a statement wrote."""

    table: Any = None
    staging: Staging | None = None
    modified: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A statement as it arrived, and whether it was carried out."""

    sql: str
    parameters: tuple[Any, ...]
    done: bool


@dataclass(slots=True, kw_only=True)
class Lakehouse:
    """Every statement commits by itself. ``root`` is where files of volumes lie.

    ``stores`` maps beginnings of cloud addresses (``s3://bucket``) to folders. ``before`` is asked
    ahead of every statement and may raise; ``watch`` only looks on.
    """

    root: Path
    stores: dict[str, Path] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    before: Callable[[str], None] = lambda _: None
    watch: Callable[[str], None] | None = None
    _loaded: set[tuple[str, str]] = field(default_factory=set)
    _con: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        import duckdb

        config: dict[str, Any] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "threads": 2,
        }
        self._con = duckdb.connect(config=config)
        self._con.execute(f"ATTACH ':memory:' AS {CATALOG}")
        self._con.execute(f"USE {CATALOG}.main")
        for statement in _VIEWS.split(";\n"):
            if statement.strip():
                self._con.execute(statement)

    def close(self) -> None:
        """Forget everything."""
        self._con.close()

    def run(self, sql: str) -> None:
        """Statements of DuckDB, of which nobody hears: what a test prepares."""
        with self._cursor() as cursor:
            cursor.execute(sql)

    def ask(self, sql: str) -> Any:
        """One value that a reader would find at this moment, of which nobody hears."""
        with self._cursor() as cursor:
            return cursor.execute(sql).fetchone()[0]

    def execute(self, sql: str, parameters: Sequence[Any]) -> Answer:
        """Carry out one statement.

        Raises:
            Refused: as Databricks would refuse it.
        """
        import duckdb

        done = False
        try:
            if self.watch is not None:
                self.watch(sql)
            self.before(sql)
            answer = self._carry_out(_planned(sql), list(parameters))
            done = True
        except duckdb.Error as error:
            raise Refused(_worded(error)) from error
        finally:
            with self._lock:
                self.seen.append(Seen(sql=sql, parameters=tuple(parameters), done=done))
        return answer

    def _carry_out(self, what: Plan, parameters: list[Any]) -> Answer:
        if what.kind in ("put", "remove"):
            return self._stage(what)
        if what.kind == "list":
            return self._list(what.path)
        if what.kind == "nothing":
            return _counted(None)
        with self._cursor() as cursor:
            if what.kind == "read":
                return Answer(table=_arrow(cursor, what.sql, parameters))
            if what.kind == "describe":
                return Answer(table=self._describe(cursor, what.table))
            with _transaction(cursor):
                return _WRITES.get(what.kind, Lakehouse._write)(self, cursor, what, parameters)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        cursor = self._con.cursor()
        try:
            cursor.execute("SET TimeZone = 'UTC'")
            cursor.execute(f"USE {CATALOG}.main")
            yield cursor
        finally:
            cursor.close()

    def _write(self, cursor: Any, what: Plan, parameters: list[Any]) -> Answer:
        rows = cursor.execute(what.sql, parameters).fetchall()
        count = rows[0][0] if rows and isinstance(rows[0][0], int) else None
        return _counted(count)

    def _view(self, cursor: Any, what: Plan, parameters: list[Any]) -> Answer:
        cursor.execute(what.sql, parameters)
        text = what.comment.replace("'", "''")
        cursor.execute(f"COMMENT ON VIEW {what.table} IS '{text}'")
        return _counted(None)

    def _replace(self, cursor: Any, what: Plan, parameters: list[Any]) -> Answer:
        """INSERT INTO … REPLACE WHERE: columns by position, no row outside of the condition."""
        condition, rest = parameters[: what.placeholders], parameters[what.placeholders :]
        names = [row[0] for row in cursor.execute(f"DESCRIBE {what.table}").fetchall()]
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE _new AS {what.sql}", rest)
        found = [row[0] for row in cursor.execute("DESCRIBE _new").fetchall()]
        if len(found) != len(names):
            kind = "NOT_ENOUGH" if len(found) < len(names) else "TOO_MANY"
            raise Refused(
                f"[INSERT_COLUMN_ARITY_MISMATCH.{kind}_DATA_COLUMNS] Cannot write to {what.table}."
                " SQLSTATE: 21S01"
            )
        listed = ", ".join(_quoted(name) for name in names)
        renamed = ", ".join(
            f"{_quoted(old)} AS {_quoted(new)}" for old, new in zip(found, names, strict=True)
        )
        cursor.execute(f"CREATE OR REPLACE TEMP VIEW _named AS SELECT {renamed} FROM _new")
        [(outside,)] = cursor.execute(
            f"SELECT count(*) FROM _named WHERE ({what.condition}) IS NOT TRUE", condition
        ).fetchall()
        if outside:
            raise Refused(
                "[DELTA_REPLACE_WHERE_MISMATCH] Written data does not conform to partial table"
                f" overwrite condition or constraint '{what.condition}'. SQLSTATE: 44000"
            )
        cursor.execute(f"DELETE FROM {what.table} WHERE {what.condition}", condition)
        count = cursor.execute(
            f"INSERT INTO {what.table} ({listed}) SELECT {listed} FROM _named"
        ).fetchall()
        cursor.execute("DROP VIEW _named")
        cursor.execute("DROP TABLE _new")
        return _counted(count[0][0])

    def _copy(self, cursor: Any, what: Plan, _: list[Any]) -> Answer:
        """COPY INTO: files that were loaded into this table before are left out, changed or not."""
        new = [
            path
            for path in sorted(self.folder(what.path).rglob("*.parquet"))
            if what.force or (what.table, str(path)) not in self._loaded
        ]
        count = 0
        if new:
            files = ", ".join("'" + _no_glob(str(path)).replace("'", "''") + "'" for path in new)
            cursor.execute(
                "CREATE OR REPLACE TEMP VIEW _files AS SELECT * FROM read_parquet("
                f"[{files}], union_by_name = true, filename = true, hive_partitioning = false)"
            )
            [(count,)] = cursor.execute(f"INSERT INTO {what.table} BY NAME {what.sql}").fetchall()
            cursor.execute("DROP VIEW _files")
            with self._lock:
                self._loaded.update((what.table, str(path)) for path in new)
        return _counted(count)

    def _describe(self, cursor: Any, table: str) -> Any:
        import pyarrow as pa

        rows = cursor.execute(f"DESCRIBE {table}").fetchall()
        columns = {"col_name": 0, "data_type": 1}
        return pa.table(
            {n: pa.array([row[i] for row in rows], pa.string()) for n, i in columns.items()}
        )

    def _stage(self, what: Plan) -> Answer:
        path = self.file(what.path)
        if what.kind == "put" and path.exists() and not what.overwrite:
            raise Refused(
                f"[STAGING_FILE_ALREADY_EXISTS] {what.path} already exists; use OVERWRITE."
            )
        if what.kind == "remove" and not path.exists():
            raise Refused(f"[PATH_NOT_FOUND] Path does not exist: {what.path}. SQLSTATE: 42K03")
        return Answer(
            staging=Staging(operation=what.kind.upper(), path=what.path, local=what.local)
        )

    def _list(self, path: str) -> Answer:
        """LIST: what lies immediately in a folder of a volume; folders end in a slash."""
        import pyarrow as pa

        folder = self.folder(path)
        if not folder.exists():
            raise Refused(f"[PATH_NOT_FOUND] Path does not exist: {path}. SQLSTATE: 42K03")
        there = sorted(folder.iterdir())
        names = [f"{one.name}/" if one.is_dir() else one.name for one in there]
        sizes = [0 if one.is_dir() else one.stat().st_size for one in there]
        moments = [int(one.stat().st_mtime * 1000) for one in there]
        columns = {
            "path": pa.array([f"dbfs:{path.rstrip('/')}/{name}" for name in names], pa.string()),
            "name": pa.array(names, pa.string()),
            "size": pa.array(sizes, pa.int64()),
            "modification_time": pa.array(moments, pa.int64()),
        }
        return Answer(table=pa.table(columns))

    def file(self, path: str) -> Path:
        """Where a file of a volume lies.

        Raises:
            Refused: it is not in a volume.
        """
        parts = path.removeprefix("dbfs:").split("/")
        if len(parts) < 6 or parts[:2] != ["", "Volumes"] or ".." in parts:
            raise Refused(f"[INVALID_VOLUME_PATH] {path} is no path of a file in a volume")
        return self.root.joinpath(*parts[2:])

    def remove(self, file: Path) -> None:
        """It goes, and folders with it that are then empty: object stores know no such."""
        file.unlink(missing_ok=True)
        for folder in file.parents:
            is_volume = len(folder.relative_to(self.root).parts) <= _VOLUME_DEPTH
            if is_volume or any(folder.iterdir()):
                return
            folder.rmdir()

    def folder(self, path: str) -> Path:
        """Where COPY INTO looks for files."""
        for start, place in self.stores.items():
            if path.startswith(start):
                return place / path.removeprefix(start).strip("/")
        return self.file(path.rstrip("/") + "/.")


_WRITES: Mapping[str, Callable[[Lakehouse, Any, Plan, list[Any]], Answer]] = {
    "view": Lakehouse._view,  # noqa: SLF001
    "replace": Lakehouse._replace,
    "copy": Lakehouse._copy,  # noqa: SLF001
}


def _planned(sql: str) -> Plan:
    try:
        return plan(sql)
    except ValueError as error:
        raise Refused(f"[PARSE_SYNTAX_ERROR] {error}. SQLSTATE: 42601") from error


@contextmanager
def _transaction(cursor: Any) -> Iterator[None]:
    cursor.begin()
    try:
        yield
    except BaseException:
        cursor.rollback()
        raise
    cursor.commit()


def _arrow(cursor: Any, sql: str, parameters: list[Any]) -> Any:
    """Rows; sums of whole numbers stay whole numbers, as in Spark."""
    found = cursor.sql(sql, params=parameters or None)
    wide = {"HUGEINT", "UHUGEINT", "UBIGINT"}
    kinds = [str(kind) for kind in found.types]
    if wide & set(kinds):
        names = [f"c{i}" for i in range(len(kinds))]
        shown = ", ".join(
            f"CAST({n} AS BIGINT) AS {n}" if kind in wide else n
            for n, kind in zip(names, kinds, strict=True)
        )
        headed = f"WITH q({', '.join(names)}) AS ({sql}) SELECT {shown} FROM q"
        table = cursor.sql(headed, params=parameters or None).to_arrow_table()
        return table.rename_columns(found.columns)
    return found.to_arrow_table()


def _counted(count: int | None) -> Answer:
    import pyarrow as pa

    if count is None:
        return Answer(table=pa.table({}))
    return Answer(
        table=pa.table({"num_affected_rows": pa.array([count], pa.int64())}), modified=count
    )


def _worded(error: Exception) -> str:
    """The vendor's class of error, and DuckDB's first line."""
    said = str(error).splitlines()[0]
    kinds = {
        "TransactionException": ("DELTA_CONCURRENT_APPEND] ConcurrentAppendException", "2D521"),
        "CatalogException": (f"TABLE_OR_VIEW_NOT_FOUND] {said}", "42P01"),
        "ParserException": (f"PARSE_SYNTAX_ERROR] {said}", "42601"),
        "BinderException": (f"UNRESOLVED_COLUMN] {said}", "42703"),
        "ConversionException": (f"CAST_INVALID_INPUT] {said}", "22018"),
    }  # fmt: skip
    text, state = kinds.get(type(error).__name__, (f"INTERNAL_ERROR] {said}", "XX000"))
    return f"[{text} SQLSTATE: {state}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _no_glob(path: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)


def headers() -> str:
    """What a client must send along with a staged file."""
    return json.dumps({"x-liftos-staging": "1"})
