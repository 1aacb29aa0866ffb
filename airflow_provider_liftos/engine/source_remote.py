"""A source whose engine runs statements by itself, while nobody holds a connection or a slot.

A reader asks its statements one after the other. What the engine has done is read; for what still
runs after a short while the reader is broken off (``StillRunning``), and begins anew once it is
done. Statements are known by their digests, and their answers are kept, but for rows that go to
staging anyway: so each of them is submitted once, and a reader that begins anew comes to the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from airflow_provider_liftos.engine.source_answer import Answer
from airflow_provider_liftos.engine.source_query import Dialect, Statement
from airflow_provider_liftos.model.errors import (
    ConfigurationError,
    LiftosError,
    Missing,
    Unavailable,
)
from airflow_provider_liftos.state.statements import Statements, Submitted

log = logging.getLogger(__name__)

RUNNING, DONE, FAILED, CANCELLED, GONE = "running", "done", "failed", "cancelled", "gone"

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 2.0
_UNASKED = 2
"""Statements of one try that nobody came back for; one may be another run's doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What has become of a statement; ``columns`` are those of its result.

    ``said`` is the engine's error. It is ``final`` where the statement itself is wrong.
    """

    state: str
    said: str = ""
    final: bool = False
    columns: tuple[str, ...] = ()


class Remote(Protocol):
    """An engine that runs statements by itself. Everything may raise ``LiftosError``.

    ``keeps`` says for how long it keeps results.
    """

    title: str
    keeps: str

    def submit(self, statement: Statement, request_id: str, *, again: bool) -> str:
        """The id of a statement that runs now; ``again`` where this request may have arrived."""

    def look(self, statement_id: str) -> Look:
        """What has become of one."""

    def rows(self, statement_id: str) -> Iterator[list[tuple[Any, ...]]]:
        """The result of one. Missing: it is no longer kept."""

    def cancel(self, statement_id: str) -> None:
        """End one, where it still runs."""

    def close(self) -> None:
        """Let connections go."""


class StillRunning(Exception):
    """A statement is not done yet."""

    def __init__(self, statement_id: str) -> None:
        super().__init__(f"statement {statement_id} is still running")
        self.statement_id = statement_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """A try of a task; ``max_tries`` tells another try from a Clear, which raises it."""

    number: int
    max_tries: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawer:
    """Where answers are kept: ``put`` takes plain JSON and gives what to ``get`` it with."""

    put: Callable[[Any], str]
    get: Callable[[str], Any]


@dataclass(slots=True, kw_only=True)
class RemoteDoor:
    """Asks an engine of the user's, as ``Door`` asks a connection.

    ``patience`` is for how many seconds statements of one stint are waited for; ``sleep`` takes
    seconds. ``own`` is the try that asks.
    """

    remote: Remote
    dialect: Dialect
    platform: str
    book: Statements
    drawer: Drawer
    own: Try
    patience: float = 5.0
    sleep: Callable[[float], None] = time.sleep
    _done: dict[str, tuple[str, Look]] = field(default_factory=dict)
    _answers: dict[str, Answer] = field(default_factory=dict)

    def begin(self) -> float:
        """The moment as of which rows are read: before the first statement was submitted.

        After a Clear there is none: what it left is ended and forgotten.
        """
        known = list(self.book.load().values())
        if any(one.max_tries != self.own.max_tries for one in known):
            self.cancel()
            self.book.forget()
            known = []
        return min((one.as_of for one in known), default=self.book.clock.now())

    def names(self, statement: Statement) -> list[str]:
        """Names of a statement's columns. Raises as ``rows`` does."""
        return list(self._answer(statement).columns)

    def ready(self, statement: Statement) -> None:
        """See that a statement is done whose rows are many. Raises as ``rows`` does."""
        self._finished(statement)

    def rows(self, statement: Statement) -> Iterator[list[tuple[Any, ...]]]:
        """All rows of a statement, a few thousand at a time; all at once if it was not ``ready``.

        Raises:
            StillRunning: it is not done yet.
            ConfigurationError: the engine does not understand the query, or a value in it.
            Unavailable: the engine does not answer, or the statement came to an end there.
        """
        if digest(statement) in self._done:
            yield from self._streamed(statement)
        else:
            yield self._answer(statement).rows

    def one(self, statement: Statement) -> tuple[Any, ...]:
        """The only row of a statement that has one. Raises as ``rows`` does."""
        return self._answer(statement).rows[0]

    def cancel(self) -> None:
        """End what still runs for this task, as far as the engine can be reached."""
        for one in self.book.load().values():
            with suppress(Exception):
                if one.statement_id and self.remote.look(one.statement_id).state == RUNNING:
                    self.remote.cancel(one.statement_id)
                    log.info("statement %s was cancelled", one.statement_id)

    def forget(self) -> None:
        """Everything has been read: whoever asks again asks anew."""
        self.book.forget()

    def close(self) -> None:
        """Let connections go; statements run on."""
        with suppress(Exception):
            self.remote.close()

    def _answer(self, statement: Statement) -> Answer:
        key = digest(statement)
        if key not in self._answers:
            known = self.book.load().get(key)
            if known and known.answer:
                self._answers[key] = Answer.decoded(self.drawer.get(known.answer))
            else:
                self._answers[key] = self._read(statement, key)
        return self._answers[key]

    def _read(self, statement: Statement, key: str) -> Answer:
        _, look = self._finished(statement)
        rows = [row for batch in self._streamed(statement) for row in batch]
        answer = Answer(columns=look.columns, rows=rows)
        del self._done[key]
        with suppress(TypeError):  # a type that has no text: asked for again, if need be
            path = self.drawer.put(answer.encoded())
            self.book.keep(replace(self.book.load()[key], answer=path))
        return answer

    def _streamed(self, statement: Statement) -> Iterator[list[tuple[Any, ...]]]:
        statement_id, _ = self._done[digest(statement)]
        try:
            yield from self.remote.rows(statement_id)
        except Missing:
            raise self._ended(digest(statement), statement_id, Look(state=GONE)) from None

    def _finished(self, statement: Statement) -> tuple[str, Look]:
        key = digest(statement)
        if key not in self._done:
            known = self.book.load().get(key)
            found = known and known.statement_id and self._awaited(known)
            self._done[key] = found or self._submitted(statement, key)
        return self._done[key]

    def _submitted(self, statement: Statement, key: str) -> tuple[str, Look]:
        """Submit it, and wait a little. Whoever died before the answer came asks the same again."""
        book = self.book.load()
        self._see_that_it_ends(book)
        known = book.get(key)
        one = Submitted(
            digest=key,
            request_id=known.request_id if known else str(uuid.uuid4()),
            try_number=self.own.number,
            max_tries=self.own.max_tries,
            as_of=known.as_of if known else self.book.clock.now(),
        )
        self.book.keep(one)
        statement_id = self.remote.submit(statement, one.request_id, again=known is not None)
        one = replace(one, statement_id=statement_id)
        self.book.keep(one)
        log.info("statement %s was submitted to %s", statement_id, self.remote.title)
        found = self._awaited(one)
        assert found is not None  # noqa: S101  None is for other tries' statements
        return found

    def _see_that_it_ends(self, book: dict[str, Submitted]) -> None:
        """A reader that begins anew asks what it asked before; else it would wait for ever."""
        asked = {*self._done, *self._answers}
        unasked = [one for one in book.values() if one.digest not in asked]
        mine = [one for one in unasked if one.try_number == self.own.number and one.statement_id]
        if len(mine) >= _UNASKED:
            raise ConfigurationError(
                "the query is another one after each wait",
                platform=self.platform,
                hint="Take what changes by the clock out of its templates, or deferrable.",
            )

    def _awaited(self, one: Submitted) -> tuple[str, Look] | None:
        """The statement once it is done; None for one of an earlier try that never will be."""
        pause = _FIRST_PAUSE
        while (look := self.remote.look(one.statement_id)).state == RUNNING:
            if self.patience <= 0:
                raise StillRunning(one.statement_id)
            self.sleep(pause)
            self.patience, pause = self.patience - pause, min(2 * pause, _LONGEST_PAUSE)
        if look.state == DONE:
            return one.statement_id, look
        error = self._ended(one.digest, one.statement_id, look)
        if one.try_number == self.own.number:
            raise error
        log.info("%s; it was an earlier try's, and is submitted again", error.message)
        return None

    def _ended(self, key: str, statement_id: str, look: Look) -> LiftosError:
        """What to say of a statement that has no result; it is not asked about again."""
        self.book.forget(key)
        self._done.pop(key, None)
        title = self.remote.title
        if look.final:
            return ConfigurationError(
                f"{title} refuses the query: {look.said}",
                platform=self.platform,
                hint="Correct the query.",
            )
        what, hint = {
            CANCELLED: ("was cancelled there", "Ask who did; the next try submits it again."),
            GONE: (
                f"has no result any more; results are kept for {self.remote.keeps}",
                "The next try submits it again.",
            ),
        }.get(look.state, (f"failed: {look.said}", "The next try submits it again."))
        return Unavailable(
            f"statement {statement_id} of {title} {what}", platform=self.platform, hint=hint
        )


def digest(statement: Statement) -> str:
    """What a statement is known by: its text and its values."""
    asked = json.dumps([statement.text, statement.parameters], default=repr, sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()
