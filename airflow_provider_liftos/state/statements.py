"""Statements that a warehouse runs by itself for a task, so that its next stint or try finds them.

A row is written before a statement is submitted, with the id of the request: whoever dies before
the answer comes leaves what to ask again with, where a warehouse knows repeated requests. Texts and
values are not kept, only their digest.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, and_, delete, select

from airflow_provider_liftos.state.store import StateStore, insert_into
from airflow_provider_liftos.state.tables import statements as table


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A statement of a task; ``statement_id`` is empty until the warehouse has given it one.

    ``answer`` is a path on staging, empty while none is kept. ``as_of`` is in epoch seconds, the
    moment before it was submitted. By ``max_tries``, the task's, a Clear is known from another try.
    """

    digest: str
    request_id: str
    try_number: int
    max_tries: str
    as_of: float
    statement_id: str = ""
    answer: str = ""


class Statements:
    """The statements of one scope: a task of a dag run."""

    def __init__(self, store: StateStore, org_id: str, scope: str) -> None:
        self._store = store
        self._org_id = org_id
        self._scope = scope
        self.clock = store.clock

    def load(self) -> dict[str, Submitted]:
        """All of them by digest, oldest first. Raises as ``StateStore.read`` does."""
        query = select(table).where(self._mine).order_by(table.c.as_of, table.c.digest)
        with self._store.read() as connection:
            rows = connection.execute(query).mappings().all()
        names = Submitted.__dataclass_fields__
        return {row["digest"]: Submitted(**{n: row[n] for n in names}) for row in rows}

    def keep(self, one: Submitted) -> None:
        """Write one down, in the place of what is known of it."""
        values = asdict(one)
        with self._store.write() as connection:
            insert = insert_into(connection, table).values(
                org_id=self._org_id, scope=self._scope, **values
            )
            keys = list(table.primary_key.columns)
            connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=values))

    def forget(self, digest: str | None = None) -> None:
        """Let one go, or all."""
        which = self._mine if digest is None else and_(self._mine, table.c.digest == digest)
        with self._store.write() as connection:
            connection.execute(delete(table).where(which))

    @property
    def _mine(self) -> ColumnElement[bool]:
        return and_(table.c.org_id == self._org_id, table.c.scope == self._scope)
