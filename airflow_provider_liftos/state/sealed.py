"""Everything that lies sealed in the store, by where it lies, and how it gets a newer key.

A column that holds sealed texts has its line in ``SEALED``; then ``airflow liftos rotate-keys``
finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, Table, and_, delete, select, tuple_, update

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.state import dead_letters, letter, oauth_states, tables, tokens
from airflow_provider_liftos.state.keyring import KeyRing
from airflow_provider_liftos.state.store import StateStore

BATCH = 200
"""Rows per transaction: others may write in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A column with sealed texts; ``context`` is what a row's text is bound to.

    ``only`` says which rows are meant, where others hold plain text in it. ``lost`` is what a row
    becomes when no key opens it and a person gives it up; None: it goes.
    """

    column: Column[str]
    context: Callable[[Mapping[str, Any]], str]
    only: ColumnElement[bool] | None = None
    lost: Mapping[str, Any] | None = None

    @property
    def table(self) -> Table:
        """The column's table."""
        return self.column.table


SEALED = (
    Sealed(column=tables.tokens.c.sealed, context=tokens.context),
    Sealed(
        column=tables.dead_letters.c.payload,
        context=lambda row: dead_letters.context(row["org_id"], row["id"]),
        only=tables.dead_letters.c.form == letter.SEALED,
        lost={"payload": None, "form": letter.LEFT_OUT},
    ),
    Sealed(
        column=tables.oauth_states.c.verifier,
        context=lambda row: oauth_states.context(row["org_id"], row["digest"]),
    ),
)


@dataclass(slots=True, kw_only=True)
class Count:
    """What became of one organization's texts in one table."""

    resealed: int = 0
    dropped: int = 0
    unreadable: list[str] = field(default_factory=list)


def reseal(store: StateStore, ring: KeyRing, *, drop: bool = False) -> dict[tuple[str, str], Count]:
    """Seal with the newest key whatever an older one sealed, by organization and table.

    Safe while workers run, and to be repeated: a text that changed meanwhile is left to whoever
    changed it. Texts that no key opens stay, unless ``drop``.

    Raises:
        ConfigurationError: the ring is empty.
    """
    counts: dict[tuple[str, str], Count] = {}
    for place in SEALED:
        for rows in _batches(store, place, ring.newest):
            with store.write() as connection:
                for row in rows:
                    count = counts.setdefault((row.org_id, place.table.name), Count())
                    change, outcome = _change(place, row, ring, drop=drop)
                    if change is None:
                        count.unreadable.append(outcome)
                    elif connection.execute(change).rowcount == 1:
                        count.dropped += outcome == "dropped"
                        count.resealed += outcome == "resealed"
    return counts


def _change(place: Sealed, row: Row[Any], ring: KeyRing, *, drop: bool) -> tuple[Any, str]:
    """The statement that a row needs, and what it is called; or None, and what is wrong."""
    text: str = getattr(row, place.column.name)
    here = and_(_at(place, row), place.column == text)
    try:
        plain = ring.open(text, place.context(row._asdict()))
    except ConfigurationError as error:
        if not drop:
            return None, error.message
        if place.lost is None:
            return delete(place.table).where(here), "dropped"
        return update(place.table).where(here).values(**place.lost), "dropped"
    fresh = ring.seal(plain, place.context(row._asdict()))
    return update(place.table).where(here).values({place.column.name: fresh}), "resealed"


def _batches(store: StateStore, place: Sealed, newest: str) -> Iterator[list[Row[Any]]]:
    """Rows that are not sealed with the newest key, in the order of their keys."""
    key = tuple_(*place.table.primary_key.columns)
    old = [place.column.is_not(None), ~place.column.startswith(f"{newest}.", autoescape=True)]
    if place.only is not None:
        old.append(place.only)
    query = select(place.table).where(*old).order_by(*place.table.primary_key.columns)
    last: tuple[Any, ...] | None = None
    while True:
        after = [] if last is None else [key > tuple_(*last)]
        with store.read() as connection:
            rows = list(connection.execute(query.where(*after).limit(BATCH)).all())
        if not rows:
            return
        yield rows
        last = tuple(getattr(rows[-1], c.name) for c in place.table.primary_key.columns)


def _at(place: Sealed, row: Row[Any]) -> ColumnElement[bool]:
    return and_(*(c == getattr(row, c.name) for c in place.table.primary_key.columns))
