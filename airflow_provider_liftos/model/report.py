"""Reports (what is asked of a platform), slices (account x dates of a report) and windows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from airflow_provider_liftos.model.errors import ConfigurationError


class Level(StrEnum):
    """The four grains of advertising; every platform's own words map onto them."""

    ACCOUNT = "account"
    CAMPAIGN = "campaign"
    AD_GROUP = "ad_group"
    AD = "ad"


DEFAULT_WINDOW = "default"

SNAPSHOT, CHANGES = "snapshot", "changes"
"""In the place of a level: all entities of a stream, or only those below some campaigns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report as a user asks for it; names of metrics and breakdowns are the platform's own.

    ``name`` is a preset's name or the user's own; it is part of every row's key.
    ``attribution_windows`` holds the platform's names, or ``default`` for the account's setting.
    ``time_increment`` is in days; 1 gives daily rows. ``query`` is the user's own, in the language
    of a platform that has one; metrics and breakdowns are then read from it.
    """

    name: str = "basic"
    level: Level = Level.CAMPAIGN
    metrics: tuple[str, ...] = ()
    breakdowns: tuple[str, ...] = ()
    action_breakdowns: tuple[str, ...] = ()
    attribution_windows: tuple[str, ...] = (DEFAULT_WINDOW,)
    time_increment: int = 1
    query: str = ""

    def __post_init__(self) -> None:
        if "\x00" in self.name:
            raise ConfigurationError(
                f"the report's name is {self.name!r}; no database keeps such a text"
            )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Report:
        """The inverse of ``asdict``, also for hand-written dictionaries of a DAG's params."""
        known = set(cls.__dataclass_fields__)
        if unknown := sorted(set(value) - known):
            raise ConfigurationError(
                f"report has no part {unknown[0]!r}; its parts are {', '.join(sorted(known))}"
            )
        parts: dict[str, Any] = dict(value)
        for name in ("metrics", "breakdowns", "action_breakdowns", "attribution_windows"):
            if name in parts:
                given = parts[name]
                parts[name] = (given,) if isinstance(given, str) else tuple(given or ())
        if "level" in parts:
            try:
                parts["level"] = Level(parts["level"])
            except ValueError:
                levels = ", ".join(Level)
                raise ConfigurationError(
                    f"unknown level {parts['level']!r}; levels are {levels}"
                ) from None
        try:
            parts["time_increment"] = int(parts.get("time_increment") or 1)
        except (TypeError, ValueError):
            raise ConfigurationError(
                f"time_increment is {parts['time_increment']!r}; it is a number of days"
            ) from None
        return cls(**parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Days of an account, both ends inclusive, in the account's time zone."""

    since: date
    until: date

    def __post_init__(self) -> None:
        if self.until < self.since:
            raise ConfigurationError(
                f"the window ends ({self.until}) before it begins ({self.since});"
                " exchange the two dates"
            )

    @property
    def days(self) -> int:
        """Number of days, at least 1."""
        return (self.until - self.since).days + 1

    def dates(self) -> Iterator[date]:
        """Every day, first and last included."""
        for offset in range(self.days):
            yield self.since + timedelta(days=offset)

    def chunks(self, days: int) -> Iterator[Window]:
        """Adjacent windows of at most ``days`` days that never overlap, newest first.

        Newest first, because yesterday is what people wait for.
        """
        until = self.until
        while until >= self.since:
            since = max(self.since, until - timedelta(days=days - 1))
            yield Window(since=since, until=until)
            until = since - timedelta(days=1)

    def halves(self) -> tuple[Window, Window]:
        """Two adjacent windows; the window must have at least two days."""
        middle = self.since + timedelta(days=self.days // 2 - 1)
        return (
            Window(since=self.since, until=middle),
            Window(since=middle + timedelta(days=1), until=self.until),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """Restricts a slice to some ids of its level or, with ``everything_else``, to all but those.

    "These" and "all but these" together cover everything, also ids nobody knows of. A stream has no
    level: there they are ids of campaigns, and stand for everything below them.
    """

    values: tuple[str, ...]
    everything_else: bool = False

    @property
    def are_none(self) -> bool:
        """Whether there is nothing to ask for."""
        return not self.values and not self.everything_else


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The unit of work: one account, one report (or stream), some days, maybe only some ids.

    ``without`` names fields that are not asked for because the platform no longer has them.
    ``at_once`` marks a report that the platform refuses to prepare, to be read without that.
    ``changed_since`` is when all entities of a stream were last listed, in the account's zone: what
    changed since is asked for first, and then only that is read.
    """

    platform: str
    account_id: str
    window: Window
    report: Report | None = None
    stream: str | None = None
    ids: Ids | None = None
    find_ids: bool = False
    without: tuple[str, ...] = ()
    at_once: bool = False
    changed_since: str = ""

    @property
    def name(self) -> str:
        """``basic:ad`` for reports, the stream's name for streams."""
        return f"{self.report.name}:{self.report.level}" if self.report else str(self.stream)

    @property
    def level(self) -> str:
        """The report's level; of a stream, whether all its entities are meant or only some."""
        if self.report:
            return str(self.report.level)
        return SNAPSHOT if self.ids is None else CHANGES

    @property
    def label(self) -> str:
        """What a person reads in a log line."""
        return f"{self.name} {self.window.since}..{self.window.until}"

    def narrowed(self, **parts: Any) -> Slice:
        """A copy with other parts."""
        return replace(self, **parts)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, exact enough to rebuild the slice."""
        value = asdict(self)
        value["window"] = {"since": str(self.window.since), "until": str(self.window.until)}
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Slice:
        """The inverse of ``to_json``."""
        parts = dict(value)
        window = parts["window"]
        parts["window"] = Window(
            since=date.fromisoformat(window["since"]), until=date.fromisoformat(window["until"])
        )
        if parts.get("report"):
            parts["report"] = Report.from_json(parts["report"])
        if parts.get("ids"):
            ids = parts["ids"]
            parts["ids"] = Ids(values=tuple(ids["values"]), everything_else=ids["everything_else"])
        parts["without"] = tuple(parts.get("without") or ())
        return cls(**parts)

    def fingerprint(self) -> str:
        """Equal for equal work, in every process: the key of a checkpoint within its task."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the house needs to know of an account before its rows can be read.

    ``via`` is the account through which the token reaches it, where that is another.
    """

    account_id: str
    name: str = ""
    currency: str = ""
    timezone: str = "UTC"
    status: str = ""
    via: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Account:
        """The inverse of ``asdict``."""
        return cls(**value)
