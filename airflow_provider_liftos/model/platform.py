"""A platform as data: how to get in, how fast, what can go wrong, what comes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Any, Protocol, TypeVar

from airflow_provider_liftos.model.consent import Consent
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.quality import Quality
from airflow_provider_liftos.model.report import Account, Level, Report, Slice
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.model.wire import Request, Response, Rule, Signal, VendorError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An API version and the day it is switched off (None: not announced)."""

    name: str
    sunset: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most ``calls`` per ``per`` seconds; ``scope`` is ``app`` or ``account``.

    ``option`` names the connection field that overrides ``calls``. With a ``path``, which may hold
    ``*``, only calls to those that match it count. A ``burst`` is named where the platform keeps a
    bucket of that size which refills at ``calls`` per ``per`` seconds, instead of counting windows.
    """

    name: str
    scope: str
    calls: float
    per: float
    option: str
    path: str = ""
    burst: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionField:
    """One field of the connection form, kept in the connection's extra."""

    name: str
    label: str
    description: str = ""
    secret: bool = False
    kind: str = "string"
    default: str | int | bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A connection, read: where, which version, which secrets, which options.

    ``is_mock`` says that its rows are invented: they are kept apart from those people read.
    ``asked_version`` is the API version that the connection names, where ``version`` is another
    one because that is switched off.
    """

    org_id: str
    conn_id: str
    base_url: str
    version: str
    secrets: Mapping[str, Secret]
    asked_version: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    is_mock: bool = False

    def secret(self, name: str) -> str:
        """The plain secret; ConfigurationError names the field when it is empty."""
        value = self.secrets.get(name)
        if not value:
            raise ConfigurationError(
                f"connection {self.conn_id!r} has no {name}",
                hint=f"Fill in the field {name!r} of that connection.",
            )
        return value.reveal()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """What the platform says of a token. ``expires_at`` in epoch seconds, 0 for never."""

    valid: bool
    scopes: tuple[str, ...] = ()
    expires_at: float = 0.0
    note: str = ""


class ReportState(Enum):
    """Where a report is on the platform's side."""

    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportStatus:
    """What a poll says of one report, in an answer of its own with ``headers`` where in a batch."""

    report_id: str
    state: ReportState
    percent: int = 0
    error: VendorError | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page: rows as raw JSON texts, and the cursor of the next page (None at the end)."""

    rows: Sequence[Any]
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """Rows that are read page by page: ``request`` takes a page's size and its cursor.

    ``page`` raises ValueError for what is no page.
    """

    request: Callable[[int, str | None], Request]
    page: Callable[[bytes], Page]
    page_size: int


class Decoder(Protocol):
    """Makes rows (raw JSON texts) of an answer that comes in pieces."""

    def feed(self, piece: bytes) -> Sequence[Any]:
        """Rows that are complete by now; ValueError, or BrokenStream when the platform says so.

        Pieces of a remote procedure are its messages; those of HTTP may begin and end anywhere.
        """
        ...

    def end(self) -> Sequence[Any]:
        """The last rows; ValueError when the answer ended too early."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """Rows that are read in one long answer; a broken one is asked for again from its beginning."""

    request: Request
    decoder: Callable[[], Decoder]


Reading = Paged | Streamed


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A report that the platform is preparing, or has prepared."""

    report_id: str
    slice: Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncReport:
    """A report that is submitted, polled and then read.

    ``poll`` asks about many reports at once, at most ``poll_batch``. ``cancel`` is None where the
    platform cannot. ``per_account`` of them may run at a time, ``per_app`` of all accounts.
    """

    submit: Callable[[Slice], Request]
    report_id: Callable[[bytes], str]
    poll: Callable[[Sequence[Pending]], Request]
    statuses: Callable[[bytes, Sequence[Pending]], Sequence[ReportStatus]]
    result: Callable[[Pending], Reading]
    poll_batch: int
    timeout: float
    per_account: int
    cancel: Callable[[Pending], Request] | None = None
    per_app: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What came of an exchange: an access token, and its lifetime in seconds (inf: for ever).

    ``refresh_token`` is there where the platform hands out another one with it.
    """

    token: Secret
    lifetime: float
    refresh_token: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """How a long-lived credential becomes an access token.

    ``request`` names its own base URL and is sent as it is; ``read`` understands the answer. What
    came of it lies over the connection as the secrets ``access_token`` and ``refresh_token``.
    ``credential`` names the secrets and options of the connection that tokens are made of, and
    that say whom they are sent to: when a person changes one of them, former tokens are dropped.

    ``rotates``: a refresh token is good for one exchange, which brings the next one.
    ``early``: the access token of the connection is itself what is exchanged, that many seconds
    before its end, of which the platform's ``token`` tells; one that does not end is left alone.
    ``applies`` says whether a connection has what it takes.
    """

    request: Callable[[Credentials], Request]
    read: Callable[[bytes], Granted]
    credential: tuple[str, ...]
    rotates: bool = False
    early: float | None = None
    applies: Callable[[Credentials], bool] = lambda _credentials: True


class Caller(Protocol):
    """What can carry out a platform's calls: a session."""

    def call(self, request: Request, read: Callable[[bytes], T]) -> Generator[Any, Any, T]:
        """A flow that sends until there is an answer that ``read`` understands."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a record and the unified column it fills; ``""`` keeps it in ``details``.

    ``expression`` is SQL over the raw columns where a plain cast is not enough. ``since`` is the
    first API version that has it, ``until`` the first that has it no more; rows of others lack it.
    """

    source: str
    column: str = ""
    kind: Kind = Kind.TEXT
    expression: str = ""
    since: str = ""
    until: str = ""

    def is_in(self, version: str) -> bool:
        """Whether that API version has it."""
        spoken = _number(version)
        begun = not self.since or spoken >= _number(self.since)
        return begun and (not self.until or spoken < _number(self.until))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How a platform tells what has changed, so that only that is read.

    ``read`` asks for all changes since the slice's ``changed_since``; ``campaigns`` makes ids of
    campaigns of their rows, below which everything is to be read again, or None where that would
    not be all of it, or too much: then everything is listed. ``days`` is for how long the platform
    remembers changes.
    """

    read: Callable[[Slice, Credentials], Reading]
    campaigns: Callable[[Iterable[Mapping[str, Any]]], Collection[str] | None]
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A kind of record that is listed in full, per account.

    With ``changes`` a listing can be brought up to date: ``read`` then obeys the slice's ``ids``.
    """

    name: str
    table: str
    fields: tuple[Field, ...]
    read: Callable[[Slice, Credentials], Reading]
    changes: Changes | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Names to ask the platform for."""
        return tuple(dict.fromkeys(f.source for f in self.fields))

    def sources_in(self, version: str) -> tuple[str, ...]:
        """Those of them that an API version has."""
        return tuple(dict.fromkeys(f.source for f in self.fields if f.is_in(version)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMapping:
    """How raw rows of one report become rows of ``performance``.

    ``raw`` gives each raw column its DuckDB type, ``select`` an SQL expression per unified column,
    ``windows`` more of them per attribution window, each of which becomes a row. ``unnest`` names
    list columns whose items become rows of their own, known to the SQL as ``list_name`` and
    ``item``. ``required`` names raw columns without which a row cannot be kept; the first of them
    is its day. ``measures`` are the raw columns that are not dimensions. Rows that differ in
    nothing but the columns ``apart``, because the platform's are finer than the report's, become
    one, for which the measures ``added`` are summed.
    """

    raw: Mapping[str, str]
    select: Mapping[str, str]
    windows: Mapping[str, Mapping[str, str]]
    unnest: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What rows of a report may lack or have too much, by the platform's own rules.

    ``sparse``: a day with delivery may have no row. ``partial``: rows may come to less than the
    account's total also without breakdowns. ``overlapping``: rows count some things several times.
    """

    sparse: bool = False
    partial: bool = False
    overlapping: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """What the platform keeps and when it settles, in days."""

    history_days: int
    restatement_days: int
    delay_days: int = 1
    note: str = ""


USUAL_REPORTS = ("basic:account", "basic:campaign", "basic:ad_group", "basic:ad")


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Everything the engines need to know of a platform; no engine knows one by name.

    ``hook`` is the hook's class; without one of its own a platform gets a plain one.
    ``accounts`` is a flow that lists every account the token sees. A report is read as ``at_once``
    says, and where that says None, submitted as a ``prepared`` one. ``longest`` is how many days a
    slice of a report may have; ``at_once_days`` the same for reports that the platform was asked
    to prepare and will not; ``kept_days`` how many days of a report it keeps, where these are fewer
    than of others. ``notices`` reads from an answer's headers what a person should be told,
    ``outlived`` what they say when another API version answered because the one asked for is dead.
    ``trace_header`` names the header (lower-case) by which the platform finds a call again.
    ``app`` names the app of a connection, whose limits all its connections share; empty: unknown.
    ``ids_per_part`` is how many ids one call may name where a slice is divided by ids; None: any
    number. ``adopt`` reads a connection's extra, also as other tools have written it.
    ``body_signals`` are what a body says of limits, where a platform does not in headers.
    ``usual_reports`` are what a pipeline brings unless told otherwise. A platform with a
    ``query_language`` takes reports made of users' own queries.
    """

    name: str
    title: str
    conn_type: str
    documentation: str
    base_url: str
    versions: tuple[Version, ...]
    conn_fields: tuple[ConnectionField, ...]
    limits: tuple[Limit, ...]
    rules: tuple[Rule, ...]
    authorize: Callable[[Request, Credentials], Request]
    error: Callable[[Response], VendorError | None]
    signals: Callable[[Mapping[str, str], str | None], Sequence[Signal]]
    scopes: tuple[str, ...]
    token: Callable[[Credentials], Request]
    read_token: Callable[[bytes], TokenFacts]
    accounts: Callable[[Caller, Credentials], Generator[Any, Any, Sequence[Account]]]
    presets: Mapping[str, Callable[[Level], Report]]
    check: Callable[[Report], Report]
    mapping: Callable[[Report, Mapping[str, Any]], RowMapping]
    minor_units: Callable[[str], int]
    streams: tuple[Stream, ...]
    availability: Availability
    account_url: Callable[[str], str]
    hook: str = ""
    grant: Grant | None = None
    consent: Consent | None = None
    prepared: AsyncReport | None = None
    at_once: Callable[[Slice, Credentials], Reading | None] = lambda _cut, _credentials: None
    slice_days: int = 30
    longest: Callable[[Report], int | None] = lambda _report: None
    kept_days: Callable[[Report], int | None] = lambda _report: None
    at_once_days: int = 30
    notices: Callable[[Mapping[str, str]], Sequence[str]] = lambda _headers: ()
    outlived: Callable[[Mapping[str, str]], str] = lambda _headers: ""
    trace_header: str = ""
    app: Callable[[Credentials], str] = lambda _credentials: ""
    ids_per_part: Callable[[Credentials], int | None] = lambda _credentials: None
    adopt: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda extra: extra
    usual_reports: tuple[str, ...] = USUAL_REPORTS
    query_language: str = ""
    body_signals: Callable[[bytes], Sequence[Signal]] = lambda _body: ()
    coverage: Callable[[Report], Coverage] = lambda _report: Coverage()
    quality: Quality = field(default_factory=Quality)

    def stream(self, name: str) -> Stream:
        """The stream of that name; ConfigurationError lists the others."""
        for stream in self.streams:
            if stream.name == name:
                return stream
        known = ", ".join(s.name for s in self.streams)
        raise ConfigurationError(f"{self.name} has no stream {name!r}; it has {known}")

    def preset(self, name: str, level: Level) -> Report:
        """The prebuilt report of that name; ConfigurationError lists the others."""
        if name not in self.presets:
            known = ", ".join(sorted(self.presets))
            raise ConfigurationError(f"{self.name} has no report {name!r}; it has {known}")
        return self.presets[name](level)

    def asynchronous(self) -> AsyncReport:
        """How reports are prepared; ConfigurationError where none are."""
        if self.prepared is None:
            raise ConfigurationError(f"{self.name} prepares no reports: all are read at once")
        return self.prepared

    def reading(self, cut: Slice, credentials: Credentials) -> Reading | None:
        """How a slice is read without being prepared; None when it must be."""
        if cut.stream:
            stream = self.stream(cut.stream)
            if stream.changes and cut.changed_since:
                return stream.changes.read(cut, credentials)
            return stream.read(cut, credentials)
        return self.at_once(cut, credentials)

    def newest(self) -> str:
        """The newest version, the default of new connections."""
        return self.versions[0].name
