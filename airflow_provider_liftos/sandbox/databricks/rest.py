"""Statement Execution over REST: statements, their states, and results behind signed addresses.

By the vendor's reference: results of ``EXTERNAL_LINKS`` and ``ARROW_STREAM`` come in chunks; their
addresses are signed and refuse credentials. Values have names, as ``:name`` in the text.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import uuid4

from .lakehouse import Lakehouse, Refused

Reply: TypeAlias = tuple[int, bytes, dict[str, str]]

_MARK = re.compile(r"'(?:[^'\\]|\\.)*'|`[^`]*`|(?<![:\w]):(?P<name>[A-Za-z_]\w*)")
_PYTHON: dict[str, Callable[[str], Any]] = {
    "INT": int,
    "BIGINT": int,
    "DOUBLE": float,
    "BOOLEAN": lambda text: text == "true",
    "DATE": date.fromisoformat,
    "TIMESTAMP": datetime.fromisoformat,
    "DECIMAL": Decimal,
}


@dataclass(slots=True, kw_only=True)
class Statement:
    """What was submitted; it runs for so many ``polls``. ``chunks`` are its result's."""

    polls: int
    state: str = "SUCCEEDED"
    error: dict[str, str] = field(default_factory=dict)
    schema: list[dict[str, Any]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    id: str = field(default_factory=lambda: str(uuid4()))


@dataclass(slots=True, kw_only=True)
class Statements:
    """``/api/2.0/sql/statements``; each is said to run for ``polls`` looks at it.

    ``sign`` makes an address of the path of a chunk, which holds ``chunk_rows`` rows. ``asked`` are
    the submitted bodies, ``cancelled`` the ids; ``stale`` addresses are refused, ``broken`` are
    code and message with which the next statements fail.
    """

    lakehouse: Lakehouse
    sign: Callable[[str], str]
    polls: int = 0
    chunk_rows: int = 10_000
    stale: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    _found: dict[str, Statement] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def post(self, path: str, body: bytes) -> Reply:
        """Submit a statement, or cancel one."""
        if path.strip("/"):
            return self._cancel(path.strip("/").partition("/")[0])
        asked = json.loads(body or b"{}")
        if not asked.get("statement") or not asked.get("warehouse_id"):
            return _reply(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "what, where?"})
        one = Statement(polls=self.polls)
        try:
            self._carry_out(one, asked)
        except Refused as refused:
            one.state = "FAILED"
            one.error = {"error_code": "BAD_REQUEST", "message": str(refused)}
        if self.broken:
            code, message = self.broken.pop(0)
            one.state, one.error = "FAILED", {"error_code": code, "message": message}
        with self._lock:
            self.asked.append(asked)
            self._found[one.id] = one
        return _reply(200, self._told(one))

    def get(self, path: str) -> Reply:
        """What became of one, or where a chunk of its result is."""
        statement_id, *rest = path.strip("/").split("/")
        one = self._found.get(statement_id)
        if one is None:
            return _reply(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": path})
        if rest[:2] == ["result", "chunks"]:
            return _reply(200, self._link(one, int(rest[2])))
        one.polls = max(0, one.polls - 1)
        return _reply(200, self._told(one))

    def chunk(self, path: str, headers: Any) -> Reply:
        """A chunk at its signed address."""
        if headers.get("Authorization"):
            return 400, b"only one way to be let in", {}
        if self.stale > 0:
            self.stale -= 1
            return 403, b"this address is no longer valid", {}
        statement_id, number = path.strip("/").split("/")
        return 200, self._found[statement_id].chunks[int(number)], {}

    def forget(self) -> None:
        """Let all results go, as after an hour."""
        self._found.clear()

    def cancel_all(self) -> None:
        """End what runs, as somebody else would."""
        for statement_id in self._found:
            self._cancel(statement_id)
        self.cancelled.clear()

    def _carry_out(self, one: Statement, asked: dict[str, Any]) -> None:
        import pyarrow as pa

        given = {part["name"]: part for part in asked.get("parameters") or ()}
        values: list[Any] = []

        def placed(found: re.Match[str]) -> str:
            if not found["name"]:
                return found[0]
            values.append(_value(given, found["name"]))
            return "?"

        text = _MARK.sub(placed, asked["statement"])
        table = self.lakehouse.execute(text, values).table
        for column in table.schema if table is not None else ():
            one.schema.append({"name": column.name, "type_text": str(column.type)})
        if table is None or asked.get("format") != "ARROW_STREAM":
            return
        for start in range(0, table.num_rows, self.chunk_rows):
            part = table.slice(start, self.chunk_rows)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, part.schema) as writer:
                writer.write_table(part)
            one.chunks.append(sink.getvalue().to_pybytes())
            one.sizes.append(part.num_rows)

    def _cancel(self, statement_id: str) -> Reply:
        one = self._found.get(statement_id)
        self.cancelled.append(statement_id)
        if one is not None and one.polls:
            one.polls, one.state = 0, "CANCELED"
        return _reply(200, {})

    def _told(self, one: Statement) -> dict[str, Any]:
        state = "RUNNING" if one.polls else one.state
        told: dict[str, Any] = {"statement_id": one.id, "status": {"state": state}}
        if state == "FAILED":
            told["status"]["error"] = one.error
        if state == "SUCCEEDED":
            told["manifest"] = {
                "format": "ARROW_STREAM",
                "schema": {"column_count": len(one.schema), "columns": one.schema},
                "total_chunk_count": len(one.chunks),
                "total_row_count": sum(one.sizes),
                "truncated": False,
            }
            told["result"] = self._link(one, 0) if one.chunks else {}
        return told

    def _link(self, one: Statement, number: int) -> dict[str, Any]:
        link: dict[str, Any] = {
            "external_link": self.sign(f"/{one.id}/{number}"),
            "chunk_index": number,
            "row_count": one.sizes[number],
        }
        if number + 1 < len(one.chunks):
            link["next_chunk_index"] = number + 1
        return {"external_links": [link]}


def _value(given: dict[str, Any], name: str) -> Any:
    if name not in given:
        raise Refused(f"[UNBOUND_SQL_PARAMETER] Found the unbound parameter: {name}.")
    text, kind = given[name].get("value"), str(given[name].get("type") or "STRING")
    if text is None:
        return None
    return _PYTHON.get(kind.partition("(")[0], str)(text)


def _reply(status: int, told: dict[str, Any]) -> Reply:
    return status, json.dumps(told).encode(), {"Content-Type": "application/json"}
