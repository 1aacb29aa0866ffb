"""Control tables of the state store, copied into the warehouse for people to read.

A copy, never a source: nothing of ours reads it. Payloads, samples of rows and what replays need
stay in the store. Ledgers are continued from the newest copied entry, a little before it; letters,
whose state changes for months, are copied anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, Double, Integer, Table, and_, func, select, tuple_

from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.state import tables
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.warehouses.contract import Capabilities, Warehouse
from airflow_provider_liftos.warehouses.job import instant
from airflow_provider_liftos.warehouses.rowset import Given, rows_of

_PAGE = 5_000
_AGAIN = 3 * 86_400.0
"""Seconds before the newest copied entry from which entries are copied again: runs end late."""

Statement: TypeAlias = tuple[str, Sequence[object]]
Rows: TypeAlias = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """A table and the moment its entries are ordered by; ``anew`` ones are copied as a whole."""

    table: Table
    moment: str
    without: frozenset[str] = frozenset()
    anew: bool = False

    @property
    def columns(self) -> list[Any]:
        """Those that are copied."""
        return [column for column in self.table.columns if column.name not in self.without]


MIRRORED = (
    Mirrored(table=tables.run_ledger, moment="started_at"),
    Mirrored(table=tables.quality_results, moment="created_at", without=frozenset({"sample"})),
    Mirrored(table=tables.quality_scores, moment="created_at"),
    Mirrored(table=tables.restatements, moment="created_at"),
    Mirrored(table=tables.audit_log, moment="created_at"),
    Mirrored(
        table=tables.dead_letters,
        moment="updated_at",
        without=frozenset({"payload", "spec", "claimed_by", "claimed_until"}),
        anew=True,
    ),
)


def mirror(store: StateStore, warehouse: Warehouse, org_id: str) -> dict[str, int]:
    """Copy an organization's entries; how many of each table.

    May be killed anywhere and repeated. Raises WarehouseError as the warehouse does.
    """
    warehouse.apply([statement for one in MIRRORED for statement in _shape(warehouse, one)])
    return {one.table.name: _copy(store, warehouse, one, org_id) for one in MIRRORED}


def _shape(warehouse: Warehouse, one: Mirrored) -> Iterator[Statement]:
    """Make the table, or add the columns that it lacks."""
    layout = warehouse.layout
    name, ident = layout.published(one.table.name), layout.capabilities.ident
    shapes = {c.name: f"{ident(c.name)} {_kind(layout.capabilities, c)}" for c in one.columns}
    there = warehouse.query(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = ?"
        " AND table_name = ?",
        (layout.capabilities.kept(layout.schema), layout.capabilities.kept(one.table.name)),
    )
    if not there:
        yield f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(shapes.values())})", ()
        return
    known = {column for (column,) in there}
    for column, shape in shapes.items():
        if layout.capabilities.kept(column) not in known:
            yield f"ALTER TABLE {name} ADD COLUMN {shape}", ()


def _is_moment(column: Any) -> bool:
    return isinstance(column.type, Double) and column.name.endswith("_at")


def _kind(capabilities: Capabilities, column: Any) -> str:
    if _is_moment(column):
        return capabilities.types[Kind.TIMESTAMP]
    if isinstance(column.type, Double):
        return capabilities.ratio
    is_number = isinstance(column.type, Integer | BigInteger)
    return capabilities.types[Kind.INT if is_number else Kind.TEXT]


def _copy(store: StateStore, warehouse: Warehouse, one: Mirrored, org_id: str) -> int:
    name, ident = warehouse.layout.published(one.table.name), warehouse.layout.capabilities.ident
    mine = f"DELETE FROM {name} WHERE {ident('org_id')} = ?"
    if one.anew:
        pages = list(_pages(store, one, org_id, 0.0))
        inserts = [_insert(warehouse, one, page) for page in pages]
        warehouse.apply([(mine, (org_id,)), *inserts])
        return sum(map(len, pages))
    moment = ident(one.moment)
    [(newest,)] = warehouse.query(
        f"SELECT max({moment}) FROM {name} WHERE {ident('org_id')} = ?", (org_id,)
    )
    since = newest.timestamp() - _AGAIN if newest else 0.0
    oldest = _oldest(store, one, org_id)
    gone = f"{mine} AND ({moment} >= ? OR {moment} < ?)"
    clear: list[Statement] = [(gone, (org_id, instant(since), instant(oldest)))]
    copied = 0
    for page in _pages(store, one, org_id, since):
        # Oldest first: killed in between, the next time goes on from the newest that came.
        warehouse.apply([*clear, _insert(warehouse, one, page)])
        copied, clear = copied + len(page), []
    if clear:
        warehouse.apply(clear)
    return copied


def _oldest(store: StateStore, one: Mirrored, org_id: str) -> float:
    """What is older than this was deleted in the store."""
    column = one.table.c[one.moment]
    with store.read() as connection:
        found = connection.scalar(select(func.min(column)).where(one.table.c.org_id == org_id))
    return store.clock.now() if found is None else float(found)


def _pages(store: StateStore, one: Mirrored, org_id: str, since: float) -> Iterator[Rows]:
    """Entries since a moment, oldest first, a page at a time."""
    moment, key = one.table.c[one.moment], one.table.c.id
    position = [column.name for column in one.columns]
    after = and_(moment >= since)
    while True:
        query = select(*one.columns).where(one.table.c.org_id == org_id, after)
        with store.read() as connection:
            page = connection.execute(query.order_by(moment, key).limit(_PAGE)).all()
        if page:
            yield page
        if len(page) < _PAGE:
            return
        last = page[-1]
        after = tuple_(moment, key) > tuple_(
            last[position.index(one.moment)], last[position.index("id")]
        )


def _insert(warehouse: Warehouse, one: Mirrored, page: Rows) -> Statement:
    """One statement for a page, which travels faster than rows."""
    capabilities = warehouse.layout.capabilities
    names = ", ".join(capabilities.ident(column.name) for column in one.columns)
    given = [
        Given(
            type=_kind(capabilities, column),
            values=[_value(row[i], is_moment=_is_moment(column)) for row in page],
        )
        for i, column in enumerate(one.columns)
    ]
    select, params = rows_of(capabilities, given)
    return f"INSERT INTO {warehouse.layout.published(one.table.name)} ({names}) {select}", params


def _value(value: Any, *, is_moment: bool) -> Any:
    if is_moment and value is not None:
        return instant(value)
    return value.replace("\x00", "␀") if isinstance(value, str) else value
