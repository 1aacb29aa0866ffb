"""Users' own expectations: suites and schemas in ``include/gx``, beside those that are built.

A file holds a suite as Great Expectations writes it (``.json``, ``.yaml``), a schema of fields in
the same formats, or Python (``.py``) that defines either, and maybe expectations of its own. Of a
suite ``table``, ``platform``, ``report`` and ``level`` say which rows it is about; without them all
rows of ``performance``. An expectation's ``meta`` may hold ``rule``, ``severity`` (one of ours) and
``dimension``.

A schema gives each field ``type``, ``required``, ``min``, ``max``, ``max_length`` and ``allowed``::

    ad_data_schema:
      ad_id: {type: string, required: true}
      platform: {type: string, allowed: [facebook, google, amazon, tiktok]}
      ctr: {type: float, min: 0, max: 1}

Its fields are looked for in ``performance`` and ``creatives``, also by the names ``ad_data`` has.
A field that is in neither cannot be evaluated, and the schema's finding says so.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from airflow_provider_liftos.engine.manifest import SliceResult
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.quality import ratio
from airflow_provider_liftos.model.sql import literal
from airflow_provider_liftos.model.unified import PERFORMANCE, SAID, TABLES, Table
from airflow_provider_liftos.quality.rules import Dimension, Judges, Rule, Severity
from airflow_provider_liftos.quality.suites import RowCheck, law, presence, quoted

_SAID = (
    "CASE platform "
    + " ".join(f"WHEN {literal(ours)} THEN {literal(said)}" for ours, said in SAID.items())
    + " ELSE platform END"
)
_RATIOS: Mapping[str, tuple[str, str] | tuple[str, str, float]] = {
    "ctr": ("clicks", "impressions"),
    "cpc": ("spend", "clicks"),
    "cpm": ("spend", "impressions", 1000.0),
    "cpa": ("spend", "conversions"),
    "roas": ("conversions_value", "spend"),
    "conversion_rate": ("conversions", "clicks"),
}

VIRTUAL: Mapping[str, Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "performance": {
        "start_date": ("date", ("date",)),
        "end_date": ("date_end", ("date_end",)),
        "platform": (_SAID, ("platform",)),
        **{name: (ratio(*parts), parts[:2]) for name, parts in _RATIOS.items()},
    },
    "creatives": {"headline": ("title", ("title",)), "description": ("body", ("body",))},
}  # fmt: skip
"""Columns that rows have besides their own: as SQL, and what it needs."""

_SCOPE = ("table", "platform", "report", "level")
_ASPECTS = {"type", "required", "min", "max", "max_length", "allowed"}
_TYPES = {
    "string": "true",
    "integer": "try_cast({0} AS DOUBLE) = floor(try_cast({0} AS DOUBLE))",
    "float": "try_cast({0} AS DOUBLE) IS NOT NULL",
    "date": "try_cast({0} AS DATE) IS NOT NULL",
    "boolean": "try_cast({0} AS BOOLEAN) IS NOT NULL",
}
_OF_GX = {"critical": "critical", "warning": "medium", "info": "low"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSuite:
    """Expectations, or checks made of a schema, and the rows they are about."""

    name: str
    table: str = PERFORMANCE.name
    platform: str = ""
    report: str = ""
    level: str = ""
    expectations: tuple[Mapping[str, Any], ...] = ()
    checks: tuple[RowCheck, ...] = ()
    rules: tuple[Rule, ...] = ()

    def concerns(self, platform: str, table: str, result: SliceResult) -> bool:
        """Whether it is about rows of a slice."""
        report = result.slice.report
        name, level = (report.name, str(report.level)) if report else ("", "")
        asked = ((self.platform, platform), (self.report, name), (self.level, level))
        return self.table == table and all(not want or want == has for want, has in asked)


def read(folder: Path) -> list[OwnSuite]:
    """All suites of a folder and what is below it, in order of their files' names.

    Raises ConfigurationError for a file that cannot be understood, naming it.
    """
    found: list[OwnSuite] = []
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(("_", ".")) or path.suffix not in _READERS:
            continue
        try:
            for name, value in _READERS[path.suffix](path):
                found.extend(_suites(name, value))
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error.message}") from None
        except Exception as error:  # a user's file may raise anything
            raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if twice := _repeated(rule.name for suite in found for rule in suite.rules):
        raise ConfigurationError(f"{folder} names the rule {twice!r} twice; give one a meta.rule")
    return found


def _repeated(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    yield path.stem, json.loads(path.read_text("utf-8"))


def _yaml(path: Path) -> Iterator[tuple[str, Any]]:
    import yaml

    for value in yaml.safe_load_all(path.read_text("utf-8")):
        yield path.stem, value


def _python(path: Path) -> Iterator[tuple[str, Any]]:
    for name, value in runpy.run_path(str(path)).items():
        plain = value.to_json_dict() if hasattr(value, "expectations") else value
        if isinstance(plain, Mapping) and not name.startswith("_"):
            yield name, plain


_READERS = {".json": _json, ".yaml": _yaml, ".yml": _yaml, ".py": _python}


def _suites(name: str, value: Any) -> Iterator[OwnSuite]:
    """A suite, a schema, or schemas by name."""
    if not isinstance(value, Mapping):
        raise ConfigurationError("it is neither a suite nor a schema")
    if "expectations" in value:
        yield _suite(value, str(value.get("name") or name))
    elif _is_schema(value):
        yield from _schema(name, value)
    else:
        for key, part in value.items():
            if not isinstance(part, Mapping) or not _is_schema(part):
                raise ConfigurationError(f"{key!r} is neither a suite nor a schema")
            yield from _schema(str(key), part)


def _is_schema(value: Mapping[str, Any]) -> bool:
    return bool(value) and all(
        isinstance(part, Mapping) and part and set(part) <= _ASPECTS for part in value.values()
    )


def _suite(value: Mapping[str, Any], name: str) -> OwnSuite:
    meta = value.get("meta") or {}
    scope = {key: str(value.get(key) or meta.get(key) or "") for key in _SCOPE}
    scope["table"] = scope["table"] or PERFORMANCE.name
    if scope["table"] not in TABLES:
        raise ConfigurationError(f"there is no table {scope['table']!r}")
    expectations, rules = [], []
    for number, one in enumerate(value["expectations"]):
        rule = _rule(name, number, one)
        rules.append(rule)
        expectations.append({
            "type": one["type"], "kwargs": dict(one.get("kwargs") or {}),
            "severity": rule.severity.gx, "meta": {**(one.get("meta") or {}), "id": rule.name},
        })  # fmt: skip
    return OwnSuite(
        name=name, expectations=tuple(expectations), rules=tuple(rules), table=scope["table"],
        platform=scope["platform"], report=scope["report"], level=scope["level"],
    )  # fmt: skip


def _rule(suite: str, number: int, expectation: Mapping[str, Any]) -> Rule:
    meta = expectation.get("meta") or {}
    severity = str(meta.get("severity") or _OF_GX.get(str(expectation.get("severity")), "medium"))
    dimension = str(meta.get("dimension") or Dimension.VALIDITY)
    if severity not in set(Severity) or dimension not in set(Dimension):
        raise ConfigurationError(
            f"expectation {number + 1} has severity {severity!r} and dimension {dimension!r};"
            f" severities are {', '.join(Severity)}, dimensions {', '.join(Dimension)}"
        )
    about = "_".join(str(v) for k, v in (expectation.get("kwargs") or {}).items()
                     if k in {"column", "column_A", "column_B"})  # fmt: skip
    name = str(expectation["type"]).removeprefix("expect_")
    parts = (suite, name, about) if about else (suite, name)
    return Rule(
        name=str(meta.get("rule") or "__".join(parts)),
        dimension=Dimension(dimension), severity=Severity(severity), judges=Judges.ROW,
        doc=str(meta.get("doc") or f"{suite}: {name.replace('_', ' ')} {about}".strip() + "."),
        advice=str(meta.get("advice") or f"This is expected by your own suite {suite!r}."),
    )  # fmt: skip


def _schema(name: str, fields: Mapping[str, Mapping[str, Any]]) -> Iterator[OwnSuite]:
    """One suite for each table that has some of the fields."""
    rule = Rule(
        name=name, dimension=Dimension.VALIDITY, severity=Severity.HIGH, judges=Judges.ROW,
        doc=f"Rows are as the schema {name} says.",
        advice=f"Compare the rows with your own schema {name!r}; one of the two is wrong.",
    )  # fmt: skip
    first = True
    tables = TABLES["performance"], TABLES["creatives"]
    nowhere = [field for field in fields if not any(_column(table, field) for table in tables)]
    for table in tables:
        known = [field for field in fields if _column(table, field)]
        if table is not PERFORMANCE:  # what both have is judged once
            known = [field for field in known if not _column(PERFORMANCE, field)]
        checks = [c for field in known for c in _checks(rule, table, field, fields[field])]
        if first:  # no file has what they need
            checks += [
                RowCheck(rule=name, subject=field, sql="NULL", needs=(field,)) for field in nowhere
            ]
        if checks:
            level = "ad" if table is PERFORMANCE and "ad_id" in fields else ""
            yield OwnSuite(name=name, table=table.name, level=level, checks=tuple(checks),
                           rules=(rule,) if first else ())  # fmt: skip
            first = False


def _column(table: Table, field: str) -> tuple[str, tuple[str, ...]] | None:
    """A field as SQL, and the columns that it needs."""
    if found := VIRTUAL.get(table.name, {}).get(field):
        return f"({found[0]})", found[1]
    return (quoted(field), (field,)) if field in table.names() else None


def _checks(rule: Rule, table: Table, field: str, aspects: Mapping[str, Any]) -> Iterator[RowCheck]:
    sql, needs = _column(table, field) or ("NULL", ())
    kind = str(aspects.get("type") or "string")
    if kind not in _TYPES:
        raise ConfigurationError(
            f"field {field!r} has type {kind!r}; types are {', '.join(_TYPES)}"
        )
    made = RowCheck(rule=rule.name, subject=field, sql="", needs=needs)
    if aspects.get("required"):
        there = f"{sql} IS NOT NULL AND {sql}::VARCHAR <> ''"
        yield replace(made, subject=f"{field}_required", sql=presence(there), presence=True)
    holds = [_TYPES[kind].format(sql)] if kind != "string" else []
    holds += [f"{sql} {sign} {_value(field, aspects[key], kind)}"
              for key, sign in (("min", ">="), ("max", "<=")) if key in aspects]  # fmt: skip
    if "max_length" in aspects:
        holds.append(f"length({sql}::VARCHAR) <= {int(aspects['max_length'])}")
    if "allowed" in aspects:
        named = ", ".join(literal(str(value)) for value in aspects["allowed"])
        holds.append(f"{sql}::VARCHAR IN ({named})")
    if holds:
        yield replace(made, sql=law(" AND ".join(holds), f"{sql} IS NULL"))


def _value(field: str, given: Any, kind: str) -> str:
    if kind in {"integer", "float"} and isinstance(given, int | float):
        return repr(given)
    if kind == "date":
        return f"DATE {literal(str(given))}"
    raise ConfigurationError(f"field {field!r} has bounds, but is neither a number nor a date")
