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
    """Living entities, account by account, no more at once than fit."""
    ident = warehouse.layout.capabilities.ident
    order = ", ".join(ident(name) for name in (*table.key, "valid_from"))
    statement = (
        f"SELECT {', '.join(ident(column.name) for column in table.columns)}"
        f" FROM {warehouse.layout.published(table.name)}"
        f" WHERE {ident('org_id')} = ? AND {ident('platform')} = ?"
        f" AND {ident('valid_to')} IS NULL AND NOT {ident('is_deleted')} ORDER BY {order}"
    )
    for start in count(step=AT_ONCE):
        found = warehouse.query(
            f"{statement} LIMIT {AT_ONCE} OFFSET {start}", (manifest.org_id, manifest.platform)
        )
        if found:
            yield found
        if len(found) < AT_ONCE:
            return
