"""From checkpoints to the slices that travel on: what was split is put together again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from airflow_provider_liftos.engine import checkpoint as cp
from airflow_provider_liftos.engine.checkpoint import Checkpoint
from airflow_provider_liftos.engine.manifest import File, SliceResult
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.errors import StagingError
from airflow_provider_liftos.model.report import Account


def collect(points: Iterable[Checkpoint], accounts: Mapping[str, Account]) -> list[SliceResult]:
    """One result per slice that can be published on its own.

    Parts by days stand for themselves: one bad day does not hold up a month. Parts by ids or
    fields belong together: without one of them the days would be incomplete.
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
    if point.state == cp.SPLIT and point.split_by == "days":
        parts = tree.get(point.fingerprint, [])
        return [unit for part in parts for unit in _units(part, tree, accounts)]
    return [_unit(point, list(_leaves(point, tree)), accounts)]


def _leaves(point: Checkpoint, tree: Tree) -> Iterable[Checkpoint]:
    if point.state != cp.SPLIT:
        yield point
        return
    for part in tree.get(point.fingerprint, []):
        yield from _leaves(part, tree)


def _by_fields(leaves: Sequence[Checkpoint]) -> bool:
    asked = {leaf.slice.report.metrics for leaf in leaves if leaf.slice.report}
    return len(asked) > 1


def _unit(
    point: Checkpoint, leaves: Sequence[Checkpoint], accounts: Mapping[str, Account]
) -> SliceResult:
    failed = [leaf for leaf in leaves if leaf.state != cp.FETCHED]
    dropped = tuple(dict.fromkeys(name for leaf in leaves for name in leaf.dropped))
    known = accounts.get(point.slice.account_id)
    return SliceResult(
        slice=point.slice,
        status="failed" if failed or not leaves else "complete",
        as_of=min((leaf.as_of for leaf in leaves if leaf.as_of), default=0.0),
        account=known or Account(account_id=point.slice.account_id),
        raw=tuple(file for leaf in leaves for file in leaf.files),
        report_ids=tuple(str(leaf.report_id) for leaf in leaves if leaf.report_id),
        merge=_by_fields(leaves),
        dropped=dropped,
        warnings=tuple(f"the platform no longer gives {name!r}" for name in dropped),
        error="; ".join(str(leaf.error.get("message", leaf.state)) for leaf in failed[:3]),
    )


def read_ids(staging: Staging, files: Sequence[File]) -> list[str]:
    """The ids that a search brought: the ``*_id`` of each row that is not the account's."""
    import json

    import pyarrow as pa

    found: list[str] = []
    for file in files:
        try:
            with (
                staging.fs.open(file.path, "rb") as handle,
                pa.CompressedInputStream(pa.PythonFile(handle, mode="r"), "zstd") as stream,
            ):
                lines = stream.read().splitlines()
        except OSError as error:
            raise StagingError(f"ids cannot be read back ({error})") from None
        for line in lines:
            row = json.loads(line)
            found += [
                str(value)
                for name, value in row.items()
                if name.endswith("_id") and name != "account_id"
            ]
    return found
