"""Rows in place of others: at once, also where every statement commits by itself.

Engines with transactions delete and insert. Where there are none, one statement does both, so that
nobody ever finds neither; it takes columns by their position, which therefore is asked for, since
a newer version may have added some of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_liftos.warehouses.contract import Layout, Session
from airflow_provider_liftos.warehouses.job import Predicate, either, statements


def replace_rows(
    session: Session,
    layout: Layout,
    table: str,
    where: Sequence[Predicate],
    values: Mapping[str, str],
    source: str,
    params: Sequence[object],
) -> None:
    """Put rows in place of a published table's rows that meet a condition, as they must, too.

    There may be several conditions, as ``statements`` takes them.
    ``values`` are the expressions of the columns, and ``source`` is what stands behind them, with
    ``params`` for the placeholders of both.
    """
    name, ident = layout.published(table), layout.capabilities.ident
    if layout.capabilities.replace is None:
        columns = ", ".join(map(ident, values))
        for part in statements(layout, where):
            session.execute(f"DELETE FROM {name} WHERE {part.sql}", part.params)
        shown = ", ".join(values.values())
        session.execute(f"INSERT INTO {name} ({columns}) SELECT {shown} {source}", params)
        return
    found = session.execute(layout.capabilities.columns, (layout.schema, table))
    shown = ", ".join(values.get(column, "NULL") for (column,) in found)
    condition = either(where)
    statement = layout.capabilities.replace.format(
        table=name, condition=condition.sql, query=f"SELECT {shown} {source}"
    )
    session.execute(statement, (*condition.params, *params))
