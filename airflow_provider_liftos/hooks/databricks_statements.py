"""Statements that a Databricks SQL warehouse runs by itself: by the Statement Execution API.

By its reference a statement is submitted with ``wait_timeout`` 0s, and must be looked at every 15
minutes at least. Its result is kept for one hour after success, in chunks behind signed addresses,
which hold for 15 minutes at most and take no credentials. As Arrow, values are of the types that
the connector gives; as JSON, moments would lose their microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_liftos.engine.source_door import BATCH
from airflow_provider_liftos.engine.source_query import Statement
from airflow_provider_liftos.engine.source_remote import (
    CANCELLED,
    DONE,
    FAILED,
    GONE,
    RUNNING,
    Look,
)
from airflow_provider_liftos.model.errors import ConfigurationError, Missing, Unavailable

if TYPE_CHECKING:
    from airflow.providers.databricks.hooks.databricks import DatabricksHook

_ENDPOINT = "2.0/sql/statements"
_WAREHOUSE = re.compile(r"/?sql/[\d.]+/(?:warehouses|endpoints)/([0-9A-Za-z_-]+)")
_ID = re.compile(r"[0-9a-zA-Z-]{8,64}")
_MARKS = re.compile(
    r"""'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | `[^`]*` | --[^\n]* | /\*.*?\*/ | (?P<mark>\?)""",
    re.VERBOSE | re.DOTALL,
)
_STATUS = re.compile(r"Status Code: (\d{3})")  # how the provider's hook tells it, old or new
_TIMEOUT = (10.0, 120.0)  # seconds to connect, and between two pieces of a chunk
_TRIES = 3
_PIECE = 1 << 20


class DatabricksStatements:
    """Statements on the SQL warehouse of one connection."""

    keeps = "one hour"

    def __init__(self, connection: Any, title: str, platform: str) -> None:
        self.title = title
        self._conn_id = str(connection.conn_id)
        self._extra: Mapping[str, Any] = connection.extra_dejson
        self._platform = platform

    def check(self) -> None:
        """ConfigurationError where the API cannot do for the connection what a session does."""
        path = str(self._extra.get("http_path") or "")
        why = ""
        if not _WAREHOUSE.match(path):
            why = f"its http_path {path!r} leads to no SQL warehouse"
        elif self._extra.get("session_configuration"):
            why = "statements of their own know no session_configuration"
        if why:
            raise ConfigurationError(
                f"{self.title} cannot be waited for: {why}",
                platform=self._platform,
                hint="Correct its extra, or leave deferrable out.",
            )

    def submit(self, statement: Statement, request_id: str, *, again: bool) -> str:
        """The id of a statement that runs now. Requests cannot be repeated: each is another one.

        Raises:
            ConfigurationError: it is refused, or the connection is.
            Unavailable: there was no answer.
        """
        del request_id, again
        text, parameters = _marked(statement)
        found = _WAREHOUSE.match(str(self._extra["http_path"]))
        body = {
            "statement": text,
            "warehouse_id": found[1] if found else "",
            "parameters": parameters,
            "wait_timeout": "0s",
            "disposition": "EXTERNAL_LINKS",
            "format": "ARROW_STREAM",
        }
        body |= {n: self._extra[n] for n in ("catalog", "schema") if self._extra.get(n)}
        with self._errors():
            return _checked(str(self._hook.post_sql_statement(body)))

    def look(self, statement_id: str) -> Look:
        """What has become of one. Raises as ``submit`` does."""
        try:
            told = self._asked(f"/{_checked(statement_id)}")
        except Missing:
            return Look(state=GONE)
        status = told["status"]
        state = status["state"]
        if state in {"PENDING", "RUNNING"}:
            return Look(state=RUNNING)
        if state == "SUCCEEDED":
            columns = told["manifest"]["schema"].get("columns", ())
            return Look(state=DONE, columns=tuple(str(column["name"]) for column in columns))
        if state in {"CANCELED", "CLOSED"}:
            return Look(state=CANCELLED if state == "CANCELED" else GONE)
        error = status.get("error") or {}
        said = " ".join(str(error.get("message", "no reason given")).split())[:300]
        code = str(error.get("error_code", ""))
        return Look(state=FAILED, said=f"{said} (code {code})", final=code == "BAD_REQUEST")

    def rows(self, statement_id: str) -> Iterator[list[tuple[Any, ...]]]:
        """The result of one, chunk by chunk.

        Raises:
            Missing: it is no longer kept.
            ConfigurationError: it was larger than the vendor gives out.
            Unavailable: there was no answer.
        """
        manifest = self._asked(f"/{_checked(statement_id)}").get("manifest")
        if manifest is None:
            raise Missing("the result is closed", platform=self._platform)
        if manifest.get("truncated"):
            raise ConfigurationError(
                f"statement {statement_id} of {self.title} has a result over 100 GiB, of which"
                " Databricks gives out a part only",
                platform=self._platform,
                hint="Ask for fewer days or columns at once.",
            )
        for number in range(int(manifest.get("total_chunk_count") or 0)):
            with self._chunk(statement_id, number) as file:
                yield from _rows(file)

    def cancel(self, statement_id: str) -> None:
        """End one, where it still runs. Raises as ``submit`` does."""
        with self._errors():
            self._hook.cancel_sql_statement(_checked(statement_id))

    def close(self) -> None:
        """Nothing is open between two requests."""

    @cached_property
    def _hook(self) -> DatabricksHook:
        from airflow.providers.databricks.hooks.databricks import DatabricksHook

        return DatabricksHook(self._conn_id, caller="airflow-provider-liftos")

    def _asked(self, path: str) -> dict[str, Any]:
        with self._errors():
            told: dict[str, Any] = self._hook._do_api_call(  # noqa: SLF001  it has no other name
                ("GET", f"{_ENDPOINT}{path}")
            )
            return told

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from airflow.sdk.exceptions import AirflowException
        from requests import RequestException

        try:
            yield
        except (AirflowException, RequestException) as error:
            raise self._meant(error) from None

    def _meant(self, error: Exception) -> Exception:
        """What an error of the provider's hook means; tokens are made anew after a refused one."""
        from airflow_provider_liftos.hooks.source import secrets
        from airflow_provider_liftos.transport.redact import redact

        found = _STATUS.search(str(error))
        status = int(found[1]) if found else None
        said = redact(" ".join(str(error).split()), secrets(self._conn_id), longest=300)
        if status == 404:
            return Missing("the statement is not known", platform=self._platform)
        if status == 400:
            return ConfigurationError(
                f"{self.title} refuses the query: {said}",
                platform=self._platform,
                hint="Correct the query, or the connection.",
            )
        if status in {401, 403}:
            self.__dict__.pop("_hook", None)
            return Unavailable(
                f"{self.title} is refused by Databricks", platform=self._platform, status=status,
                hint="See whether its token is valid and may use the SQL warehouse.",
            )  # fmt: skip
        return Unavailable(f"{self.title} is not answered: {said}", platform=self._platform)

    @contextmanager
    def _chunk(self, statement_id: str, number: int) -> Iterator[IO[bytes]]:
        """A chunk as a file; addresses end soon, and are asked for anew where one is refused."""
        with TemporaryFile() as file:
            for left in reversed(range(_TRIES)):
                told = self._asked(f"/{statement_id}/result/chunks/{number}")
                [link] = told["external_links"]
                if failed := self._fetched(link, file):
                    if not left:
                        raise Unavailable(
                            f"chunk {number} of statement {statement_id} of {self.title} cannot be"
                            f" fetched ({failed})",
                            platform=self._platform,
                            hint="See whether this host reaches the workspace's storage.",
                        )
                    continue
                break
            file.seek(0)
            yield file

    def _fetched(self, link: Mapping[str, Any], file: IO[bytes]) -> str:
        """Copy what is behind an address; why not. It is signed, and never shown or logged."""
        import requests

        file.seek(0)
        file.truncate()
        headers = {str(n): str(v) for n, v in (link.get("http_headers") or {}).items()}
        proxies: dict[str, Any] = getattr(
            self._hook, "_get_requests_kwargs", dict
        )()  # as for all its requests
        try:
            with requests.get(
                link["external_link"], headers=headers, stream=True, timeout=_TIMEOUT, **proxies
            ) as answer:
                answer.raise_for_status()
                for piece in answer.iter_content(_PIECE):
                    file.write(piece)
        except requests.HTTPError as error:
            return f"HTTP {getattr(error.response, 'status_code', '')}"
        except requests.RequestException as error:
            return type(error).__name__
        return ""


def _rows(file: IO[bytes]) -> Iterator[list[tuple[Any, ...]]]:
    import pyarrow as pa

    with pa.ipc.open_stream(file) as reader:
        for whole in reader:
            for start in range(0, whole.num_rows, BATCH):
                part = whole.slice(start, BATCH)
                columns = [column.to_pylist() for column in part.columns]
                yield list(zip(*columns, strict=True))


def _marked(statement: Statement) -> tuple[str, list[dict[str, Any]]]:
    """Text and values with a name each: the API knows no values by place."""
    given = statement.parameters
    if given is None:
        return statement.text, []
    if isinstance(given, Mapping):
        return statement.text, [_parameter(name, value) for name, value in given.items()]
    return _named(statement.text, given)


def _named(text: str, values: Sequence[Any]) -> tuple[str, list[dict[str, Any]]]:
    names = iter([f"liftos_v{number}" for number in range(len(values))])
    parameters = [_parameter(f"liftos_v{n}", value) for n, value in enumerate(values)]
    return _MARKS.sub(
        lambda found: f":{next(names, 'liftos_missing')}" if found["mark"] else found[0], text
    ), parameters


def _parameter(name: str, value: Any) -> dict[str, Any]:
    """A value as the connector would bind it."""
    if value is None:
        return {"name": name, "value": None}
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return {"name": name, "value": text, "type": _type(value)}


def _type(value: Any) -> str:
    if isinstance(value, Decimal):
        digits, exponent = value.as_tuple().digits, int(value.as_tuple().exponent)
        scale = max(-exponent, 0)
        return f"DECIMAL({max(len(digits) + max(exponent, 0), scale)},{scale})"
    kinds = {
        bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", datetime: "TIMESTAMP", date: "DATE",
    }  # fmt: skip
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "STRING")


def _checked(statement_id: str) -> str:
    """It stands in addresses."""
    if not _ID.fullmatch(statement_id):
        raise Unavailable(f"{statement_id[:80]!r} is no id of a statement")
    return statement_id
