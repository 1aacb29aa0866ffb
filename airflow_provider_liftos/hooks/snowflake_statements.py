"""Statements that Snowflake runs by itself: by the SQL API, results by the vendor's connector.

By the SQL API's reference a statement is submitted with 202 and its handle, answers 202 while it
runs, 200 when it is done and 422 when it failed; the handle is the query's id, whose result is kept
for 24 hours. It is read with ``RESULT_SCAN`` by the user who ran it, so that values are of the
types that they are of without waiting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_liftos.engine.source_door import Door
from airflow_provider_liftos.engine.source_query import Statement
from airflow_provider_liftos.engine.source_remote import (
    CANCELLED,
    DONE,
    FAILED,
    GONE,
    RUNNING,
    Look,
)
from airflow_provider_liftos.hooks.snowflake import LiftosSnowflakeSqlApiHook
from airflow_provider_liftos.model.errors import ConfigurationError, Missing, Unavailable

if TYPE_CHECKING:
    from requests import HTTPError

T = TypeVar("T")

_HANDLE = re.compile(r"[0-9a-fA-F-]{8,64}")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_CANCELLED = "000604"
_WRONG = ("02", "0A", "22", "42")  # SQLSTATE: no data, not supported, data exception, syntax
_TIMEOUT = 60.0  # seconds for an answer; the provider's hook would wait for ever


class SnowflakeStatements:
    """Statements on one connection. ``door`` opens it for reading, when there is something."""

    keeps = "24 hours"

    def __init__(self, conn_id: str, title: str, platform: str, door: Callable[[], Door]) -> None:
        self.title = title
        self._conn_id = conn_id
        self._platform = platform
        self._open = door

    def check(self) -> None:
        """ConfigurationError where the connection has nothing that the SQL API takes."""
        self._guarded(self._hook.get_headers)

    def submit(self, statement: Statement, request_id: str, *, again: bool) -> str:
        """The handle of a statement that runs now; a request that had arrived runs no second one.

        Raises:
            ConfigurationError: it is refused, or the connection is.
            Unavailable: there was no answer.
        """
        params = {"requestId": request_id, "async": "true"} | ({"retry": "true"} if again else {})
        body = {"statement": self._text(statement), **self._session()}
        status, told = self._asked("POST", params=params, body=body)
        if status == 422:
            raise ConfigurationError(
                f"{self.title} refuses the query: {_said(told)}",
                platform=self._platform,
                hint="Correct the query.",
            )
        return _checked(str(told["statementHandle"]))

    def look(self, statement_id: str) -> Look:
        """What has become of one. Raises as ``submit`` does."""
        try:
            status, told = self._asked("GET", f"/{_checked(statement_id)}")
        except Missing:
            return Look(state=GONE)
        if status == 202:
            return Look(state=RUNNING)
        if status != 422:
            kinds = told.get("resultSetMetaData", {}).get("rowType", ())
            return Look(state=DONE, columns=tuple(str(kind["name"]) for kind in kinds))
        if told.get("code") == _CANCELLED:
            return Look(state=CANCELLED)
        return Look(
            state=FAILED,
            said=_said(told),
            final=str(told.get("sqlState", "")).startswith(_WRONG),
        )

    def rows(self, statement_id: str) -> Iterator[list[tuple[Any, ...]]]:
        """The result of one, in no order.

        Raises:
            Missing: it is no longer kept.
            Unavailable: the connection broke off.
        """
        text = f"SELECT * FROM TABLE(RESULT_SCAN('{_checked(statement_id)}'))"
        try:
            yield from self._door.rows(Statement(text=text, parameters=None))
        except ConfigurationError as error:
            raise Missing(error.message, platform=self._platform) from None

    def cancel(self, statement_id: str) -> None:
        """End one, where it still runs. Raises as ``submit`` does."""
        self._asked("POST", f"/{_checked(statement_id)}/cancel")

    def close(self) -> None:
        """Let the connection go, if there was something to read."""
        if "_door" in self.__dict__:
            self._door.close()

    @cached_property
    def _door(self) -> Door:
        return self._open()

    @cached_property
    def _hook(self) -> LiftosSnowflakeSqlApiHook:
        made = LiftosSnowflakeSqlApiHook(self._conn_id)
        made.http_request_kwargs = {"timeout": _TIMEOUT}  # older providers know no such argument
        return made

    def _text(self, statement: Statement) -> str:
        """With its values in it, as the connector itself would send it."""
        if statement.parameters is None:
            return statement.text
        connection = self._door.connection
        values = connection._process_params_pyformat(  # noqa: SLF001  it has no other name
            statement.parameters, connection.cursor()
        )
        return str(statement.text % values)

    def _session(self) -> dict[str, Any]:
        """Names and parameters as a session of the connection has them.

        The SQL API takes names as they are, the connector as SQL would.
        """
        given: Mapping[str, Any] = self._hook._get_conn_params()  # noqa: SLF001
        names = ("database", "schema", "warehouse", "role")
        session = {n: _as_written(str(given[n])) for n in names if given.get(n)}
        parameters = {"MULTI_STATEMENT_COUNT": "1", **(given.get("session_parameters") or {})}
        return {**session, "parameters": parameters}

    def _asked(self, method: str, path: str = "", **given: Any) -> tuple[int, dict[str, Any]]:
        return self._guarded(lambda: self._hook.ask(method, path, **given))

    def _guarded(self, call: Callable[[], T]) -> T:
        from airflow.sdk.exceptions import AirflowException
        from requests import HTTPError, RequestException

        try:
            return call()
        except HTTPError as error:
            raise self._refused(error) from None
        except RequestException as error:
            raise Unavailable(
                f"{self.title} cannot be reached: {type(error).__name__}", platform=self._platform
            ) from None
        except (ValueError, AirflowException) as error:
            from airflow_provider_liftos.hooks.source import secrets
            from airflow_provider_liftos.transport.redact import redact

            said = redact(" ".join(str(error).split()), secrets(self._conn_id), longest=300)
            raise ConfigurationError(
                f"{self.title} cannot be waited for: {said}",
                platform=self._platform,
                hint="The SQL API takes no passwords: give the connection a key pair, OAuth or a"
                " programmatic access token, or leave deferrable out.",
            ) from None

    def _refused(self, error: HTTPError) -> Exception:
        status = getattr(error.response, "status_code", None)
        if status == 404:
            return Missing("the statement is not known", platform=self._platform, status=status)
        if status in {401, 403}:
            self.__dict__.pop("_hook", None)  # tokens are made anew
            return Unavailable(
                f"{self.title} is refused by the SQL API", platform=self._platform, status=status,
                hint="See whether its key, token and user are valid, and network policies let"
                " it in.",
            )  # fmt: skip
        return Unavailable(
            f"{self.title} is not answered by the SQL API", platform=self._platform, status=status
        )


def _checked(statement_id: str) -> str:
    """It stands in addresses and in SQL."""
    if not _HANDLE.fullmatch(statement_id):
        raise Unavailable(f"{statement_id[:80]!r} is no handle of a statement")
    return statement_id


def _said(told: Mapping[str, Any]) -> str:
    said = " ".join(str(told.get("message", "no reason given")).split())
    return f"{said[:300]} (code {told.get('code')}, SQLSTATE {told.get('sqlState')})"


def _as_written(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return name.upper()
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
