"""Statement Execution over REST, as far as waiting for a statement needs it."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import uuid4

from .lakehouse import Lakehouse, Refused

Reply: TypeAlias = tuple[int, bytes, dict[str, str]]


@dataclass(slots=True, kw_only=True)
class Statements:
    """``/api/2.0/sql/statements``; each is said to run for ``polls`` looks at it."""

    lakehouse: Lakehouse
    polls: int = 0
    _found: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def post(self, path: str, body: bytes) -> Reply:
        """Submit a statement, or cancel one."""
        if path.strip("/"):
            return self._cancel(path.strip("/").partition("/")[0])
        asked = json.loads(body or b"{}")
        if not asked.get("statement") or not asked.get("warehouse_id"):
            return _reply(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "what, where?"})
        one: dict[str, Any] = {
            "id": str(uuid4()),
            "polls": self.polls,
            "state": "SUCCEEDED",
            "error": "",
        }
        try:
            values = [part.get("value") for part in asked.get("parameters") or ()]
            self.lakehouse.execute(asked["statement"], values)
        except Refused as refused:
            one |= {"state": "FAILED", "error": str(refused)}
        with self._lock:
            self._found[one["id"]] = one
        return _reply(200, self._told(one))

    def get(self, path: str) -> Reply:
        """What became of one."""
        one = self._found.get(path.strip("/"))
        if one is None:
            return _reply(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": path})
        one["polls"] = max(0, one["polls"] - 1)
        return _reply(200, self._told(one))

    def _cancel(self, statement_id: str) -> Reply:
        one = self._found.get(statement_id)
        if one is not None and one["polls"]:
            one |= {"polls": 0, "state": "CANCELED"}
        return _reply(200, {})

    def _told(self, one: dict[str, Any]) -> dict[str, Any]:
        state = "RUNNING" if one["polls"] else one["state"]
        status: dict[str, Any] = {"state": state}
        if state == "FAILED":
            status["error"] = {"error_code": "BAD_REQUEST", "message": one["error"]}
        return {"statement_id": one["id"], "status": status}


def _reply(status: int, told: dict[str, Any]) -> Reply:
    return status, json.dumps(told).encode(), {"Content-Type": "application/json"}
