"""The engine of one extract task: submit, wait, fetch, split, and start again where it stopped."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from airflow_provider_liftos.engine import checkpoint as cp
from airflow_provider_liftos.engine import fetch, polling, results, split, surprises, turns
from airflow_provider_liftos.engine.checkpoint import Checkpoint, Checkpoints
from airflow_provider_liftos.engine.hearing import pending
from airflow_provider_liftos.engine.manifest import File, Manifest
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.engine.stint import Finished, Options, Waiting
from airflow_provider_liftos.model.errors import (
    CircuitOpen,
    FieldGone,
    LiftosError,
    Missing,
    NotAuthorized,
    NotPrepared,
    NotReady,
    ReportFailed,
    StagingError,
    Throttled,
    TooManyIds,
    TooMuchData,
    Unavailable,
    VersionGone,
)
from airflow_provider_liftos.model.platform import Reading
from airflow_provider_liftos.model.report import Account, Slice
from airflow_provider_liftos.model.wire import Lane, Verdict
from airflow_provider_liftos.transport.flow import Flow, Sender, run
from airflow_provider_liftos.transport.session import Departure, Session

__all__ = ["Extraction", "Finished", "Options", "Waiting"]

log = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_IN_VAIN = 64
_MOST_FAILURES = 512
"""Failed reports, without and with any that worked, after which a planned slice is given up."""

_MOST_RESTARTS = 3
"""Reads that a limit broke off, after which a slice is too large for it: less is asked for."""

_PATIENCE = 300.0
"""Seconds; for a longer pause of some accounts, finished reports of the others do not wait."""


@dataclass(slots=True, kw_only=True)
class Extraction:
    """One task's work; all it knows is in the checkpoints: kill it anywhere, run it again."""

    session: Session
    sender: Sender
    checkpoints: Checkpoints
    staging: Staging
    accounts: Mapping[str, Account]
    load_id: str
    options: Options = field(default_factory=Options)
    is_mock: bool = False
    sleep: Callable[[float], None] = time.sleep
    _points: dict[str, Checkpoint] = field(default_factory=dict)
    _troubles: list[LiftosError] = field(default_factory=list)
    _pauses: dict[str, float] = field(default_factory=dict)
    _lost: set[str] = field(default_factory=set)
    _began: bool = False
    _one_by_one: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        """Tell the session through which other account each is reached."""
        self.session.via |= {a.account_id: a.via for a in self.accounts.values() if a.via}

    def advance(self, cuts: Sequence[Slice]) -> Waiting | Finished:
        """Do all that can be done now.

        Raises NotAuthorized when the token itself is refused, StagingError when the disk is, and
        Unavailable when a slice could not be finished for now; all other slices are safe by then.
        """
        self._troubles.clear()
        self._pauses.clear()
        self.checkpoints.add(cuts)
        self._points = self.checkpoints.load()
        self._forget_others(cuts)
        self._recover()
        while self._step():
            pass
        if self._troubles:
            raise self._troubles[0]
        return self._outcome()

    def _step(self) -> bool:
        """One round; whether another one may find something to do."""
        self._submit_planned()
        self._fetch_planned()
        self._poll()
        self._fetch_ready()
        self._mend_failed()
        return not self._troubles and self._may_submit()

    def _outcome(self) -> Waiting | Finished:
        running = self._count(cp.SUBMITTED)
        held = self._count(cp.PLANNED) + self._count(cp.READY)
        self.session.watch.queue(running + held)
        if not running and not (held and self._pauses):
            return Finished(manifest=self._manifest())
        until = min(self._pauses.values(), default=None)
        if running and until is not None and until - self._now() > _PATIENCE:
            until = None
        reasons = [f"{running} reports are being prepared"] if running else []
        if self._pauses:
            reasons.append(f"{held} slices wait for a limit or for the platform to recover")
        return Waiting(running=running, until=until, reason=", ".join(reasons))

    def _poll(self) -> None:
        if not self._count(cp.SUBMITTED):
            return
        try:
            self._run(polling.poll(self.session, self.checkpoints, self._now()))
        except (Throttled, CircuitOpen) as pause:
            self._pause("", pause)
        except Unavailable as error:
            self._troubles.append(error)
        self._points = self.checkpoints.load()

    # -- starting again -------------------------------------------------------------------------

    def _forget_others(self, cuts: Sequence[Slice]) -> None:
        """Drop slices of an earlier plan, made when the task was started with other days."""
        stale = cp.outside(self._points, {cut.fingerprint() for cut in cuts})
        if stale:
            log.warning("%s slices of an earlier plan are no longer asked for", len(stale))
            self.checkpoints.forget(stale)
            for point in stale:
                del self._points[point.fingerprint]

    def _recover(self) -> None:
        """Make sense of what an earlier stint left behind."""
        changed = cp.unheard(self._points.values())
        if self.options.new_try and not self._began:
            changed += cp.given_up(self._points.values())
            changed += cp.damaged(self._points.values(), self.staging.intact)
        self._began = True
        if changed:
            self.checkpoints.save(*changed)

    # -- submitting -----------------------------------------------------------------------------

    def _submit_planned(self) -> None:
        running = self._running()
        for point in list(self._points.values()):
            account = point.slice.account_id
            if not self._planned(point, at_once=False):
                continue
            if account in self._pauses or not self._room(running[account]):
                continue
            self._guarded(point, lambda p=point: self._submit(p))  # type: ignore[misc]
            running[account] += point.state == cp.SUBMITTED

    def _planned(self, point: Checkpoint, *, at_once: bool) -> bool:
        """Whether the slice is still to be asked for, in that way."""
        found: list[Reading | None] = []
        if point.state == cp.PLANNED:
            self._guarded(point, lambda: found.append(self._at_once(point)))
        return any((reading is not None) == at_once for reading in found)

    def _at_once(self, point: Checkpoint, **instead: bool) -> Reading | None:
        cut = point.slice.narrowed(**instead)
        return self.session.platform.reading(cut, self.session.credentials)

    def _submit(self, point: Checkpoint) -> None:
        reports = self.session.platform.asynchronous()
        if not self.checkpoints.claim(point, reports, self.options.report_timeout):
            raise turns.crowded(point.slice, self._now(), self._running(), _PATIENCE)
        asked = replace(reports.submit(point.slice), lane=self._lane(point.slice))
        departures: list[float] = []
        flow = self.session.call(asked, reports.report_id, departures.append)
        resent = self.session.usage.resent
        try:
            point.report_id = self._run(flow)
        except (Throttled, CircuitOpen, NotAuthorized, VersionGone):
            point.state, point.attempts = cp.PLANNED, point.attempts - 1
            self.checkpoints.save(point)
            raise
        finally:
            # Every submission whose answer was lost may have left a report nobody will read.
            point.wasted += self.session.usage.resent - resent
        point.state, point.as_of, point.error = cp.SUBMITTED, departures[-1], {}
        self.checkpoints.save(point)

    def _running(self) -> Counter[str]:
        points = self._points.values()
        return Counter(p.slice.account_id for p in points if p.state == cp.SUBMITTED)

    def _room(self, running: int) -> bool:
        prepared = self.session.platform.prepared
        return prepared is None or running < prepared.per_account

    def _may_submit(self) -> bool:
        running = self._running()
        planned = {p.slice.account_id for p in self._points.values() if p.state == cp.PLANNED}
        return any(self._room(running[account]) for account in planned - self._pauses.keys())

    # -- fetching -------------------------------------------------------------------------------

    def _fetch_planned(self) -> None:
        self._fetch_all([p for p in list(self._points.values()) if self._planned(p, at_once=True)])

    def _fetch_ready(self) -> None:
        self._fetch_all([p for p in self._points.values() if p.state == cp.READY])

    def _fetch_all(self, points: Sequence[Checkpoint]) -> None:
        """Side by side: platforms take seconds for a page, and waiting is free."""
        points = [p for p in points if p.slice.account_id not in self._pauses]
        if not points:
            return
        import pyarrow as pa  # noqa: F401  loaded first by a thread of a pool, it may crash (25.0)

        threads = min(self.options.fetch_threads, len(points))
        with ThreadPoolExecutor(max_workers=threads) as pool:
            futures = [pool.submit(self._guarded, p, lambda p=p: self._fetch(p)) for p in points]  # type: ignore[misc]
        for future in futures:
            future.result()

    def _fetch(self, point: Checkpoint) -> None:
        departures = [self._now()]  # of what names no ids, nothing is asked
        nothing = point.slice.ids is not None and point.slice.ids.are_none
        files = () if nothing else self._run(self._fetching(point, departures.append))
        if point.slice.changed_since:
            rows = results.read_rows(self.staging, files)
            rest = split.changed(point.slice, self.session.platform, rows)
            with self._one_by_one:
                self._put_in_place(point, [rest], "changes")
            return
        if point.slice.find_ids:
            ids = results.read_ids(self.staging, files)
            with self._one_by_one:
                point.files = files
                self._split_by_ids(point, ids)
            return
        point.files, point.state = files, cp.FETCHED
        point.as_of = point.as_of if point.report_id else departures[-1]
        self.checkpoints.save(point)

    def _fetching(self, point: Checkpoint, departs: Departure) -> Flow[tuple[File, ...]]:
        cut = point.slice
        folder = self.staging.folder(
            "raw", cut.platform, cut.account_id, cut.name, self.load_id, point.fingerprint
        )
        reading = self._at_once(point)
        if reading is None:
            reading = self.session.platform.asynchronous().result(pending(point))
        return fetch.rows(
            self.session, turns.in_lane(reading, self._lane(cut)), self.staging, folder,
            page_size=self.options.page_size, now=self._now, restarts=point.restarts,
            departs=departs,
        )  # fmt: skip

    # -- when something goes wrong --------------------------------------------------------------

    def _guarded(self, point: Checkpoint, work: Callable[[], None]) -> None:
        """Carry out work on one slice; its troubles never stop the others."""
        try:
            work()
        except LiftosError as error:
            with self._one_by_one:
                self._mend(point, error)
        except surprises.NOT_OF_A_SLICE:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it is this slice's
            with self._one_by_one:
                # A submission whose answer stumped us may have left a report nobody will read.
                point.wasted += point.state == cp.INTENT
                self._give_up(point, surprises.unforeseen(self.session, point.slice, error))

    def _mend(self, point: Checkpoint, error: LiftosError) -> None:
        match error:
            case StagingError():
                raise error
            case Throttled() | CircuitOpen():
                self._pause_or_give_up(point, error)
            case TooMuchData():
                self._shrink(point, error)
            case FieldGone():
                self._drop(point, error.field, error)
            case NotPrepared():
                self._read_at_once(point, error)
            case NotReady():
                self._wait_or_again(point, error)
            case Missing() | ReportFailed():
                self._again_or_give_up(point, error)
            case VersionGone() if error.version != self.session.credentials.version:
                pass  # asked anew in the words of the next one
            case VersionGone() | NotAuthorized(one_account=False):
                raise error
            case Unavailable():
                self._out_of_reach(point, error)
            case _:
                self._give_up(point, error)

    def _read_at_once(self, point: Checkpoint, error: LiftosError) -> None:
        if point.slice.at_once:
            self._give_up(point, error)
            return
        self.session.usage.warn(f"reports are read at once: {error}")
        parts = split.at_once(point.slice, self.session.platform.at_once_days)
        point.attempts -= point.state == cp.INTENT
        self._put_in_place(point, parts.parts, parts.by)

    def _pause_or_give_up(self, point: Checkpoint, pause: Throttled | CircuitOpen) -> None:
        account_id = point.slice.account_id
        if isinstance(pause, CircuitOpen) and account_id in self._lost:
            self._give_up(point, pause)
            return
        self._pause(account_id, pause)
        if isinstance(pause, Throttled) and pause.begun:
            self._read_anew(point, pause)

    def _read_anew(self, point: Checkpoint, pause: Throttled) -> None:
        """Begin again at its first page, in another stint; a slice that never ends gets smaller."""
        point.restarts += 1
        if point.restarts > _MOST_RESTARTS:
            self._shrink(point, pause)
        else:
            self.checkpoints.save(point)

    def _out_of_reach(self, point: Checkpoint, error: Unavailable) -> None:
        if point.state == cp.INTENT:
            point.state, point.wasted = cp.PLANNED, point.wasted + 1
            self.checkpoints.save(point)
        error.account = error.account or point.slice.account_id
        if self.options.last_try:
            self._lost.add(point.slice.account_id)
            self._give_up(point, error)
        else:
            self._troubles.append(error)

    def _pause(self, account_id: str, error: Throttled | CircuitOpen) -> None:
        """Leave an account alone until the next stint; the others go on."""
        until = error.retry_at if isinstance(error, Throttled) else error.until
        self._pauses[account_id] = max(until, self._pauses.get(account_id, 0.0))
        log.info("%s", error)

    def _wait_or_again(self, point: Checkpoint, error: NotReady) -> None:
        if point.deadline is not None and self._now() > point.deadline:
            self._again_or_give_up(point, error)
            return
        point.state = cp.SUBMITTED
        self.checkpoints.save(point)
        log.info("%s: %s", point.slice.label, error)

    def _mend_failed(self) -> None:
        for point in [p for p in self._points.values() if p.state == cp.FAILED]:
            self._guarded(point, lambda p=point: self._mend_report(p))  # type: ignore[misc]

    def _mend_report(self, point: Checkpoint) -> None:
        verdict, error = polling.judged(self.session, point)
        if verdict is Verdict.SHRINK:
            self._shrink(point, error)
        elif verdict in {Verdict.REJECTED, Verdict.FATAL, Verdict.REAUTHORIZE}:
            self._give_up(point, error)
        elif point.failures + 1 < self.options.report_attempts:
            self._again(point)
        elif self._at_once(point, at_once=True):
            self._read_at_once(point, error)
        elif point.error.get("kind") == polling.STUCK:
            self._give_up(point, error)
        else:
            self._shrink(point, error)

    def _again_or_give_up(self, point: Checkpoint, error: LiftosError) -> None:
        if point.report_id and point.failures < self.options.report_attempts:
            self._again(point)
        else:
            self._give_up(point, error)

    def _again(self, point: Checkpoint) -> None:
        """Submit it once more; the report that failed is lost."""
        point.state, point.report_id = cp.PLANNED, None
        point.failures, point.wasted = point.failures + 1, point.wasted + 1
        self.checkpoints.save(point)

    def _shrink(self, point: Checkpoint, error: LiftosError) -> None:
        point.failures += 1
        ids_alone = isinstance(error, TooManyIds)
        smaller = None if self._hopeless(point) else split.shrink(point.slice, ids_alone=ids_alone)
        if isinstance(smaller, split.FindIds):
            self._put_in_place(point, [smaller.search], "search")
        else:
            self._make_smaller(point, smaller, error)

    def _hopeless(self, point: Checkpoint) -> bool:
        """Whether asking for less has failed so often that it is not the size."""
        root = cp.root(self._points, point)
        tree = [p for p in self._points.values() if cp.root(self._points, p) == root]
        worked = any(p.state == cp.FETCHED or (p.slice.find_ids and p.files) for p in tree)
        return sum(p.failures for p in tree) > (_MOST_FAILURES if worked else _MOST_IN_VAIN)

    def _make_smaller(
        self, point: Checkpoint, smaller: split.Split | split.DropField | None, error: LiftosError
    ) -> None:
        if isinstance(smaller, split.Split):
            self._put_in_place(point, smaller.parts, smaller.by)
        elif isinstance(smaller, split.DropField):
            self._drop(point, smaller.field, error)
        else:
            self._give_up(point, error)

    def _split_by_ids(self, point: Checkpoint, ids: Sequence[str]) -> None:
        """A search for ids has come back: it becomes the split of the slice it was made for."""
        whole = point.slice.narrowed(find_ids=False)
        error = ReportFailed("the report fails even for one id and one field")
        most = self.session.platform.ids_per_part(self.session.credentials)
        self._make_smaller(point, split.by_ids(whole, ids, most), error)

    def _put_in_place(self, point: Checkpoint, parts: Sequence[Slice], by: str) -> None:
        log.info("%s %s: asking anew, by %s", point.slice.account_id, point.slice.label, by)
        if point.report_id:
            point.wasted += by != "ids"
        for child in self.checkpoints.replace(point, parts, by):
            self._points[child.fingerprint] = child

    def _drop(self, point: Checkpoint, name: str, error: LiftosError) -> None:
        """Go on without a field, and remember that it is missing."""
        rest = split.without(point.slice, name)
        last = rest.report is not None and not rest.report.metrics
        needed = not split.can_do_without(
            self.session.platform, self.session.credentials, name, point.slice, rest
        )
        if needed or (last and not cp.is_some_fields(self._points, point)):
            self._give_up(point, error)
            return
        self.session.usage.warn(f"the platform no longer gives {name!r}; going on without it")
        point.dropped = (*point.dropped, name)
        if last:
            point.state = cp.DROPPED
        else:
            point.slice, point.failures = rest, 0
            point.state, point.report_id = cp.PLANNED, None
        self.checkpoints.save(point)

    def _give_up(self, point: Checkpoint, error: LiftosError) -> None:
        if split.can_list_instead(point.slice, error):
            self._put_in_place(point, [point.slice.narrowed(changed_since="")], "changes")
            return
        point.give_up(error)
        self.checkpoints.save(point)

    def counts(self) -> cp.Counts:
        """What the scope has come to so far, earlier stints included."""
        return cp.counts(self._points.values())

    def _manifest(self) -> Manifest:
        units = results.collect(self._points.values(), self.accounts)
        usage, counts = self.session.usage, self.counts()
        return Manifest(
            org_id=self.session.credentials.org_id,
            platform=self.session.platform.name,
            load_id=self.load_id,
            slices=tuple(units),
            is_mock=self.is_mock,
            facts={
                "requests": usage.requests,
                "retries": usage.retries,
                "bytes": usage.bytes,
                "throttled_seconds": round(usage.throttled_seconds, 3),
                "reports_submitted": counts.submitted,
                "reports_wasted": counts.wasted,
                "warnings": list(usage.warnings),
            },
        )

    def _count(self, state: str) -> int:
        return sum(p.state == state for p in self._points.values())

    def _run(self, flow: Flow[T]) -> T:
        return run(flow, self.sender, self.sleep)

    def _lane(self, cut: Slice) -> Lane:
        return turns.lane(self.session, cut, self.accounts, self._now())

    def _now(self) -> float:
        return self.checkpoints.clock.now()
