"""From checkpoints to the slices that travel on: what was split is put together again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_liftos.engine import checkpoint as cp
from airflow_provider_liftos.engine.checkpoint import Checkpoint
from airflow_provider_liftos.engine.manifest import File, SliceResult
from airflow_provider_liftos.engine.sift import lines
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.report import Account, Slice


def collect(points: Iterable[Checkpoint], accounts: Mapping[str, Account]) -> list[SliceResult]:
    """One result per slice that can be published on its own.

    Parts by days stand for themselves: one bad day does not hold up a month. So does what is read
    in answer to changes. Parts by ids or fields belong together: without one of them the days would
    be incomplete.
    """
    children: dict[str | None, list[Checkpoint]] = {}
    for point in points:
        children.setdefault(point.parent, []).append(point)
    units: list[SliceResult] = []
    for root in children.get(None, []):
        units += _units(root, children, accounts)
    return units


Tree = Mapping[str | None, Sequence[Checkpoint]]


def _units(point: Checkpoint, tree: Tree, accounts: Mapping[str, Account]) -> list[SliceResult]:
    if point.state == cp.SPLIT and point.split_by in {"days", "changes"}:
        parts = tree.get(point.fingerprint, [])
        return [unit for part in parts for unit in _units(part, tree, accounts)]
    leaves, dropped = list(_leaves(point, tree)), tuple(dict.fromkeys(_dropped(point, tree)))
    return [_unit(point, leaves, accounts, dropped, covered=_covered(point, tree))]


def _leaves(point: Checkpoint, tree: Tree) -> Iterable[Checkpoint]:
    if point.state != cp.SPLIT:
        yield point
        return
    for part in tree.get(point.fingerprint, []):
        yield from _leaves(part, tree)


def _covered(point: Checkpoint, tree: Tree) -> bool:
    """Whether every row of the slice is there, if maybe without some of its fields."""
    if point.state != cp.SPLIT:
        return point.state == cp.FETCHED
    parts = tree.get(point.fingerprint, [])
    whole = [_covered(part, tree) for part in parts]
    if point.split_by != "fields":
        return bool(parts) and all(whole)
    return any(whole) and all(
        found or _all_dropped(part, tree) for part, found in zip(parts, whole, strict=True)
    )


def _all_dropped(point: Checkpoint, tree: Tree) -> bool:
    return all(leaf.state == cp.DROPPED for leaf in _leaves(point, tree))


def _dropped(point: Checkpoint, tree: Tree) -> Iterable[str]:
    """Fields that rows of the slice lack; parts that have no rows lack nothing."""
    yield from point.dropped
    if point.state != cp.SPLIT:
        return
    if point.split_by != "fields" or any(leaf.files for leaf in _leaves(point, tree)):
        for part in tree.get(point.fingerprint, []):
            yield from _dropped(part, tree)


def _lacking(cut: Slice, dropped: Sequence[str]) -> Slice:
    """The slice without metrics that any part of it lacks: unknown is null, never zero."""
    report = cut.report
    if report is None:
        return cut
    kept = tuple(metric for metric in report.metrics if metric not in dropped)
    return cut.narrowed(report=replace(report, metrics=kept))


def _by_fields(leaves: Sequence[Checkpoint]) -> bool:
    asked = {leaf.slice.report.metrics for leaf in leaves if leaf.slice.report}
    return len(asked) > 1


def _unit(
    point: Checkpoint,
    leaves: Sequence[Checkpoint],
    accounts: Mapping[str, Account],
    dropped: Sequence[str],
    *,
    covered: bool,
) -> SliceResult:
    failed = [leaf for leaf in leaves if leaf.state not in {cp.FETCHED, cp.DROPPED}]
    known = accounts.get(point.slice.account_id)
    return SliceResult(
        slice=_lacking(point.slice, dropped),
        status="complete" if covered else "failed",
        as_of=min((leaf.as_of for leaf in leaves if leaf.as_of), default=0.0),
        account=known or Account(account_id=point.slice.account_id),
        raw=tuple(file for leaf in leaves for file in leaf.files),
        report_ids=tuple(str(leaf.report_id) for leaf in leaves if leaf.report_id),
        merge=_by_fields(leaves),
        dropped=tuple(dropped),
        warnings=tuple(f"the platform no longer gives {name!r}" for name in dropped),
        error="" if covered else _why(failed),
    )


def _why(failed: Sequence[Checkpoint]) -> str:
    said = dict.fromkeys(str(leaf.error.get("message", leaf.state)) for leaf in failed)
    return "; ".join(list(said)[:3]) or "the platform gives none of its fields"


def read_ids(staging: Staging, files: Sequence[File]) -> list[str]:
    """The ids that a search brought: what ends in ``id`` in each row, except the account's."""
    return [
        str(value)
        for row in read_rows(staging, files)
        for name, value in row.items()
        if name.endswith(("_id", ".id")) and name != "account_id"
    ]


def read_rows(staging: Staging, files: Sequence[File]) -> Iterator[dict[str, Any]]:
    """The rows that a search brought."""
    import json

    for file in files:
        for line in lines(staging, file):
            yield json.loads(line)
