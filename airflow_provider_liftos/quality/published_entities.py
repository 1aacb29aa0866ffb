"""Entities as people see them: current versions, copied so that the same rules judge them.

A slice of the copy is what an account has of one kind of entity and has not lost. What history says
beside it (versions of one entity that overlap) is counted where it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, groupby
from pathlib import Path
from typing import Any

from airflow_provider_liftos.engine.manifest import File, Manifest, SliceResult
from airflow_provider_liftos.model.report import Account, Slice, Window
from airflow_provider_liftos.model.unified import ENTITIES, Table
from airflow_provider_liftos.quality.days import Reader
from airflow_provider_liftos.quality.rowfiles import AT_ONCE, write


def copy(
    warehouse: Reader,
    manifest: Manifest,
    accounts: Mapping[str, Account],
    window: Window,
    folder: Path,
) -> list[SliceResult]:
    """A slice for each account and kind of entity that is published as living.

    Raises:
        WarehouseError: the warehouse cannot be asked.
    """
    results = []
    for table in ENTITIES:
        files: dict[str, list[File]] = {}
        for account, file in _files(warehouse, manifest, table, folder):
            files.setdefault(account, []).append(file)
        results += [
            SliceResult(
                slice=Slice(platform=manifest.platform, account_id=account, window=window,
                            stream=table.name),
                status="complete", as_of=0.0, staged=tuple(of_account), normalized=True,
                account=accounts.get(account) or Account(account_id=account, timezone=""),
            )
            for account, of_account in files.items()
        ]  # fmt: skip
    return results


def _files(
    warehouse: Reader, manifest: Manifest, table: Table, folder: Path
) -> Iterator[tuple[str, File]]:
    """Files of single accounts; an account that is large has several."""
    position = table.names().index("account_id")
    numbers = count()
    for rows in _pieces(warehouse, manifest, table):
        for account, mine in groupby(rows, key=lambda row: row[position]):
            where = folder / f"{table.name}-{next(numbers)}.parquet"
            yield str(account), write(table.columns, list(mine), where)


def _pieces(
    warehouse: Reader, manifest: Manifest, table: Table
) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Living entities, account by account, no more at once than fit.

    Each piece begins at the entity after the one before and has all that is said of its entities:
    what is published between two of them neither repeats an entity nor leaves one out.
    """
    ident = warehouse.layout.capabilities.ident
    own = table.key[2:]  # without the organization and the platform
    parts = [f"COALESCE({ident(name)}, '')" for name in own]  # what has no id is graded, too
    where = [table.names().index(name) for name in own]
    statement = (
        f"SELECT {', '.join(ident(column.name) for column in table.columns)}"
        f" FROM {warehouse.layout.published(table.name)}"
        f" WHERE {ident('org_id')} = ? AND {ident('platform')} = ?"
        f" AND {ident('valid_to')} IS NULL AND NOT {ident('is_deleted')}"
    )
    order = f" ORDER BY {', '.join((*parts, ident('valid_from')))}"
    start, most = tuple("" for _ in own), AT_ONCE + 1
    while True:
        reached, params = _from(parts, start)
        found = warehouse.query(
            f"{statement} AND {reached}{order} LIMIT {most}",
            (manifest.org_id, manifest.platform, *params),
        )
        keys = [tuple(row[n] or "" for n in where) for row in found]
        more = len(found) == most
        # Of the last one there may be more versions than came.
        whole = keys.index(keys[-1]) if more else len(found)
        if whole:
            yield found[:whole]
        if not more:
            return
        start, most = keys[whole], AT_ONCE + 1 if whole else 2 * most


def _from(parts: Sequence[str], start: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The condition that a key is not before ``start``, and its parameters."""
    if len(parts) == 1:
        return f"{parts[0]} >= ?", (start[0],)
    rest, params = _from(parts[1:], start[1:])
    return f"({parts[0]} > ? OR ({parts[0]} = ? AND {rest}))", (start[0], start[0], *params)
