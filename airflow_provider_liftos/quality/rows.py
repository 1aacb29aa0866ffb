"""Judging single rows: frames of staged Parquet through the suite of their table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.engine.objects import StagingUnavailable
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.errors import StagingError
from airflow_provider_liftos.model.quality import Quality
from airflow_provider_liftos.model.unified import Table
from airflow_provider_liftos.quality import frames, gx
from airflow_provider_liftos.quality.findings import Status
from airflow_provider_liftos.quality.rules import Rule
from airflow_provider_liftos.quality.suites import (
    EXEMPT,
    PLAIN,
    RowCheck,
    row_checks,
    row_suite,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(slots=True, kw_only=True)
class Tally:
    """One check on one slice: rows that had something to judge, and those that broke it."""

    judged: int = 0
    broken: int = 0
    raised: str = ""
    sample: list[dict[str, str]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Of the judged rows, those broken."""
        return self.broken / self.judged if self.judged else 0.0


_NAMED = 2

Tallies = dict[tuple[int, str], Tally]  # by the slice's number and the check's id


@dataclass(frozen=True, slots=True, kw_only=True)
class RowVerdict:
    """One rule on one slice, over all its checks; the worst of them counts."""

    status: Status
    share: float
    observed: str
    sample: tuple[Mapping[str, str], ...]


NOT_JUDGED = RowVerdict(status=Status.NOT_APPLICABLE, share=0.0, observed="", sample=())


def judge_rows(
    manifest: Manifest,
    table: Table,
    results: Mapping[int, SliceResult],
    rules: Mapping[str, Rule],
    staging: Staging | None = None,
    quality: Quality = PLAIN,
    more: Sequence[RowCheck] = (),
) -> Tallies:
    """Tallies of every check, and of ``more`` of them, on every slice that has rows.

    Raises StagingUnavailable when the store does not answer: then there is nothing to say.
    """
    tallies: Tallies = {}
    judge = _Judge(manifest, table, rules, tallies, staging, quality, more)
    for batch in frames.parts(results):
        judge.batch(batch)
    return tallies


def verdict(rule: Rule, checks: Sequence[RowCheck], number: int, tallies: Tallies) -> RowVerdict:
    """What the tallies of a slice say about a rule."""
    found = {c.subject: tallies[number, c.id] for c in checks if (number, c.id) in tallies}
    broken = {name: tally for name, tally in found.items() if tally.broken}
    raised = {name: tally.raised for name, tally in found.items() if tally.raised}
    share = max((tally.share for tally in found.values()), default=0.0)
    told = [f"{name}: {tally.broken} of {tally.judged} rows" for name, tally in broken.items()]
    told += [
        f"{_named([name for name in raised if raised[name] == reason])}: {reason}"
        for reason in dict.fromkeys(raised.values())
    ]
    if share > 1.0 - rule.mostly:
        status = Status.FAILED
    elif raised:
        status = Status.NOT_EVALUATED
    else:
        judged = any(tally.judged for tally in found.values())
        status = Status.PASSED if judged else Status.NOT_APPLICABLE
    sample = [row for tally in broken.values() for row in tally.sample]
    return RowVerdict(
        status=status, share=share, observed="; ".join(told), sample=tuple(sample[: frames.SAMPLE])
    )


def _named(subjects: Sequence[str]) -> str:
    """The first of them, for what many have in common."""
    more = len(subjects) - _NAMED
    return ", ".join(subjects[:_NAMED]) + (f" and {more} more" if more > 0 else "")


class _Judge:
    def __init__(
        self,
        manifest: Manifest,
        table: Table,
        rules: Mapping[str, Rule],
        tallies: Tallies,
        staging: Staging | None,
        quality: Quality,
        more: Sequence[RowCheck],
    ) -> None:
        self._manifest = manifest
        self._quality = quality
        self._staging = staging
        self._table = table
        self._checks = (*row_checks(table, quality), *more)
        self._suite = row_suite(table, rules, quality, more)
        self._tallies = tallies

    def batch(self, batch: Sequence[frames.Part]) -> None:
        """Judge a batch; where its files cannot be read together, each on its own."""
        with ExitStack() as opened:
            try:
                near = opened.enter_context(frames.local(self._staging, batch))
                frame = frames.rows_frame(
                    self._manifest, self._table, self._checks, near, self._quality
                )
            except StagingUnavailable:
                raise
            except StagingError as error:
                trouble = error
            else:
                self._judge(frame, near)
                return
        if len(batch) > 1:
            for part in batch:
                self.batch([part])
            return
        for check in self._checks:
            self._tally(batch[0].number, check).raised = trouble.message

    def _judge(self, frame: pd.DataFrame, batch: Sequence[frames.Part]) -> None:
        slices = frame.pop(frames.SLICE).to_numpy()
        idle = {check.id for check in self._checks if _is_idle(frame, check)}
        asked = [e for e in self._suite["expectations"] if e["meta"]["id"] not in idle]
        judgements = gx.judge(frame, {**self._suite, "expectations": asked})
        for check in self._checks:
            if check.id in idle:
                continue
            judgement = judgements[check.id]
            if judgement.raised or check.id not in frame:
                for part in batch:
                    tally = self._tally(part.number, check)
                    tally.raised = judgement.raised or "the expectation gave no result"
                continue
            judged = _judged(frame, check, slices)
            broken = _count(slices[list(judgement.broken)]) if judgement.broken else {}
            for number, rows in judged.items():
                tally = self._tally(number, check)
                tally.judged += rows
                tally.broken += broken.get(number, 0)
            self._sample(check, batch, broken)

    def _sample(
        self, check: RowCheck, batch: Sequence[frames.Part], broken: Collection[int]
    ) -> None:
        if not broken:
            return
        found = frames.samples(self._manifest, self._table, check, batch, broken, self._quality)
        for number, rows in found.items():
            self._tally(number, check).sample.extend(rows)

    def _tally(self, number: int, check: RowCheck) -> Tally:
        return self._tallies.setdefault((number, check.id), Tally())


def _is_idle(frame: pd.DataFrame, check: RowCheck) -> bool:
    """Whether no row has anything to judge: the library need not be asked, which has its price."""
    if check.presence or check.id not in frame:
        return False
    return bool((frame[check.id].to_numpy() == EXEMPT).all())


def _judged(frame: pd.DataFrame, check: RowCheck, slices: np.ndarray) -> dict[int, int]:
    """Rows of each slice that had something to judge: all, but for the exempt ones."""
    if check.presence:
        return _count(slices)
    return _count(slices[frame[check.id].to_numpy() != EXEMPT])


def _count(numbers: np.ndarray) -> dict[int, int]:
    import numpy as np

    counts = np.bincount(numbers)
    return {int(number): int(counts[number]) for number in np.flatnonzero(counts)}
