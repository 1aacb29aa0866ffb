"""What goes over the wire, free of any HTTP library, and how answers are judged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum


class Verdict(Enum):
    """What an answer means for the caller."""

    OK = "ok"
    RETRY = "retry"
    THROTTLED = "throttled"
    REAUTHORIZE = "reauthorize"
    SHRINK = "shrink"
    TOO_MANY_IDS = "too_many_ids"
    FIELD_GONE = "field_gone"
    NOT_PREPARED = "not_prepared"
    NOT_READY = "not_ready"
    REPORT_FAILED = "report_failed"
    SKIP = "skip"
    VERSION_DEAD = "version_dead"
    REJECTED = "rejected"
    FATAL = "fatal"


class Lane(IntEnum):
    """Who goes first where there is not room for all.

    A person who waits; then the newest days; then history.
    """

    INTERACTIVE = 0
    FRESH = 1
    BULK = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call, before authorization.

    ``path`` is relative to the versioned base URL, or to ``base_url`` where a platform has several;
    ``grpc://`` (in clear) and ``grpcs://`` are remote procedures by their full names.
    ``query`` and ``form`` values are texts; ``body`` is sent as it is.
    ``account`` selects the account's limits and breaker; ``via`` is the account through which the
    token reaches it, where that is another. ``cost`` is what the platform counts.
    ``repeatable`` is false for calls that create something: they are never sent twice blindly.
    ``lane`` None is the session's.
    ``version`` is the API version in whose words it is put, where they are of one alone.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    base_url: str | None = None
    account: str | None = None
    via: str | None = None
    cost: int = 1
    repeatable: bool = True
    lane: Lane | None = None
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """How an answer came: connections ``opened`` for it, protocol, and ``bytes`` on the line."""

    opened: int = 0
    protocol: str = ""
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer; header names are lower-case. ``status`` is HTTP's, also for remote procedures."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    transfer: Transfer = Transfer()


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorError:
    """An error as the platform words it. ``wait`` is in seconds, ``field`` the one it names."""

    code: int | None = None
    subcode: int | None = None
    message: str = ""
    transient: bool = False
    request_id: str | None = None
    field: str | None = None
    wait: float | None = None


class BrokenStream(Exception):
    """An answer that began well says amid its rows that it cannot go on."""

    def __init__(self, error: VendorError, status: int) -> None:
        super().__init__(error.message)
        self.error = error
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Turns a vendor's error into a verdict. Empty parts match everything; first match wins.

    ``one_account`` says that a refusal concerns the account asked about, not the connection.
    """

    verdict: Verdict
    why: str
    code: frozenset[int] = frozenset()
    subcode: frozenset[int] = frozenset()
    status: frozenset[int] = frozenset()
    text: str = ""
    transient: bool | None = None
    one_account: bool = False

    def matches(self, status: int, error: VendorError) -> bool:
        """Whether this rule speaks about that answer."""
        return (
            (not self.code or error.code in self.code)
            and (not self.subcode or error.subcode in self.subcode)
            and (not self.status or status in self.status)
            and (not self.text or re.search(self.text, error.message, re.IGNORECASE) is not None)
            and (self.transient is None or self.transient == error.transient)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict with the words to report it."""

    verdict: Verdict
    why: str = ""
    error: VendorError = field(default_factory=VendorError)
    one_account: bool = False


def judge(rules: tuple[Rule, ...], status: int, error: VendorError) -> Judgement:
    """The first rule that matches; without one, 5xx and transient errors are retried.

    HTTP 426 (Upgrade Required) is the same wherever no rule says otherwise.
    """
    for rule in rules:
        if rule.matches(status, error):
            return Judgement(
                verdict=rule.verdict, why=rule.why, error=error, one_account=rule.one_account
            )
    if status == 426:
        why = "this API version is switched off"
        return Judgement(verdict=Verdict.VERSION_DEAD, why=why, error=error)
    if status >= 500 or error.transient:
        return Judgement(verdict=Verdict.RETRY, why="the platform is unwell", error=error)
    return Judgement(verdict=Verdict.REJECTED, why="the platform refused the request", error=error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What a response says about a limit: how much is used, and how long to wait (seconds).

    ``key`` is the scope of the limit, ``app`` or ``account``. ``account`` is the one that the
    response names itself, for calls that are of none, such as a batch. ``limit`` is the name of the
    one limit it is about, where there are several. ``rate`` is what the platform allows, in
    requests (or points) per second, ``left`` how many more it takes now, ``cost`` what this one
    came to.
    """

    key: str
    used: float = 0.0
    wait: float = 0.0
    account: str | None = None
    limit: str = ""
    rate: float | None = None
    left: float | None = None
    cost: float | None = None
