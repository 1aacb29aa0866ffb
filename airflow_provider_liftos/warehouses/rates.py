"""Exchange rates in the warehouse: replacing what a file says, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

from airflow_provider_liftos.model.unified import FX_RATES
from airflow_provider_liftos.transforms.rates import BASE, Rate
from airflow_provider_liftos.warehouses.contract import Layout, Session, Warehouse
from airflow_provider_liftos.warehouses.job import Predicate, instant
from airflow_provider_liftos.warehouses.replacing import replace_rows
from airflow_provider_liftos.warehouses.rowset import Given, rows_of
from airflow_provider_liftos.warehouses.views import FX_GAPS

ECB = "ecb"
_ROWS_PER_STATEMENT = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """An account whose money has no rate on some days, so that it is null in the other currency."""

    platform: str
    account_id: str
    currency: str
    first_day: date
    last_day: date
    days: int

    @property
    def line(self) -> str:
        """What a person reads."""
        return (
            f"no rate of {self.currency} on {self.days} days from {self.first_day} to"
            f" {self.last_day}"
        )


def replace_rates(
    session: Session, layout: Layout, rates: Sequence[Rate], org_id: str, now: float
) -> int:
    """Put rates of the ECB in place of its earlier ones of the same days; how many were written.

    A day and currency that has a row of another source keeps that, and gets none beside it. Call
    it inside one transaction. ``now`` is epoch seconds.
    """
    if not rates:
        return 0
    table, ident = layout.published(FX_RATES.name), layout.capabilities.ident
    first, last = min(r.day for r in rates), max(r.day for r in rates)
    own = set(
        session.execute(
            f"SELECT {ident('rate_date')}, {ident('currency')} FROM {table}"
            f" WHERE {ident('org_id')} = ? AND {ident('rate_date')} BETWEEN ? AND ?"
            f" AND {ident('base')} = ? AND {ident('source')} IS DISTINCT FROM ?",
            (org_id, first, last, BASE, ECB),
        )
    )
    new = [rate for rate in rates if (rate.day, rate.currency) not in own]
    for since, until, part in _parts(new, first, last):
        _replace(session, layout, part, (org_id, since, until), now)
    return len(new)


def _parts(
    rates: Sequence[Rate], first: date, last: date
) -> Iterator[tuple[date, date, Sequence[Rate]]]:
    """Whole days, as many as one statement takes; together all days from the first to the last."""
    part: list[Rate] = []
    by_day = groupby(sorted(rates, key=lambda rate: rate.day), key=lambda rate: rate.day)
    for day, some in by_day:
        found = list(some)
        if part and len(part) + len(found) > _ROWS_PER_STATEMENT:
            yield first, day - timedelta(days=1), part
            part, first = [], day
        part += found
    yield first, last, part


def _replace(
    session: Session,
    layout: Layout,
    part: Sequence[Rate],
    scope: tuple[str, date, date],
    now: float,
) -> None:
    """As one set of rows, which travels faster than each alone. Rates go as text, exactly."""
    capabilities, ident = layout.capabilities, layout.capabilities.ident
    lists: dict[str, list[object]] = {
        "rate_date": [rate.day for rate in part],
        "currency": [rate.currency for rate in part],
        "rate": [str(rate.rate) for rate in part],
        "fx_date": [rate.published for rate in part],
    }
    same = {"org_id": scope[0], "base": BASE, "source": ECB, "loaded_at": instant(now)}
    select, params = rows_of(
        capabilities,
        [
            Given(
                name=column.name,
                type=capabilities.types[column.kind],
                values=lists.get(column.name),
                value=same.get(column.name),
            )
            for column in FX_RATES.columns
        ],
    )
    mine = (
        f"{ident('org_id')} = ? AND {ident('rate_date')} BETWEEN ? AND ? AND {ident('source')} = ?"
    )
    replace_rows(
        session,
        layout,
        FX_RATES.name,
        [Predicate(sql=mine, params=(*scope, ECB))],
        {name: f"g.{ident(name)}" for name in FX_RATES.names()},
        f"FROM ({select}) AS g",
        params,
    )


def newest(warehouse: Warehouse, org_id: str) -> date | None:
    """The newest day whose rates the ECB published; None before the first load."""
    table, ident = warehouse.layout.published(FX_RATES.name), warehouse.layout.capabilities.ident
    [(day,)] = warehouse.query(
        f"SELECT max({ident('fx_date')}) FROM {table} WHERE {ident('org_id')} = ?"
        f" AND {ident('source')} = ?",
        (org_id, ECB),
    )
    return day if isinstance(day, date) else None


def gaps(warehouse: Warehouse, org_id: str) -> Iterator[Gap]:
    """Accounts with published money that has no rate."""
    ident = warehouse.layout.capabilities.ident
    parts = list(Gap.__dataclass_fields__)
    for row in warehouse.query(
        f"SELECT {', '.join(map(ident, parts))} FROM {warehouse.layout.published(FX_GAPS)}"
        f" WHERE {ident('org_id')} = ? ORDER BY {', '.join(map(ident, parts))}",
        (org_id,),
    ):
        yield Gap(**dict(zip(parts, row, strict=True)))
