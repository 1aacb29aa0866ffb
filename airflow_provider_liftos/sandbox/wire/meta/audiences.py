"""Custom audiences that clients make: creation, look-alikes, members."""

from __future__ import annotations

import re
import threading
from itertools import count
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Account

from .call import Call, Reply
from .errors import GraphError, invalid

_SOURCES = ("USER_PROVIDED_ONLY", "PARTNER_PROVIDED_ONLY", "BOTH_USER_AND_PARTNER_PROVIDED")
_KEYS = frozenset(
    [
        "EXTERN_ID",
        "EMAIL",
        "PHONE",
        "GEN",
        "DOBY",
        "DOBM",
        "DOBD",
        "LN",
        "FN",
        "FI",
        "CT",
        "ST",
        "ZIP",
        "MADID",
        "COUNTRY",
    ]
)
_PLAIN = frozenset({"EXTERN_ID", "MADID"})
_MOST_ROWS = 10_000
_HASH = re.compile(r"[0-9a-f]{64}")


class Audiences:
    """What was made in this sandbox, beside the audiences of the dataset."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._made: dict[str, tuple[str, set[str]]] = {}

    def account_of(self, identity: str) -> str | None:
        """Return the account of an audience that was made here."""
        made = self._made.get(identity)
        return made[0] if made else None

    def members(self, identity: str) -> int:
        """Return how many people an audience holds."""
        return len(self._made[identity][1]) if identity in self._made else 0

    def create(self, call: Call, account: Account) -> Reply:
        """Answer ``POST /act_{id}/customaudiences``."""
        if not call.text("name"):
            raise invalid("The parameter name is required")
        subtype = call.text("subtype") or "CUSTOM"
        if subtype == "LOOKALIKE":
            spec = call.json("lookalike_spec")
            if not call.text("origin_audience_id") or not isinstance(spec, dict):
                raise invalid("A lookalike needs origin_audience_id and lookalike_spec")
        elif call.text("customer_file_source") not in _SOURCES:
            raise invalid(f"customer_file_source must be one of {', '.join(_SOURCES)}")
        with self._lock:
            identity = f"1202{9999:04d}9{next(self._numbers):05d}0000"
            self._made[identity] = (account.id, set())
        return Reply(payload={"id": identity}, rows=1)

    def users(self, call: Call, identity: str) -> Reply:
        """Answer ``POST`` or ``DELETE /{audience}/users``: rows of hashed keys."""
        schema, rows = _payload(call)
        bad = [row for row in rows if not _valid(row, schema)]
        keys = {"|".join(map(str, row)) for row in rows if _valid(row, schema)}
        with self._lock:
            _, members = self._made.setdefault(identity, ("", set()))
            if call.request.method == "DELETE":
                members.difference_update(keys)
            else:
                members.update(keys)
        session = call.json("session") or {}
        payload = {
            "audience_id": identity,
            "session_id": str(session.get("session_id", "0")),
            "num_received": len(rows),
            "num_invalid_entries": len(bad),
            "invalid_entry_samples": {},
        }
        return Reply(payload=payload, rows=len(rows))


def _payload(call: Call) -> tuple[list[str], list[list[Any]]]:
    payload = call.json("payload")
    if not isinstance(payload, dict) or "schema" not in payload or "data" not in payload:
        raise invalid("The parameter payload is required")
    schema = payload["schema"]
    schema = [schema] if isinstance(schema, str) else list(schema)
    unknown = [key for key in schema if key.removesuffix("_SHA256") not in _KEYS]
    if unknown:
        raise invalid(f"Unknown schema key {unknown[0]}")
    rows = [row if isinstance(row, list) else [row] for row in payload["data"]]
    if len(rows) > _MOST_ROWS:
        raise GraphError(
            f"(#100) The number of users in one call must not exceed {_MOST_ROWS}", code=100
        )
    return schema, rows


def _valid(row: list[Any], schema: list[str]) -> bool:
    if len(row) != len(schema):
        return False
    filled = [(key, str(value)) for key, value in zip(schema, row, strict=True) if str(value or "")]
    return bool(filled) and all(
        key in _PLAIN or _HASH.fullmatch(value) is not None for key, value in filled
    )
