"""What slices ask of the warehouse before they are published: many at once, where that is faster.

Who asks is a generator: it gives a question, is sent the rows, and returns what it made of them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias, TypeVar

from airflow_provider_liftos.warehouses.contract import Layout, Session

T = TypeVar("T")

_PER_STATEMENT = 50
"""Questions in one statement, whose text so stays far below what an engine takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """``SELECT {shown} {source}``, with ``params`` for the placeholders of both.

    Those that show the same have columns of the same types.
    """

    shown: str
    source: str
    params: tuple[object, ...]


Rows: TypeAlias = list[tuple[Any, ...]]
Asking: TypeAlias = Generator[Question, Rows, T]


def answered(session: Session, layout: Layout, askers: Sequence[Asking[T]]) -> list[T]:
    """What each makes of the answers to its questions; what one raises is raised."""
    if not layout.capabilities.joined:
        return [_alone(session, one) for one in askers]
    found: dict[int, T] = {}
    asked: dict[int, Question] = {}
    for i, one in enumerate(askers):
        _go_on(one, None, i, asked, found)
    while asked:
        for some in _statements(asked):
            for i, rows in _together(session, some):
                _go_on(askers[i], rows, i, asked, found)
    return [found[i] for i in range(len(askers))]


def _alone(session: Session, asker: Asking[T]) -> T:
    rows: Rows | None = None
    while True:
        try:
            one = asker.send(rows)  # type: ignore[arg-type]  # a generator begins with None
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        rows = _asked(session, one)


def _asked(session: Session, one: Question) -> Rows:
    return session.execute(f"SELECT {one.shown} {one.source}", one.params)


def _go_on(
    asker: Asking[T], rows: Rows | None, i: int, asked: dict[int, Question], found: dict[int, T]
) -> None:
    """Note its next question, or what it returns."""
    asked.pop(i, None)
    try:
        asked[i] = asker.send(rows)  # type: ignore[arg-type]
    except StopIteration as end:
        found[i] = end.value


_Numbered: TypeAlias = Sequence[tuple[int, Question]]


def _statements(asked: dict[int, Question]) -> list[_Numbered]:
    """Questions that one statement can ask, by who asks them."""
    alike = groupby(sorted(asked.items(), key=_shown), key=_shown)
    whole = [list(some) for _, some in alike]
    return [
        some[start : start + _PER_STATEMENT]
        for some in whole
        for start in range(0, len(some), _PER_STATEMENT)
    ]


def _shown(one: tuple[int, Question]) -> str:
    return one[1].shown


def _together(session: Session, some: _Numbered) -> Iterator[tuple[int, Rows]]:
    """One statement for all, in which each row tells whom it answers."""
    if len(some) == 1:
        [(i, one)] = some
        yield i, _asked(session, one)
        return
    sql = " UNION ALL ".join(f"SELECT {i}, {one.shown} {one.source}" for i, one in some)
    answers: dict[int, Rows] = {i: [] for i, _ in some}
    for i, *row in session.execute(sql, [value for _, one in some for value in one.params]):
        answers[int(i)].append(tuple(row))
    yield from answers.items()
