"""Judging rows of slices by users' own suites: whole columns, one slice at a time.

Slices are judged apart, because an expectation may be about a column as a whole (how many rows, the
mean): that costs about a tenth of a second for each slice and suite.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.engine.objects import StagingUnavailable
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.errors import StagingError
from airflow_provider_liftos.model.unified import Kind, Table
from airflow_provider_liftos.quality import frames, gx
from airflow_provider_liftos.quality.findings import Status
from airflow_provider_liftos.quality.own import VIRTUAL, OwnSuite
from airflow_provider_liftos.quality.rows import RowVerdict
from airflow_provider_liftos.quality.rules import Rule
from airflow_provider_liftos.quality.suites import RowCheck, quoted

if TYPE_CHECKING:
    import pandas as pd

_RATIO = "expect_ratio_to_agree"
_WORD = re.compile(r"\w+")
_AS = {
    Kind.DECIMAL: "DOUBLE", Kind.MONEY: "DOUBLE", Kind.DATE: "TIMESTAMP",
    Kind.TIMESTAMP: "TIMESTAMP", Kind.JSON: "VARCHAR",
}  # fmt: skip


def judge(
    manifest: Manifest,
    table: Table,
    result: SliceResult,
    suite: OwnSuite,
    catalogue: Mapping[str, Rule],
    staging: Staging | None,
) -> Iterator[tuple[str, RowVerdict]]:
    """Each expectation of a suite on a slice, by its rule.

    Raises StagingUnavailable when the store does not answer.
    """
    rules = [expectation["meta"]["id"] for expectation in suite.expectations]
    if not rules:
        return
    if not result.staged_rows:
        yield from ((rule, _said(Status.NOT_APPLICABLE)) for rule in rules)
        return
    try:
        frame = _frame(manifest, table, result, suite, staging)
    except StagingUnavailable:
        raise
    except StagingError as error:
        yield from ((rule, _said(Status.NOT_EVALUATED, error.message)) for rule in rules)
        return
    asked = {"name": suite.name, "expectations": suite.expectations}
    found = gx.judge(frame, asked)
    for expectation in suite.expectations:
        rule = expectation["meta"]["id"]
        yield rule, _verdict(found[rule], frame, table, expectation, catalogue[rule])


def _verdict(
    found: gx.Judgement,
    frame: pd.DataFrame,
    table: Table,
    expectation: Mapping[str, Any],
    rule: Rule,
) -> RowVerdict:
    if found.raised:
        return _said(Status.NOT_EVALUATED, found.raised)
    if _says_nothing(found, frame, expectation):
        return _said(Status.NOT_APPLICABLE)
    if found.failed:
        return _said(Status.FAILED, "the whole slice breaks it", share=1.0)
    if found.judged == 0:
        return _said(Status.NOT_APPLICABLE)
    judged = len(frame) if found.judged is None else found.judged
    share = len(found.broken) / judged
    mostly = float(expectation["kwargs"].get("mostly") or 1.0)
    mostly = mostly if rule.threshold is None else rule.mostly
    if not found.broken or share <= 1.0 - mostly:
        return _said(Status.PASSED, share=share)
    # Ids and dates, and what was judged; never all of a row.
    named = set(_WORD.findall(json.dumps(expectation["kwargs"], default=str)))
    shown = [n for n in frame.columns if n in named or n in table.key]
    rows = frame.loc[list(found.broken)[: frames.SAMPLE], shown]
    sample = tuple(
        {str(name): str(value) for name, value in row.items() if value not in (None, "")}
        for row in rows.to_dict("records")
    )
    told = f"{len(found.broken)} of {judged} rows"
    return RowVerdict(status=Status.FAILED, share=share, observed=told, sample=sample)


def _says_nothing(found: gx.Judgement, frame: pd.DataFrame, expectation: Mapping[str, Any]) -> bool:
    """Whether it is about columns of nothing but nulls: their sum is 0, their values are allowed.

    Expectations that ask whether there are nulls, or the column, do mean them.
    """
    kind, kwargs = str(expectation["type"]), expectation["kwargs"]
    of_rows = found.judged is not None and kind != _RATIO
    if of_rows or any(word in kind for word in ("null", "exist")):
        return False
    named = [kwargs.get(name) for name in ("column", "column_A", "column_B")]
    named += kwargs.get("column_list") or ()
    return any(name in frame and bool(frame[name].isna().all()) for name in named if name)


def _said(status: Status, observed: str = "", share: float = 0.0) -> RowVerdict:
    return RowVerdict(status=status, share=share, observed=observed, sample=())


def _frame(
    manifest: Manifest, table: Table, result: SliceResult, suite: OwnSuite, staging: Staging | None
) -> pd.DataFrame:
    """The slice's rows: columns that the suite names, or all of them, beside the key."""
    named = set(_WORD.findall(json.dumps([e["kwargs"] for e in suite.expectations], default=str)))
    virtual = {n: sql for n, (sql, _) in VIRTUAL.get(table.name, {}).items() if n in named
               and n not in table.names()}  # fmt: skip
    own = [c for c in table.columns if c.name in named]
    chosen = [c for c in table.columns if c.name in named or c.name in table.key]
    columns = {c.name: _as(c.kind, quoted(c.name)) for c in
               (chosen if own or virtual else table.columns)}  # fmt: skip
    checks = [
        RowCheck(rule=name, subject=name, sql=sql, needs=())
        for name, sql in {**columns, **{n: f"({s})" for n, s in virtual.items()}}.items()
    ]
    return frames.plain_frame(manifest, table, checks, _parts(result), staging)


def _as(kind: Kind, name: str) -> str:
    return f"{name}::{_AS[kind]}" if kind in _AS else name


def _parts(result: SliceResult) -> Sequence[frames.Part]:
    return [frames.Part(number=0, result=result, files=tuple(f for f in result.staged if f.rows))]
