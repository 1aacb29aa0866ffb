"""Schemas, tables and views brought up to date, and a record of it in ``schema_changes``.

Nothing is dropped and nothing narrowed. New columns are added, types widened; a column that a
version does not know stays and is null in its rows. An older version works beside a newer one as
long as both may write the same rows: it leaves the newer one's views alone. Where that is not so,
``SCHEMA_VERSION`` is raised, and the older version is refused.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_liftos import __version__
from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.warehouses.contract import Layout, Session
from airflow_provider_liftos.warehouses.ddl import (
    ALL_VIEWS,
    SCHEMA_CHANGES,
    STAYS,
    Catalogue,
    Change,
    changes,
)
from airflow_provider_liftos.warehouses.views import VIEWS, ViewSettings, create_views

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
"""Raised when older versions must not write any more, as after a change of a key or a meaning.

A new table, a new column or a wider type is no such change.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done, in this order; false when that is nothing.

    ``views`` are the statements of all views, if they have to be made anew; ``mark`` is to be noted
    of them, if they are others than before.
    """

    changes: tuple[Change, ...]
    views: tuple[str, ...]
    mark: Change | None

    def __bool__(self) -> bool:
        return bool(self.changes or self.views)

    @property
    def statements(self) -> tuple[str, ...]:
        """All of them; each may be repeated, but for those that add a column or widen it."""
        tables = (statement for change in self.changes for statement in change.statements)
        return (*tables, *self.views)

    @property
    def notes(self) -> tuple[Change, ...]:
        """What to write down once it is done."""
        return (*self.changes, self.mark) if self.mark else self.changes


def plan(session: Session, layout: Layout, settings: ViewSettings, there: Catalogue) -> Plan:
    """Compare what is ``there`` with what this version needs.

    Raises:
        WarehouseError: a newer version owns the tables.
        WarehouseDenied: a column's type cannot be widened to what is needed, or not by us.
    """
    noted = _noted(session, layout, there)
    _refuse_downgrade(layout, noted)
    known = {(place, what) for place, what, *_ in noted}
    wanted = tuple(
        change
        for change in changes(layout, there)
        if change.what != STAYS or (change.object, STAYS) not in known
    )
    views = tuple(create_views(layout, settings))
    digest = hashlib.sha256("\n".join(views).encode()).hexdigest()[:32]
    last = next((row for row in reversed(noted) if row[0] == ALL_VIEWS), None)
    mark = Change(object=ALL_VIEWS, what="made", statements=(digest,))
    if last is None or (last[2] != digest and not _is_newer(last[3])):
        return Plan(changes=wanted, views=views, mark=mark)
    gone = not all((layout.schema, view.name) in there for view in VIEWS)
    # Views remember the types of their columns.
    if gone or any(change.widens for change in wanted):
        return Plan(changes=wanted, views=views, mark=None if last[2] == digest else mark)
    return Plan(changes=wanted, views=(), mark=None)


def note(session: Session, layout: Layout, done: Iterable[Change]) -> None:
    """Write down, in ``schema_changes`` and in the log, what was changed."""
    capabilities, done = layout.capabilities, list(done)
    if not done:
        return
    kinds = {column.name: capabilities.types[column.kind] for column in SCHEMA_CHANGES.columns}
    given = ", ".join(f"CAST(? AS {kind})" for kind in list(kinds.values())[1:])
    row = f"SELECT CAST(CURRENT_TIMESTAMP AS {kinds['changed_at']}), {given}"
    columns = ", ".join(map(capabilities.ident, kinds))
    params: list[object] = []
    for change in done:
        text = "; ".join(change.statements) or None
        params += (__version__, SCHEMA_VERSION, change.object, change.what, text)
        log.info("Warehouse: %s %s", change.object, change.what)
    session.execute(
        f"INSERT INTO {layout.published(SCHEMA_CHANGES.name)} ({columns})"
        f" {' UNION ALL '.join([row] * len(done))}",
        params,
    )


def migrate(session: Session, layout: Layout, settings: ViewSettings, there: Catalogue) -> None:
    """Carry out the plan; call it inside one transaction, where the engine has them for this."""
    made = plan(session, layout, settings, there)
    for statement in made.statements:
        session.execute(statement)
    note(session, layout, made.notes)


_Noted = Sequence[tuple[str, str, str | None, str, int]]
"""Object, change, statement, package version and schema version, oldest first."""


def _noted(session: Session, layout: Layout, there: Catalogue) -> _Noted:
    if (layout.schema, SCHEMA_CHANGES.name) not in there:
        return []
    ident = layout.capabilities.ident
    names = ("object", "change", "statement", "package_version", "schema_version")
    return session.execute(
        f"SELECT {', '.join(map(ident, names))} FROM {layout.published(SCHEMA_CHANGES.name)}"
        f" ORDER BY {ident('changed_at')}"
    )


def _refuse_downgrade(layout: Layout, noted: _Noted) -> None:
    newest = max(noted, key=lambda row: row[4], default=None)
    if newest is not None and newest[4] > SCHEMA_VERSION:
        raise WarehouseError(
            f"Schema {layout.schema} is of version {newest[4]}, made by {newest[3]} of this"
            f" package; this is {__version__}, which knows version {SCHEMA_VERSION}: a downgrade.",
            hint="Nothing was changed. Install the newer version here too, or use another schema.",
        )


def _is_newer(version: str) -> bool:
    if _release(version) <= _release(__version__):
        return False
    log.info("Views of the warehouse are those of version %s, and stay.", version)
    return True


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
