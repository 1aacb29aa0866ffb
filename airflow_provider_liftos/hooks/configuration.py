"""A YAML file that says which platforms to read, what, and how fast; read and checked.

Secrets in it are references such as ``${META_APP_SECRET}``. They are looked up only where a
connection is made of them, never where a DAG is read.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from airflow_provider_liftos.hooks import versions
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.platforms import get, names

_TOP = ("platforms", "extraction", "rate_limiting")
_EXTRACTION = ("date_range", "metrics", "breakdowns", "report_type")
_DATE_RANGE = ("type", "days", "start_date", "end_date")
_RANGES = ("last_n_days", "custom", "lifetime")
REPORT_TYPES = ("campaign_performance", "audience_insights", "custom")
_ACCOUNTS = ("ad_accounts", "advertiser_ids", "customer_id", "customer_ids", "account_ids")
_CONNECTION = (
    "conn_id", "api_version", "fallback_version", "host", "org_id", "is_mock", "allow_insecure",
)  # fmt: skip
_FIXED_PACE = {"backoff_multiplier": 2, "max_retries": 5}
_AT_ONCE = ("concurrent_requests", "concurrent_requests_per_account")
_PACE = ("requests_per_hour", "requests_per_minute", *_AT_ONCE, *_FIXED_PACE)
_OTHER_NAMES = {"secret": "app_secret"}
_REFERENCE = re.compile(r"\$\{(\w+)\}")
_ALTERNATIVES = re.compile(r'^\s*(\w+):\s*"\w+"(?:\s*\|\s*"\w+")+', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What to bring. ``metrics`` and ``breakdowns`` are common names or a platform's own.

    ``params`` are defaults of a run's params, where the file names dates; ``last_days`` is for runs
    that have none of their own.
    """

    report_type: str = "campaign_performance"
    metrics: tuple[str, ...] = ()
    breakdowns: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    last_days: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One platform of the file. ``fields`` go into its connection, references as written."""

    platform: Platform
    conn_id: str | None
    accounts: tuple[str, ...]
    fields: Mapping[str, Any]
    notes: tuple[str, ...]

    def connection(self) -> dict[str, Any]:
        """Type, host and extra of the connection, references replaced by what they stand for.

        Raises:
            ConfigurationError: a variable of the environment is not set.
        """
        extra = {name: _resolved(value, name) for name, value in self.fields.items()}
        if self.accounts:
            extra["account_ids"] = ",".join(self.accounts)
        host = extra.pop("host", None)
        return {"conn_type": self.platform.conn_type, "host": host, "extra": extra}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The whole file."""

    sections: tuple[Section, ...]
    extraction: Extraction


def read(source: str | Path) -> Configuration:
    """A configuration from a path or from its text.

    Raises:
        ConfigurationError: it is no YAML, or a key or value in it is none of those that exist; the
            message says which, and the nearest right one.
    """
    value = _parsed(_text(source))
    _known(value, _TOP, "the configuration")
    platforms = _mapping(value.get("platforms"), "platforms")
    if not platforms:
        raise ConfigurationError(
            "the configuration names no platform", hint=f"Under 'platforms': {', '.join(names())}."
        )
    _known(platforms, names(), "platforms")
    pace = _mapping(value.get("rate_limiting"), "rate_limiting")
    _known(pace, tuple(platforms), "rate_limiting")
    return Configuration(
        sections=tuple(
            _section(
                get(name),
                _mapping(platforms[name], f"platforms.{name}"),
                _mapping(pace.get(name), f"rate_limiting.{name}"),
            )
            for name in platforms
        ),
        extraction=_extraction(_mapping(value.get("extraction"), "extraction")),
    )


def _text(source: str | Path) -> str:
    if isinstance(source, str) and ("\n" in source or not source.endswith((".yaml", ".yml"))):
        return source
    try:
        return Path(source).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read: {error.strerror}") from None


def _parsed(text: str) -> Mapping[str, Any]:
    import yaml

    if choice := _ALTERNATIVES.search(text):
        line = text.count("\n", 0, choice.start(1)) + 1
        raise ConfigurationError(
            f"line {line} of the configuration lists alternatives for {choice[1]!r}; keep one"
        )
    try:
        return _mapping(yaml.safe_load(text), "the configuration")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1} of the configuration" if mark else "the configuration"
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise ConfigurationError(f"{where} is no YAML: {problem}") from None


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where} is {value!r}; it is a mapping of keys to values")
    return {str(key): part for key, part in value.items()}


def _known(given: Collection[str], known: Sequence[str], where: str) -> None:
    for key in given:
        if key not in known:
            raise unknown(key, known, where)


def unknown(key: str, known: Sequence[str], where: str) -> ConfigurationError:
    """The error about a name nobody knows, with the nearest right one."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return ConfigurationError(f"{where} has no {key!r}; {guess}It has {', '.join(known)}")


def _section(platform: Platform, given: Mapping[str, Any], pace: Mapping[str, Any]) -> Section:
    name = platform.name
    fields = [conn_field.name for conn_field in platform.conn_fields]
    known = dict.fromkeys((*fields, *_ACCOUNTS, *_CONNECTION))
    other = {short: long for short, long in _OTHER_NAMES.items()
             if short not in fields and long in fields}  # fmt: skip
    _known(given, (*known, *other), f"platforms.{name}")
    _known(pace, _PACE, f"rate_limiting.{name}")
    notes: list[str] = []
    extra = {other.get(key, key): value for key, value in given.items()
             if key not in _ACCOUNTS and key not in ("conn_id", "api_version")}  # fmt: skip
    version = str(given.get("api_version") or "")
    if version and versions.is_over(platform, version, datetime.now(UTC).date()):
        notes.append(
            f"{name}: API version {version} is switched off; {platform.newest()} is used instead"
        )
    elif version:
        extra["api_version"] = version
    extra |= dict(_limits(platform, pace, fields, notes.append))
    accounts = tuple(_accounts(given, name))
    conn_id = given.get("conn_id")
    return Section(
        platform=platform,
        conn_id=str(conn_id) if conn_id else None,
        accounts=accounts,
        fields={key: value for key, value in extra.items() if value not in (None, "")},
        notes=tuple(notes),
    )


def _limits(
    platform: Platform,
    pace: Mapping[str, Any],
    fields: Collection[str],
    note: Callable[[str], None],
) -> Iterator[tuple[str, Any]]:
    """Fields of the connection that hold the platform's own caps."""
    for key, value in pace.items():
        where = f"rate_limiting.{platform.name}.{key}"
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            raise ConfigurationError(f"{where} is {value!r}; it is a number above 0")
        if key in _FIXED_PACE:
            if value != _FIXED_PACE[key]:
                raise ConfigurationError(
                    f"{where} is {value}; calls are tried 5 times with pauses that double",
                    hint=f"Write {_FIXED_PACE[key]} or leave it out; what fails for longer is"
                    " retried by the task.",
                )
        elif key in _AT_ONCE and value != int(value):
            raise ConfigurationError(f"{where} is {value!r}; it is a whole number of requests")
        elif key in fields or key in _AT_ONCE:
            yield key, value
        else:
            caps = ", ".join(limit.option for limit in platform.limits if limit.option in fields)
            note(f"{where} has no effect: {platform.title} is capped by {caps}")


def _accounts(given: Mapping[str, Any], name: str) -> Iterator[str]:
    for key in _ACCOUNTS:
        value = given.get(key)
        for item in (
            value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        ):
            for part in str(_resolved(item, f"platforms.{name}.{key}") or "").split(","):
                plain = part.strip().removeprefix("act_")
                if plain:
                    # People write 123-456-7890, the platforms' addresses hold 1234567890.
                    yield plain.replace("-", "") if re.fullmatch(r"[\d-]+", plain) else plain


def _resolved(value: Any, where: str) -> Any:
    def look(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ConfigurationError(
                f"{where} refers to ${{{found[1]}}}, which the environment does not have",
                hint=f"Set {found[1]} where this command runs.",
            )
        return os.environ[found[1]]

    return _REFERENCE.sub(look, value) if isinstance(value, str) else value


def _extraction(given: Mapping[str, Any]) -> Extraction:
    _known(given, _EXTRACTION, "extraction")
    kind = str(given.get("report_type") or REPORT_TYPES[0])
    if kind not in REPORT_TYPES:
        raise unknown(kind, REPORT_TYPES, "extraction.report_type")
    params, days = _dates(_mapping(given.get("date_range"), "extraction.date_range"))
    return Extraction(
        report_type=kind,
        metrics=_words(given, "metrics"),
        breakdowns=_words(given, "breakdowns"),
        params=params,
        last_days=days,
    )


def _words(given: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = given.get(key) or ()
    if isinstance(value, str) or not all(isinstance(word, str) for word in value):
        raise ConfigurationError(f"extraction.{key} is {value!r}; it is a list of names")
    return tuple(dict.fromkeys(value))


def _dates(given: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Defaults of a run's params, and how many days a run without dates takes."""
    where = "extraction.date_range"
    _known(given, _DATE_RANGE, where)
    kind = str(given.get("type") or _RANGES[0])
    if kind not in _RANGES:
        raise unknown(kind, _RANGES, f"{where}.type")
    if kind == "lifetime":
        return {"lifetime": True}, 30
    if kind == "custom":
        since, until = (_day(given.get(key), f"{where}.{key}") for key in _DATE_RANGE[2:])
        if until < since:
            raise ConfigurationError(f"{where} ends ({until}) before it begins ({since})")
        return {"since": str(since), "until": str(until)}, 30
    days = given.get("days", 30)
    if not isinstance(days, int) or isinstance(days, bool) or days < 1:
        raise ConfigurationError(f"{where}.days is {days!r}; it is a number of days from 1")
    return {}, days


def _day(value: Any, where: str) -> date:
    try:
        return value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        raise ConfigurationError(f"{where} is {value!r}; write it as YYYY-MM-DD") from None
