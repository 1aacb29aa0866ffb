"""Asking how reports are coming along, many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from airflow_provider_liftos.engine.checkpoint import (
    FAILED,
    READY,
    SUBMITTED,
    Checkpoint,
    Checkpoints,
)
from airflow_provider_liftos.engine.hearing import Hearing, pending
from airflow_provider_liftos.model.errors import LiftosError
from airflow_provider_liftos.model.platform import ReportState, ReportStatus
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Judgement, VendorError, Verdict, judge
from airflow_provider_liftos.transport.flow import Do, Flow, Sleep
from airflow_provider_liftos.transport.redact import redact
from airflow_provider_liftos.transport.session import Session

STUCK = "stuck"
EXPIRED = "expired"

_PAUSE = 60.0
"""Seconds to leave the platform alone when a limit is reached and no wait is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How many reports of a scope are in which state."""

    running: int = 0
    ready: int = 0
    failed: int = 0

    @property
    def done(self) -> bool:
        """Whether no report is running any more."""
        return self.running == 0


def poll(session: Session, checkpoints: Checkpoints, now: float) -> Flow[Progress]:
    """Ask once about every submitted report of the scope and note what changed.

    Raises NotAuthorized when the token is refused, Throttled when nothing but limits was heard, and
    Unavailable when nothing was. A report whose answer alone stumps us is given up.
    """
    points = yield Do(checkpoints.load)
    waiting = [p for p in points.values() if p.state == SUBMITTED]
    reports = session.platform.prepared
    if reports is None or not waiting:
        return count(points.values())
    hearing = Hearing(session=session, reports=reports)
    limited: list[Judgement] = []
    for batch in _batches(waiting, reports.poll_batch):
        told = yield from hearing.of(batch)
        by_id = {status.report_id: status for status, _ in told}
        secrets = session.credentials.secrets.values()
        changed = [
            p for p in batch
            if p.state != SUBMITTED or _note(p, by_id.get(str(p.report_id)), now, secrets)
        ]  # fmt: skip
        if changed:
            yield Do(lambda changed=changed: checkpoints.note(*changed))  # type: ignore[misc]
        refused = [judgement for _, judgement in told if judgement]
        for judgement in refused:
            if judgement.verdict is Verdict.REAUTHORIZE:
                raise session.refusal(judgement, None, None)
        limited += refused
    if given_up := hearing.end():
        yield Do(lambda: checkpoints.note(*given_up))
    if limited and len(limited) == hearing.heard:
        shortest = min(limited, key=_wait)
        raise session.refusal(shortest, None, None, retry_at=now + _wait(shortest))
    return count(points.values())


def judged(session: Session, point: Checkpoint) -> tuple[Verdict, LiftosError]:
    """What a failed report's last words amount to."""
    said = VendorError(
        code=point.error.get("code"),
        subcode=point.error.get("subcode"),
        message=str(point.error.get("message") or ""),
    )
    found = judge(session.platform.rules, 0, said)
    if said.code is None:
        found = Judgement(verdict=Verdict.REPORT_FAILED, why="no reason given", error=said)
    why = f"report {point.report_id} of {point.slice.label} failed ({found.why})"
    error = session.refusal(replace(found, why=why), point.slice.account_id, None)
    return found.verdict, error


def _wait(judgement: Judgement) -> float:
    return judgement.error.wait or _PAUSE


def count(points: Iterable[Checkpoint]) -> Progress:
    """Progress of these checkpoints."""
    states = [point.state for point in points]
    return Progress(
        running=states.count(SUBMITTED), ready=states.count(READY), failed=states.count(FAILED)
    )


def watch(
    session: Session, checkpoints: Checkpoints, *, first: float, longest: float
) -> Flow[Progress]:
    """Poll until no report is running, ``first`` seconds apart and later up to ``longest``.

    A pause is a sixth of the time waited so far: what is noticed late is late by a sixth at most.
    """
    clock = checkpoints.clock
    began = clock.now()
    while True:
        progress = yield from poll(session, checkpoints, clock.now())
        if progress.done:
            return progress
        yield Sleep(min(max(first, (clock.now() - began) / 6), longest))


def _note(
    point: Checkpoint, status: ReportStatus | None, now: float, secrets: Iterable[Secret]
) -> bool:
    """Whether the status changed the checkpoint."""
    state = status.state if status else ReportState.RUNNING
    if state is ReportState.READY:
        point.state = READY
    elif state in {ReportState.FAILED, ReportState.EXPIRED}:
        said = status.error if status else None
        point.state = FAILED
        point.error = {
            "kind": EXPIRED if state is ReportState.EXPIRED else "failed",
            "code": said.code if said else None,
            "subcode": said.subcode if said else None,
            "message": redact(said.message, secrets) if said else "",
        }
    elif point.deadline is not None and now > point.deadline:
        point.state = FAILED
        point.error = {"kind": STUCK, "message": "the platform did not finish it in time"}
    else:
        return False
    return True


def _batches(points: Sequence[Checkpoint], size: int) -> Iterable[Sequence[Checkpoint]]:
    for start in range(0, len(points), size):
        yield points[start : start + size]


def cancel(session: Session, checkpoints: Checkpoints) -> Flow[int]:
    """Cancel every running report on a platform that can; how many it took.

    Checkpoints stay as they are: the next poll hears of it.
    """
    points = yield Do(checkpoints.load)
    ask = session.platform.prepared.cancel if session.platform.prepared else None
    cancelled = 0
    for point in points.values():
        if ask is None or point.state != SUBMITTED:
            continue
        try:
            yield from session.call(ask(pending(point)), lambda _body: None)
        except LiftosError:
            continue
        cancelled += 1
    return cancelled
