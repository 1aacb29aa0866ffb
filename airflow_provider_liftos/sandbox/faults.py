"""Faults on order: which request goes wrong, how, and how often.

Every order may name ``platform``, ``match`` (substring or pattern of ``METHOD path``),
``account``, ``times`` or ``probability`` (neither: every time), ``regain`` (seconds of sandbox
time after which it lifts itself) and, to override what the kind says, ``code``, ``subcode``,
``status``, ``message``.

=====================  ========================================================================
http_500               an error of the platform; ``bare``: JSON without an error in it
http_502_html          a gateway's page
timeout, slow          silence until the client gives up, or for ``seconds``; a late answer
reset, truncated_body  the connection breaks before, or amid, the answer
rate_limit             refused, with the headers full and ``regain`` (300) seconds to wait
lockout                refused until ``regain`` (3600) seconds have passed
utilisation            no refusal: headers show ``percent``, or only the ``header`` named does
token_expired          the token is refused, unless issued later; ``token``: this one only
token_revoked          the same, withdrawn instead of expired
proof_required         unsigned calls are refused
version_dead           the version is refused; ``version``: this one only
field_gone             ``field`` does not exist (any more)
too_much_data          pages above ``max_limit``; or queries that meet the conditions below
job_failed             reports fail if they meet: ``max_days``, ``max_ids`` (exceeded), ``ad_ids``
                       (one covered), ``field`` (asked for), ``date`` (covered); ``bare``: no reason
job_skipped            reports are never begun
job_stuck              reports never end; ``percent`` (40) is where they stay
result_not_ready       complete, but not to be read yet
empty_page_mid_stream  a page without rows though more follow; nothing is lost
duplicate_page         a page that was served before; nothing is lost
async_refused          reports cannot be asked for as tasks: the application is not allowed to
ads_cut                only the newest ``threshold`` ads are looked at, as the answer's headers say
rows_changed           rows of Meta's reports (of ``date``) are wrong: fields ``set``, or left out
                       where that says null, numbers ``multiply``; ``again``: beside the right row
batch_null             an item of a batch is not executed (so do the faults of the line, there)
=====================  ========================================================================
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from .clock import Clock
from .dataset.chance import number

# What happens to the connection, whatever the platform.
TRANSPORT = frozenset(
    {"http_500", "http_502_html", "timeout", "reset", "truncated_body", "slow"},
)
# What each platform says in its own words.
SPOKEN = frozenset(
    {
        "rate_limit", "lockout", "token_expired", "token_revoked", "version_dead", "field_gone",
        "job_failed", "job_skipped", "job_stuck", "result_not_ready", "too_much_data",
        "empty_page_mid_stream", "duplicate_page", "utilisation", "proof_required", "batch_null",
        "async_refused", "ads_cut", "rows_changed",
    }
)  # fmt: skip
KINDS = TRANSPORT | SPOKEN

_KNOWN = ("kind", "platform", "match", "times", "probability", "account")
_REGAIN = ("regain", "regain_seconds", "retry", "retry_seconds", "retry_after")


class UnknownFaultError(ValueError):
    """A fault was ordered that does not exist, or that says nothing about when it ends."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One order. ``options`` holds what only some kinds know (field, max_limit, code …)."""

    id: int
    kind: str
    platform: str
    match: str
    times: int | None
    probability: float | None
    account: str | None
    made_at: datetime
    until: datetime | None
    options: dict[str, Any] = field(default_factory=dict)
    hits: int = 0

    def concerns(self, platform: str, line: str, account: str | None) -> bool:
        """Say whether a request (``METHOD path``) of an account is meant."""
        if self.platform not in ("", platform):
            return False
        if self.account and self.account.removeprefix("act_") != account:
            return False
        return self.match in line or _found(self.match, line)

    def remaining(self, now: datetime) -> int:
        """Return the seconds until the fault lifts itself, 0 if it does not."""
        return max(0, round((self.until - now).total_seconds())) if self.until else 0

    def public(self) -> dict[str, Any]:
        """Return what the control interface shows."""
        shown = {name: getattr(self, name) for name in (*_KNOWN, "id", "hits")}
        return {**shown, **self.options}


def _found(pattern: str, line: str) -> bool:
    try:
        return re.search(pattern, line) is not None
    except re.error:
        return False


class Faults:
    """The orders in force, in the order in which they were made."""

    def __init__(self, clock: Clock, *, seed: int) -> None:
        self._clock = clock
        self._seed = seed
        self._ids = count(1)
        self._lock = threading.Lock()
        self._orders: list[Fault] = []

    def add(self, **order: Any) -> int:
        """Order a fault and return its id.

        ``kind`` and optionally ``platform``, ``match`` (substring or pattern of
        ``METHOD path``), ``times`` or ``probability`` (else every time), ``account``,
        ``regain`` (seconds after which it lifts itself), and what the kind understands.
        Raises UnknownFaultError for an unknown kind or a senseless number.
        """
        kind = str(order.get("kind", ""))
        if kind not in KINDS:
            raise UnknownFaultError(f"kind={kind!r} is none of {', '.join(sorted(KINDS))}")
        now = self._clock.now()
        fault = Fault(
            id=next(self._ids),
            kind=kind,
            platform=str(order.get("platform") or ""),
            match=str(order.get("match") or ""),
            times=_number(order, "times", int),
            probability=_number(order, "probability", float),
            account=str(order["account"]) if order.get("account") else None,
            made_at=now,
            until=_until(kind, order, now),
            options={name: value for name, value in order.items() if name not in _KNOWN},
        )
        with self._lock:
            self._orders.append(fault)
        return fault.id

    def clear(self) -> int:
        """Forget every order; returns how many there were."""
        with self._lock:
            gone, self._orders = len(self._orders), []
            return gone

    def listed(self) -> list[dict[str, Any]]:
        """Return the orders in force."""
        with self._lock:
            return [fault.public() for fault in self._orders]

    def take(
        self,
        kinds: Collection[str],
        *,
        platform: str,
        line: str,
        account: str | None = None,
        accept: Callable[[Fault], bool] = lambda _: True,
    ) -> Fault | None:
        """Return the first order that hits this request, and count the hit."""
        if not self._orders:
            return None
        now = self._clock.now()
        with self._lock:
            self._orders = [one for one in self._orders if not one.until or one.until > now]
            for fault in self._orders:
                if fault.kind not in kinds or not fault.concerns(platform, line, account):
                    continue
                if accept(fault) and self._strikes(fault):
                    return fault
        return None

    def _strikes(self, fault: Fault) -> bool:
        fault.hits += 1
        if fault.probability is not None:
            # Chance without state: the same orders hit the same requests in every run.
            drawn = number(10**6, self._seed, "fault", fault.id, fault.hits) / 10**6
            if drawn >= fault.probability:
                return False
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._orders.remove(fault)
        return True


def _number(order: dict[str, Any], name: str, kind: type[Any]) -> Any:
    value = order.get(name)
    if value is None:
        return None
    try:
        found = kind(value)
    except (TypeError, ValueError) as error:
        raise UnknownFaultError(f"{name}={value!r} is not a number") from error
    if found < 0 or (name == "times" and found < 1):
        raise UnknownFaultError(f"{name}={value!r} is too small")
    return found


def _until(kind: str, order: dict[str, Any], now: datetime) -> datetime | None:
    seconds = next((_number(order, name, float) for name in _REGAIN if name in order), None)
    if seconds is None and kind == "lockout":
        seconds = 3600.0
    if seconds is None or (kind == "rate_limit" and order.get("times")):
        return None
    return now + timedelta(seconds=seconds)
