"""What staged rows come to, and what they should: day by day, without a warehouse in between."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from airflow_provider_liftos.engine.manifest import Manifest
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.model.report import Slice
from airflow_provider_liftos.sandbox import Sandbox

METRICS = ("impressions", "clicks", "spend", "conversions", "conversions_value")

Sums = dict[tuple[str, str], tuple[Decimal, ...]]
"""Rows and sums of METRICS by account and day."""


def staged(done: Manifest) -> Sums:
    """Of the report rows of a normalized manifest."""
    import duckdb

    files = [f.path for cut in done.slices if cut.slice.report for f in cut.staged]
    if not files:
        return {}
    sums = ", ".join(f"sum({metric})" for metric in METRICS)
    rows = duckdb.sql(
        f"SELECT account_id, date::VARCHAR, count(*), {sums} FROM read_parquet({files}) GROUP BY ALL"
    ).fetchall()
    return {(row[0], row[1]): tuple(Decimal(str(v or 0)) for v in row[2:]) for row in rows}


def truth(platform: Platform, sandbox: Sandbox, cuts: Sequence[Slice]) -> Sums:
    """Of the reports asked for, at the level of ads."""
    return _truth(platform, sandbox, [(cut, {}) for cut in cuts])


def expected(platform: Platform, sandbox: Sandbox, done: Manifest) -> Sums:
    """The same as it was when each of a manifest's reports was asked for."""
    moments = [datetime.fromtimestamp(cut.as_of, UTC).isoformat() for cut in done.slices]
    cuts = [cut.slice for cut in done.slices]
    return _truth(
        platform, sandbox, [(c, {"as_of": m}) for c, m in zip(cuts, moments, strict=True)]
    )


def _truth(
    platform: Platform, sandbox: Sandbox, cuts: Sequence[tuple[Slice, dict[str, str]]]
) -> Sums:
    found: dict[tuple[str, str], list[Decimal]] = {}
    for cut, moment in cuts:
        if cut.report is None:
            continue
        since, until = str(cut.window.since), str(cut.window.until)
        asked = {"account": cut.account_id, "level": "ad", "since": since, "until": until} | moment
        for row in sandbox.truth(platform=platform.name, **asked)["rows"]:
            sums = found.setdefault((cut.account_id, row["date"]), [Decimal(0)] * 6)
            values = (1, *(row[metric] or 0 for metric in METRICS))
            for position, value in enumerate(values):
                sums[position] += Decimal(str(value))
    return {key: tuple(sums) for key, sums in found.items()}
