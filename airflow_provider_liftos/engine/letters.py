"""Dead letters of slices and rows: what becomes one, what a replay asks for, when it is settled.

A letter of a slice is about days: it is settled when all of them are published, by a replay or by
an ordinary run. A letter of a row is about the days of the slice that it came with, because a row
is never published alone: it is settled when these are published without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from airflow_provider_liftos.engine.incremental import joined, without
from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.model.report import SNAPSHOT, Account, Slice, Window
from airflow_provider_liftos.state.dead_letters import DeadLetters
from airflow_provider_liftos.state.letter import (
    DISCARDED,
    OPEN,
    REPLAYED,
    REPLAYING,
    ROW,
    SLICE,
    SUPERSEDED,
    Draft,
    Letter,
    Wanted,
)

_ALL = "all"
"""Identity of a stream's letter: tomorrow's listing that fails is the same trouble."""


def of_slice(manifest: Manifest, cut: SliceResult, reason: str) -> Draft:
    """The letter of a slice that was given up or held back."""
    window = cut.slice.window
    days = f"{window.since}..{window.until}" if cut.slice.report else _ALL
    return _draft(manifest, cut, kind=SLICE, reason=reason, identity=days)


def of_row(manifest: Manifest, cut: SliceResult, reason: str, line: str) -> Draft:
    """The letter of a row that cannot be kept."""
    return _draft(manifest, cut, kind=ROW, reason=reason, payload=line)


def _draft(manifest: Manifest, cut: SliceResult, **parts: Any) -> Draft:
    window = cut.slice.window
    return Draft(
        platform=manifest.platform,
        account_id=cut.slice.account_id,
        name=cut.slice.name,
        since=str(window.since),
        until=str(window.until),
        spec={
            "slice": cut.slice.to_json(),
            "account": asdict(cut.account),
            "is_mock": manifest.is_mock,
            "left": [[str(window.since), str(window.until)]],
            **{name: manifest.facts.get(name) for name in ("conn_id", "warehouse_conn_id")},
        },
        **parts,
    )


def left(letter: Letter) -> list[Window]:
    """The days of a letter that are not published yet."""
    spans = letter.spec.get("left") or ()
    return [Window(since=date.fromisoformat(a), until=date.fromisoformat(b)) for a, b in spans]


def account(letter: Letter) -> Account:
    """The account of a slice or a row, as it was known then."""
    return Account.from_json(letter.spec["account"])


def cuts(found: Iterable[Letter]) -> dict[str, Slice]:
    """What a replay asks for: the slices, by their fingerprints, none twice.

    Days that are there by now are left out, where a row is of one day. Streams are listed in full.
    """
    asked: dict[str, Slice] = {}
    for letter in found:
        cut = Slice.from_json(letter.spec["slice"])
        if cut.report is None:
            parts = [cut.narrowed(changed_since="", ids=None)]
        elif cut.report.time_increment == 1:
            parts = [cut.narrowed(window=window) for window in left(letter)]
        else:
            parts = [cut]
        asked |= {part.fingerprint(): part for part in parts}
    return _apart(asked)


def _apart(asked: Mapping[str, Slice]) -> dict[str, Slice]:
    """Without slices whose days others bring as well: two must not replace the same days."""
    kept: dict[str, Slice] = {}
    by_size = sorted(asked.items(), key=lambda item: -item[1].window.days)
    for fingerprint, cut in by_size:
        taken = [x.window for x in kept.values() if _same(x, cut)]
        if cut.report is None and taken:
            continue
        if not taken:
            kept[fingerprint] = cut
            continue
        for window in without(cut.window, taken):
            part = cut.narrowed(window=window)
            kept[part.fingerprint()] = part
    return kept


def _same(one: Slice, other: Slice) -> bool:
    return (one.account_id, one.name) == (other.account_id, other.name)


def settle(
    letters: DeadLetters, manifest: Manifest, cut: SliceResult, *, holder: str, by: str
) -> int:
    """A slice is published: close the letters that this leaves nothing of; how many.

    ``holder`` is who replays, and closes what it has claimed as replayed; ``by`` is whom the others
    owe it to. Rows that this very load has refused stay open.
    """
    part = cut.slice
    if part.report is None and part.level != SNAPSHOT:
        return 0
    wanted = Wanted(
        platform=manifest.platform,
        account_id=part.account_id,
        name=part.name,
        states=(OPEN, REPLAYING),
    )
    closed = 0
    for letter in letters.find(wanted, limit=10_000):
        if letter.kind not in {SLICE, ROW} or letter.load_id == _refused_in(manifest, letter):
            continue
        if bool(letter.spec.get("is_mock")) != manifest.is_mock:
            continue
        rest = [p for w in left(letter) for p in without(w, [part.window])]
        if part.report and rest:
            if rest != left(letter):
                spans = [[str(w.since), str(w.until)] for w in rest]
                letters.narrow(letter, {**letter.spec, "left": spans})
            continue
        mine = letter.state == REPLAYING and letter.claimed_by == holder
        closed += letters.close([letter.id], state=REPLAYED if mine else SUPERSEDED, by=by)
    return closed


def _refused_in(manifest: Manifest, letter: Letter) -> str | None:
    return manifest.load_id if letter.kind == ROW else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """Days of an account's report that scheduled runs ask for no more.

    ``failed`` ones failed on too many days, ``discarded`` ones a person has let go.
    """

    failed: tuple[Window, ...] = ()
    discarded: tuple[Window, ...] = ()

    @property
    def days(self) -> tuple[Window, ...]:
        """Both."""
        return tuple(joined((*self.failed, *self.discarded)))


def left_alone(found: Iterable[Letter], nights: int) -> dict[tuple[str, str], LeftAlone]:
    """By account and report: days that failed on ``nights`` different days (0: any number)."""
    seen: dict[tuple[str, str], dict[date, set[str]]] = {}
    gone: dict[tuple[str, str], list[Window]] = {}
    for letter in found:
        key = (letter.account_id, letter.name)
        if letter.state == DISCARDED:
            gone.setdefault(key, []).extend(left(letter))
            continue
        days = seen.setdefault(key, {})
        for window in left(letter):
            for day in window.dates():
                days.setdefault(day, set()).update(letter.days)
    return {
        key: LeftAlone(
            failed=tuple(_spans(seen.get(key, {}), nights)),
            discarded=tuple(joined(gone.get(key, ()))),
        )
        for key in (*seen, *gone)
    }


def _spans(days: Mapping[date, Sequence[str] | set[str]], nights: int) -> list[Window]:
    failed = [day for day, when in days.items() if 0 < nights <= len(when)]
    return joined(Window(since=day, until=day) for day in failed)


def span(windows: Sequence[Window]) -> str:
    """What a person reads: how many days, from when to when."""
    days = sum(window.days for window in windows)
    first, last = min(w.since for w in windows), max(w.until for w in windows)
    if first == last:
        return str(first)
    dense = last - first == timedelta(days=days - 1)
    return f"{first}..{last}" if dense else f"{days} days from {first} to {last}"
