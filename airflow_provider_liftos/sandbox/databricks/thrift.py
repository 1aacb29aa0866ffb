"""The vendor's thrift service, on the classes that the connector itself is generated from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib import import_module
from typing import Any
from uuid import uuid4

from .lakehouse import Answer, Lakehouse, Refused, headers

_PYTHON: dict[str, Callable[[str], Any]] = {
    "STRING": str,
    "INT": int,
    "BIGINT": int,
    "DOUBLE": float,
    "BOOLEAN": lambda text: text.lower() == "true",
    "DATE": date.fromisoformat,
    "TIMESTAMP": lambda text: _aware(datetime.fromisoformat(text)),
    "DECIMAL": Decimal,
}


_PARAMETERS = 256  # of one statement
KNOWN = frozenset({
    "ANSI_MODE", "ENABLE_PHOTON", "LEGACY_TIME_PARSER_POLICY", "MAX_FILE_PARTITION_BYTES",
    "QUERY_TAGS", "READ_ONLY_EXTERNAL_METASTORE", "STATEMENT_TIMEOUT", "TIMEZONE",
    "USE_CACHED_RESULT", "SPARK.THRIFTSERVER.ARROWBASEDROWSET.TIMESTAMPASSTRING",
})  # fmt: skip
"""Configuration that a session may ask for: the manual's parameters, and the connector's own."""


@dataclass(slots=True, kw_only=True)
class Operation:
    """A statement under way; ``polls`` counts how often it is still said to run."""

    handle: Any
    answer: Answer | None
    error: str = ""
    polls: int = 0
    fetched: int = 0


@dataclass(slots=True, kw_only=True)
class Service:
    """OpenSession to CloseOperation. ``url`` gives presigned addresses of an operation and a path.

    Answers hold ``page_rows`` rows at most; ``polls`` statements ahead are answered while they
    still run. ``opened`` counts sessions, ``last`` is the configuration of the last of them, and
    ``known`` are the names that it may have. What is not served here is answered with an error.
    """

    lakehouse: Lakehouse
    url: Callable[[str, str], str]
    page_rows: int = 10_000
    polls: int = 0
    sessions: set[bytes] = field(default_factory=set)
    opened: int = 0
    last: dict[str, str] = field(default_factory=dict)
    known: frozenset[str] = KNOWN
    _operations: dict[bytes, Operation] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def OpenSession(self, req: Any) -> Any:  # noqa: N802
        """A session, with its configuration, of which every name must be known."""
        ttypes = _ttypes()
        for name in req.configuration or {}:
            if name.upper() not in self.known:
                return ttypes.TOpenSessionResp(_lacking(name), _protocol())
        handle = ttypes.TSessionHandle(_identifier())
        with self._lock:
            self.sessions.add(handle.sessionId.guid)
            self.opened += 1
            self.last = dict(req.configuration or {})
        return ttypes.TOpenSessionResp(
            status=_status(),
            serverProtocolVersion=_protocol(),
            sessionHandle=handle,
            configuration={},
            initialNamespace=req.initialNamespace,
            canUseMultipleCatalogs=True,
        )

    def CloseSession(self, req: Any) -> Any:  # noqa: N802
        """Forget it."""
        ttypes = _ttypes()
        with self._lock:
            self.sessions.discard(req.sessionHandle.sessionId.guid)
        return ttypes.TCloseSessionResp(status=_status())

    def ExecuteStatement(self, req: Any) -> Any:  # noqa: N802
        """Carry it out; the answer holds its first rows, unless it is said to run on."""
        ttypes = _ttypes()
        if req.sessionHandle.sessionId.guid not in self.sessions:
            failed = ttypes.TStatus(
                statusCode=ttypes.TStatusCode.INVALID_HANDLE_STATUS,
                errorMessage="[INVALID_HANDLE.SESSION_NOT_FOUND] The session is not known here.",
            )
            return ttypes.TExecuteStatementResp(status=failed)
        operation = Operation(
            handle=ttypes.TOperationHandle(
                operationId=_identifier(),
                operationType=ttypes.TOperationType.EXECUTE_STATEMENT,
                hasResultSet=True,
            ),
            answer=None,
            polls=self.polls,
        )
        try:
            operation.answer = self.lakehouse.execute(req.statement, _values(req.parameters))
        except Refused as refused:
            operation.error = str(refused)
        with self._lock:
            self._operations[operation.handle.operationId.guid] = operation
        direct = ttypes.TSparkDirectResults(operationStatus=self._state(operation))
        if operation.answer is not None and not operation.polls:
            direct.resultSetMetadata = self._metadata(operation)
            direct.resultSet = self._page(operation)
            if not direct.resultSet.hasMoreRows:
                direct.closeOperation = ttypes.TCloseOperationResp(status=_status())
                self._forget(operation)
        return ttypes.TExecuteStatementResp(
            status=_status(), operationHandle=operation.handle, directResults=direct
        )

    def GetOperationStatus(self, req: Any) -> Any:  # noqa: N802
        """Whether it still runs."""
        operation = self._of(req)
        operation.polls = max(0, operation.polls - 1)
        return self._state(operation)

    def GetResultSetMetadata(self, req: Any) -> Any:  # noqa: N802
        """Names and types of its columns."""
        return self._metadata(self._of(req))

    def FetchResults(self, req: Any) -> Any:  # noqa: N802
        """The next page of rows."""
        operation = self._of(req)
        page = self._page(operation)
        page.resultSetMetadata = self._metadata(operation)
        return page

    def CloseOperation(self, req: Any) -> Any:  # noqa: N802
        """Forget it."""
        ttypes = _ttypes()
        with self._lock:
            self._operations.pop(req.operationHandle.operationId.guid, None)
        return ttypes.TCloseOperationResp(status=_status())

    def CancelOperation(self, _: Any) -> Any:  # noqa: N802
        """Too late: statements are carried out before they are answered."""
        ttypes = _ttypes()
        return ttypes.TCancelOperationResp(status=_status())

    def _of(self, req: Any) -> Operation:
        with self._lock:
            return self._operations[req.operationHandle.operationId.guid]

    def _forget(self, operation: Operation) -> None:
        with self._lock:
            self._operations.pop(operation.handle.operationId.guid, None)

    def _state(self, operation: Operation) -> Any:
        ttypes = _ttypes()
        states = ttypes.TOperationState
        if operation.polls:
            return ttypes.TGetOperationStatusResp(
                status=_status(), operationState=states.RUNNING_STATE
            )
        if operation.error:
            return ttypes.TGetOperationStatusResp(
                status=_status(),
                operationState=states.ERROR_STATE,
                errorMessage=operation.error,
                displayMessage=operation.error,
            )
        return ttypes.TGetOperationStatusResp(
            status=_status(),
            operationState=states.FINISHED_STATE,
            hasResultSet=True,
            numModifiedRows=operation.answer and operation.answer.modified,
        )

    def _metadata(self, operation: Operation) -> Any:
        ttypes = _ttypes()
        table = self._table(operation)
        columns = [
            ttypes.TColumnDesc(
                columnName=column.name, typeDesc=_type(column.type), position=i + 1, comment=""
            )
            for i, column in enumerate(table.schema)
        ]
        return ttypes.TGetResultSetMetadataResp(
            status=_status(),
            schema=ttypes.TTableSchema(columns),
            resultFormat=ttypes.TSparkRowSetType.ARROW_BASED_SET,
            lz4Compressed=False,
            arrowSchema=table.schema.serialize().to_pybytes(),
            isStagingOperation=operation.answer is not None
            and operation.answer.staging is not None,
        )

    def _page(self, operation: Operation) -> Any:
        ttypes = _ttypes()
        table = self._table(operation)
        part = table.slice(operation.fetched, self.page_rows)
        start, operation.fetched = operation.fetched, operation.fetched + part.num_rows
        batches = [
            ttypes.TSparkArrowBatch(batch=b.serialize().to_pybytes(), rowCount=b.num_rows)
            for b in part.combine_chunks().to_batches()
        ]
        return ttypes.TFetchResultsResp(
            status=_status(),
            hasMoreRows=operation.fetched < table.num_rows,
            results=ttypes.TRowSet(startRowOffset=start, rows=[], arrowBatches=batches),
        )

    def _table(self, operation: Operation) -> Any:
        import pyarrow as pa

        answer = operation.answer or Answer()
        if answer.staging is None:
            return answer.table if answer.table is not None else pa.table({})
        staging = answer.staging
        row = {
            "operation": staging.operation,
            "presignedUrl": self.url(staging.operation, staging.path),
            "headers": headers(),
            "localFile": staging.local,
        }
        return pa.table({name: pa.array([text], pa.string()) for name, text in row.items()})


@cache
def _ttypes() -> Any:
    """The classes that the connector's messages are made of."""
    return import_module("databricks.sql.thrift_api.TCLIService.ttypes")


def _status() -> Any:
    ttypes = _ttypes()
    return ttypes.TStatus(statusCode=ttypes.TStatusCode.SUCCESS_STATUS)


def _protocol() -> Any:
    return _ttypes().TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V7


def _lacking(name: str) -> Any:
    """Source: Databricks' error conditions, ``CONFIG_NOT_AVAILABLE``."""
    ttypes = _ttypes()
    return ttypes.TStatus(
        statusCode=ttypes.TStatusCode.ERROR_STATUS,
        errorMessage="[CONFIG_NOT_AVAILABLE.WITHOUT_SUGGESTION] Configuration"
        f" {name} is not available. SQLSTATE: 42K0I",
        sqlState="42K0I",
    )


def _identifier() -> Any:
    ttypes = _ttypes()
    return ttypes.THandleIdentifier(uuid4().bytes, uuid4().bytes)


def _values(parameters: Sequence[Any] | None) -> list[Any]:
    """Native parameters as Python has them."""
    if (many := len(parameters or ())) > _PARAMETERS:
        raise Refused(
            f"BAD_REQUEST: Parameterized query has too many parameters: {many} parameters were"
            f" given but the limit is {_PARAMETERS}."
        )
    return [_value(one.type, one) for one in parameters or ()]


def _value(kind: str, given: Any) -> Any:
    name = kind.partition("(")[0].upper()
    if name == "ARRAY":
        return [_value(part.type, part) for part in given.arguments or ()]
    text = getattr(given.value, "stringValue", given.value)
    if name == "VOID" or text is None:
        return None
    try:
        return _PYTHON[name](text)
    except (KeyError, ValueError) as error:
        raise Refused(f"[CAST_INVALID_INPUT] parameter {text!r} is no {kind}") from error


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _type(kind: Any) -> Any:
    import pyarrow as pa

    ttypes = _ttypes()
    ids = ttypes.TTypeId
    qualifiers = None
    if pa.types.is_decimal(kind):
        number = ids.DECIMAL_TYPE
        parts = {"precision": kind.precision, "scale": kind.scale}
        qualifiers = ttypes.TTypeQualifiers(
            {n: ttypes.TTypeQualifierValue(i32Value=v) for n, v in parts.items()}
        )
    else:
        tests = (
            (pa.types.is_boolean, ids.BOOLEAN_TYPE),
            (pa.types.is_int64, ids.BIGINT_TYPE),
            (pa.types.is_integer, ids.INT_TYPE),
            (pa.types.is_floating, ids.DOUBLE_TYPE),
            (pa.types.is_date, ids.DATE_TYPE),
            (pa.types.is_timestamp, ids.TIMESTAMP_TYPE),
            (pa.types.is_list, ids.ARRAY_TYPE),
        )
        number = next((found for test, found in tests if test(kind)), ids.STRING_TYPE)
    entry = ttypes.TPrimitiveTypeEntry(type=number, typeQualifiers=qualifiers)
    return ttypes.TTypeDesc([ttypes.TTypeEntry(primitiveEntry=entry)])
