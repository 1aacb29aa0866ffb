"""Dead letters: what could not be processed, kept with the reason until somebody deals with it.

What is seen again is one letter with more attempts. Who replays letters claims them first, so that
two replays at once share them instead of doubling them. Payloads that hold personal data are
sealed; without a key they are left out, and the letter says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select, update
from sqlalchemy.engine import Connection

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.state.keyring import KeyRing
from airflow_provider_liftos.state.letter import (
    CUT,
    DISCARDED,
    LEFT_OUT,
    OPEN,
    PLAIN,
    REPLAYING,
    SEALED,
    Draft,
    Letter,
    Wanted,
    read,
)
from airflow_provider_liftos.state.store import StateStore, insert_into
from airflow_provider_liftos.state.tables import dead_letters as table

_LONGEST_PAYLOAD = 10_000
_MOST_DAYS = 60
_AT_ONCE = 200  # letters per statement; SQLite takes a bounded number of values


class DeadLetters:
    """The dead letters of one organization."""

    def __init__(self, store: StateStore, org_id: str, ring: KeyRing | None = None) -> None:
        self._store = store
        self._org_id = org_id
        self._ring = ring or KeyRing()

    def keep(
        self, drafts: Iterable[Draft], *, load_id: str = "", dag_id: str = "", run_id: str = ""
    ) -> int:
        """Keep letters; how many there are, the same twice counted once.

        One that is there already has one attempt more, unless the same load saw it, and is open
        again unless it was discarded.
        """
        unique = list({draft.id: draft for draft in drafts}.values())
        where = {"load_id": load_id, "dag_id": dag_id, "run_id": run_id}
        for start in range(0, len(unique), _AT_ONCE):
            with self._store.write() as connection:
                self._keep(connection, unique[start : start + _AT_ONCE], where)
        return len(unique)

    def _keep(
        self, connection: Connection, drafts: Sequence[Draft], where: Mapping[str, str]
    ) -> None:
        now = self._store.clock.now()
        rows = [self._row(draft, where, now) for draft in drafts]
        mine = self._where(Wanted(ids=[draft.id for draft in drafts]))
        insert = insert_into(connection, table).on_conflict_do_nothing()
        # The rows that are new return; those that were there are locked until the end.
        there = {
            row.id: read(row)
            for row in connection.execute(
                select(table).where(mine).order_by(table.c.id).with_for_update()
            )
        }
        if new := [row for row in rows if row["id"] not in there]:
            connection.execute(insert, new)
        for row in rows:
            if row["id"] in there:
                known = there[row["id"]]
                connection.execute(
                    update(table).where(self._is(known.id)).values(**_again(known, row))
                )

    def _row(self, draft: Draft, where: Mapping[str, str], now: float) -> dict[str, Any]:
        form, payload = self._enclosed(draft)
        return {
            "org_id": self._org_id,
            "id": draft.id,
            "platform": draft.platform,
            "account_id": draft.account_id,
            "kind": draft.kind,
            "name": draft.name,
            "reason": draft.reason,
            "since": draft.since,
            "until": draft.until,
            "spec": json.dumps(draft.spec),
            "form": form,
            "payload": payload,
            "attempts": 1,
            "state": OPEN,
            "created_at": now,
            "updated_at": now,
            "days": json.dumps([str(datetime.fromtimestamp(now, UTC).date())]),
            **where,
        }

    def _enclosed(self, draft: Draft) -> tuple[str, str | None]:
        """The form in which a payload is kept, and what is kept."""
        if draft.personal:
            if not self._ring:
                return LEFT_OUT, None
            return SEALED, self._ring.seal(draft.payload.encode(), context(self._org_id, draft.id))
        if len(draft.payload) > _LONGEST_PAYLOAD:
            return CUT, draft.payload[:_LONGEST_PAYLOAD]
        return PLAIN, draft.payload

    def payload(self, letter: Letter) -> str | None:
        """What could not be processed; None where it was left out.

        Raises:
            ConfigurationError: it is sealed, and its key is not on the ring.
        """
        if letter.form != SEALED or letter.payload is None:
            return letter.payload
        return self._ring.open(letter.payload, context(self._org_id, letter.id)).decode()

    def find(self, wanted: Wanted | None = None, *, limit: int = 1000) -> list[Letter]:
        """Letters, those seen last first."""
        return self._read(self._query(wanted or Wanted()).limit(limit))

    def _query(self, wanted: Wanted) -> Select[Any]:
        newest_first = (table.c.updated_at.desc(), table.c.id)
        return select(table).where(self._where(wanted)).order_by(*newest_first)

    def _read(self, query: Select[Any]) -> list[Letter]:
        with self._store.read() as connection:
            return [read(row) for row in connection.execute(query)]

    def one(self, letter_id: str) -> Letter:
        """The letter whose id begins so. Raises ConfigurationError unless there is exactly one."""
        begins = table.c.id.startswith(letter_id, autoescape=True)
        query = select(table).where(table.c.org_id == self._org_id, begins).limit(2)
        found = self._read(query) if letter_id else []
        if len(found) != 1:
            raise ConfigurationError(
                f"{'no' if not found else 'more than one'} dead letter of organization"
                f" {self._org_id!r} has an id that begins with {letter_id!r}",
                hint="`airflow liftos dead-letters list` shows the ids.",
            )
        return found[0]

    def claim(
        self, wanted: Wanted, *, holder: str, seconds: float, limit: int = 1000
    ) -> list[Letter]:
        """Take letters to replay them: nobody else gets them for ``seconds``, or until let go.

        Open ones, those whose holder has died, and those that the holder has already, for longer.
        """
        now = self._store.clock.now()
        free = or_(
            table.c.state == OPEN,
            and_(
                table.c.state == REPLAYING,
                or_(table.c.claimed_by == holder, table.c.claimed_until <= now),
            ),
        )
        query = self._query(wanted).where(free).limit(limit).with_for_update(skip_locked=True)
        values = {"state": REPLAYING, "claimed_by": holder, "claimed_until": now + seconds}
        with self._store.write() as connection:
            found = [read(row) for row in connection.execute(query)]
            for letter in found:
                connection.execute(update(table).where(self._is(letter.id)).values(**values))
        return found

    def let_go(self, holder: str) -> int:
        """Open again what the holder has claimed and not closed; how many."""
        mine = and_(
            table.c.org_id == self._org_id,
            table.c.state == REPLAYING,
            table.c.claimed_by == holder,
        )
        return self._change(mine, state=OPEN, claimed_by=None, claimed_until=None)

    def failed(self, letter: Letter, reason: str, *, load_id: str) -> None:
        """A replay did not help: one attempt more, and open again, for the given reason."""
        now = self._store.clock.now()
        today = json.dumps([str(datetime.fromtimestamp(now, UTC).date())])
        row = {"reason": reason, "load_id": load_id, "updated_at": now, "days": today}
        self._change(self._is(letter.id), **_again(letter, row))

    def close(self, ids: Sequence[str], *, state: str, by: str) -> int:
        """Close letters that are not; how many that were."""
        values = {
            "state": state,
            "closed_at": self._store.clock.now(),
            "closed_by": by,
            "claimed_by": None,
            "claimed_until": None,
        }
        wanted = [
            Wanted(ids=ids[start : start + _AT_ONCE], states=(OPEN, REPLAYING))
            for start in range(0, len(ids), _AT_ONCE)
        ]
        return sum(self._change(self._where(part), **values) for part in wanted)

    def narrow(self, letter: Letter, spec: Mapping[str, Any]) -> None:
        """Note that only a part of a letter is left."""
        self._change(self._is(letter.id), spec=json.dumps(spec))

    def _change(self, where: ColumnElement[bool], **values: Any) -> int:
        with self._store.write() as connection:
            return int(connection.execute(update(table).where(where).values(**values)).rowcount)

    def _is(self, letter_id: str) -> ColumnElement[bool]:
        return and_(table.c.org_id == self._org_id, table.c.id == letter_id)

    def _where(self, wanted: Wanted) -> ColumnElement[bool]:
        given = {name: getattr(wanted, name) for name in ("platform", "account_id", "kind", "name")}
        parts = [table.c[name] == value for name, value in given.items() if value is not None]
        if wanted.ids is not None:
            parts.append(table.c.id.in_(list(wanted.ids)))
        if wanted.states is not None:
            parts.append(table.c.state.in_(list(wanted.states)))
        return and_(table.c.org_id == self._org_id, *parts)


def organizations(store: StateStore) -> list[str]:
    """Every organization that has letters."""
    with store.read() as connection:
        return list(connection.scalars(select(table.c.org_id).distinct().order_by(table.c.org_id)))


def _again(known: Letter, row: Mapping[str, Any]) -> dict[str, Any]:
    """What changes in a letter that is seen again."""
    days = sorted({*known.days, *json.loads(row["days"])})[-_MOST_DAYS:]
    changes: dict[str, Any] = {
        **{n: v for n, v in row.items() if n not in {"org_id", "id", "created_at", "state"}},
        "attempts": known.attempts + (not row["load_id"] or known.load_id != row["load_id"]),
        "days": json.dumps(days),
    }
    if known.state != DISCARDED:
        changes |= {"state": OPEN, "closed_at": None, "closed_by": None}
        changes |= {"claimed_by": None, "claimed_until": None}
    return changes


def context(org_id: str, letter_id: str) -> str:
    """What a letter's payload is bound to."""
    return f"dead_letters/{org_id}/{letter_id}"
