"""What the platform says of many reports at a time, and of which of them it stumps us."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from airflow_provider_liftos.engine import surprises
from airflow_provider_liftos.engine.checkpoint import Checkpoint
from airflow_provider_liftos.model.errors import (
    LiftosError,
    Missing,
    NotAuthorized,
    Rejected,
    ReportFailed,
    Unreadable,
    VersionGone,
)
from airflow_provider_liftos.model.platform import (
    AsyncReport,
    Pending,
    ReportState,
    ReportStatus,
)
from airflow_provider_liftos.model.wire import Judgement, VendorError, Verdict, judge
from airflow_provider_liftos.transport.flow import Flow
from airflow_provider_liftos.transport.session import Session

Told = tuple[ReportStatus, Judgement | None]
"""A report's status, and what keeps the platform from telling it."""

_IN_VAIN = 19
"""Requests of a round that may make no sense before any does: as many as ten reports take until
each of them was asked about alone. Beyond them, batches are asked about as wholes."""


@dataclass(slots=True, kw_only=True)
class Hearing:
    """One round of asking. An answer that stumps us costs the report it is about, and no other.

    ``heard`` counts reports that were told about. ``unread`` are those whose answers made no sense:
    that may be the platform's state, so they are given up only where others were heard of, which is
    known as the round ends. ``in_vain`` counts senseless answers before the first that made sense.
    """

    session: Session
    reports: AsyncReport
    heard: int = 0
    unread: list[tuple[Checkpoint, Unreadable]] = field(default_factory=list)
    in_vain: int = 0

    def of(self, batch: Sequence[Checkpoint]) -> Flow[list[Told]]:
        """Statuses of a batch; asked for anew in halves where they cannot be made out.

        While nothing was heard, each senseless answer about one report leads to the largest part
        that is left: those that make sense may be anywhere. What is not asked about is told nothing
        of, and neither is a report that is given up because its answer meets a bug of ours.

        Raises what a platform's refusal stands for.
        """
        told: list[Told] = []
        parts = [batch]
        while parts:
            part = parts.pop()
            found = yield from self._of(part)
            if found is not None:
                told += found
                continue
            middle = len(part) // 2
            parts += [part[middle:], part[:middle]] if middle else []
            if not self.heard:
                if self.in_vain >= _IN_VAIN:
                    break
                if not middle:
                    parts.sort(key=len)
        return told

    def _of(self, part: Sequence[Checkpoint]) -> Flow[list[Told] | None]:
        """Statuses of a part; None where they cannot be made out, which is noted of one report."""
        try:
            told = yield from _ask(self.session, self.reports, [pending(point) for point in part])
        except Unreadable as error:
            self.in_vain += not self.heard
            if len(part) == 1:
                self.unread.append((part[0], error))
            return None
        except (LiftosError, *surprises.NOT_OF_A_SLICE):
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it is one report's
            if len(part) == 1:
                part[0].give_up(surprises.unforeseen(self.session, part[0].slice, error))
                return []
            return None
        self.heard += len(told)
        return told

    def end(self) -> list[Checkpoint]:
        """Reports given up as the round ends. Raises Unreadable when no answer made sense."""
        if self.unread and not self.heard:
            raise self.unread[0][1]
        for point, error in self.unread:
            point.give_up(error)
        return [point for point, _ in self.unread]


def _ask(session: Session, reports: AsyncReport, asked: Sequence[Pending]) -> Flow[list[Told]]:
    """Statuses of all of them.

    Asked anew where the answer is that the API version is dead: until it is replaced nobody hears
    how a report is coming along, and it would seem to take for ever.
    """
    while True:
        request = reports.poll(asked)
        statuses: Sequence[ReportStatus]
        try:
            statuses = yield from session.call(request, lambda body: reports.statuses(body, asked))
        except LiftosError as error:
            statuses = [_refused(error, asked)]
        yield from session.pace.heed(request, _headers(asked, statuses))
        judged = [_judged(session, status) for status in statuses]
        dead = [one for _, one in judged if one and one.verdict is Verdict.VERSION_DEAD]
        if not dead:
            return judged
        gone = session.refusal(dead[0], None, None)
        if not isinstance(gone, VersionGone):
            raise gone
        session.outlive(gone)


def _refused(error: LiftosError, asked: Sequence[Pending]) -> ReportStatus:
    """What a refusal says of the only report asked about; raises what says nothing of it."""
    of_itself = isinstance(error, Missing | Rejected | ReportFailed) or (
        isinstance(error, NotAuthorized) and error.one_account
    )
    if len(asked) != 1 or not of_itself:
        raise error
    code = (error.vendor_code or "").partition("/")[0]
    return ReportStatus(
        report_id=asked[0].report_id,
        state=ReportState.EXPIRED if isinstance(error, Missing) else ReportState.FAILED,
        error=VendorError(code=int(code) if code.isdigit() else None, message=error.message),
    )


def _headers(
    asked: Sequence[Pending], statuses: Iterable[ReportStatus]
) -> Mapping[str | None, Sequence[Mapping[str, str]]]:
    """Headers of single reports' answers, by account."""
    accounts = {one.report_id: one.slice.account_id for one in asked}
    told: dict[str | None, list[Mapping[str, str]]] = {}
    for status in statuses:
        if status.headers:
            told.setdefault(accounts.get(status.report_id), []).append(status.headers)
    return told


def pending(point: Checkpoint) -> Pending:
    """What a submitted slice waits for."""
    return Pending(report_id=str(point.report_id), slice=point.slice)


def _judged(session: Session, status: ReportStatus) -> Told:
    """The status, and what keeps the platform from telling it: a limit, or the token itself.

    A report that the token may no longer ask about has failed.
    """
    if status.state is not ReportState.RUNNING or status.error is None:
        return status, None
    judgement = judge(session.platform.rules, 0, status.error)
    if judgement.verdict in {Verdict.THROTTLED, Verdict.VERSION_DEAD}:
        return status, judgement
    if judgement.verdict is Verdict.REAUTHORIZE:
        if not judgement.one_account:
            return status, judgement
        return replace(status, state=ReportState.FAILED), None
    return status, None
