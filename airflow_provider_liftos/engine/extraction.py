"""The engine of one extract task: submit, wait, fetch, split, and start again where it stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from airflow_provider_liftos.engine import checkpoint as cp
from airflow_provider_liftos.engine import fetch, polling, results, split
from airflow_provider_liftos.engine.checkpoint import Checkpoint, Checkpoints
from airflow_provider_liftos.engine.manifest import File, Manifest
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.errors import (
    CircuitOpen,
    FieldGone,
    LiftosError,
    Missing,
    NotAuthorized,
    NotReady,
    StagingError,
    Throttled,
    TooMuchData,
    Unavailable,
)
from airflow_provider_liftos.model.report import Account, Slice
from airflow_provider_liftos.model.wire import Judgement, VendorError, Verdict, judge
from airflow_provider_liftos.transport.flow import Flow, Sender, run
from airflow_provider_liftos.transport.session import Session

log = logging.getLogger(__name__)

_TOKEN_CODES = ("190", "102")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How hard to try. ``report_timeout`` in seconds, None for the platform's own."""

    report_attempts: int = 2
    report_timeout: float | None = None
    page_size: int | None = None
    fetch_threads: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Nothing to do before ``until`` (epoch seconds; None: until reports change)."""

    running: int
    until: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Rows on staging, and remote reports asked for and never read."""

    rows: int
    submitted: int
    wasted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Every slice ended, well or not."""

    manifest: Manifest


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
    _points: dict[str, Checkpoint] = field(default_factory=dict)
    _troubles: list[LiftosError] = field(default_factory=list)

    def advance(self, cuts: Sequence[Slice]) -> Waiting | Finished:
        """Do all that can be done now.

        Raises NotAuthorized when the token itself is refused, StagingError when the disk is, and
        Unavailable when a slice could not be finished for now; all other slices are safe by then.
        """
        self._troubles.clear()
        self.checkpoints.add(cuts)
        self._points = self.checkpoints.load()
        self._recover()
        try:
            while self._step():
                pass
        except (Throttled, CircuitOpen) as pause:
            until = pause.retry_at if isinstance(pause, Throttled) else pause.until
            return Waiting(running=self._count(cp.SUBMITTED), until=until, reason=str(pause))
        if self._troubles:
            raise self._troubles[0]
        running = self._count(cp.SUBMITTED)
        if running:
            return Waiting(running=running, reason=f"{running} reports are being prepared")
        return Finished(manifest=self._manifest())

    def _step(self) -> bool:
        """One round; whether another one may find something to do."""
        self._submit_planned()
        self._fetch_streams()
        if self._count(cp.SUBMITTED):
            flow = polling.poll(self.session, self.checkpoints, self._now())
            run(flow, self.sender)
            self._points = self.checkpoints.load()
        self._fetch_ready()
        self._mend_failed()
        planned = any(p.state == cp.PLANNED for p in self._points.values())
        return planned and not self._full() and not self._troubles

    # -- starting again -------------------------------------------------------------------------

    def _recover(self) -> None:
        """Make sense of what an earlier stint left behind."""
        for point in self._points.values():
            if point.state == cp.INTENT:
                # The answer to the submission was never heard: that report, if any, is lost.
                point.wasted += 1
                point.state = cp.PLANNED
                self.checkpoints.save(point)
            elif point.state == cp.FETCHED and not self.staging.intact(point.files):
                log.warning(
                    "staged files of %s are damaged; fetching them again", point.slice.label
                )
                point.state = cp.READY if point.report_id else cp.PLANNED
                point.files = ()
                self.checkpoints.save(point)

    # -- submitting -----------------------------------------------------------------------------

    def _submit_planned(self) -> None:
        for point in list(self._points.values()):
            if point.state != cp.PLANNED or point.slice.report is None:
                continue
            if not self._room(point.slice.account_id):
                continue
            self._guarded(point, lambda p=point: self._submit(p))  # type: ignore[misc]

    def _submit(self, point: Checkpoint) -> None:
        reports = self.session.platform.reports
        point.state, point.attempts = cp.INTENT, point.attempts + 1
        self.checkpoints.save(point)
        as_of = self._now()
        flow = self.session.call(reports.submit(point.slice), reports.report_id)
        resent = self.session.usage.resent
        try:
            point.report_id = run(flow, self.sender)
        except (Throttled, CircuitOpen, NotAuthorized):
            point.state, point.attempts = cp.PLANNED, point.attempts - 1
            self.checkpoints.save(point)
            raise
        finally:
            # Every submission whose answer was lost may have left a report nobody will read.
            point.wasted += self.session.usage.resent - resent
        point.state, point.as_of, point.error = cp.SUBMITTED, as_of, {}
        timeout = self.options.report_timeout or reports.timeout
        point.deadline = as_of + timeout
        self.checkpoints.save(point)

    def _room(self, account_id: str) -> bool:
        running = sum(
            p.state == cp.SUBMITTED and p.slice.account_id == account_id
            for p in self._points.values()
        )
        return running < self.session.platform.reports.per_account

    def _full(self) -> bool:
        planned = {p.slice.account_id for p in self._points.values() if p.state == cp.PLANNED}
        return not any(self._room(account) for account in planned)

    # -- fetching -------------------------------------------------------------------------------

    def _fetch_streams(self) -> None:
        self._fetch_all(
            [p for p in self._points.values() if p.state == cp.PLANNED and p.slice.stream]
        )

    def _fetch_ready(self) -> None:
        self._fetch_all([p for p in self._points.values() if p.state == cp.READY])

    def _fetch_all(self, points: Sequence[Checkpoint]) -> None:
        """Side by side: platforms take seconds for a page, and waiting is free."""
        if not points:
            return
        threads = min(self.options.fetch_threads, len(points))
        with ThreadPoolExecutor(max_workers=threads) as pool:
            futures = [pool.submit(self._guarded, p, lambda p=p: self._fetch(p)) for p in points]  # type: ignore[misc]
        for future in futures:
            future.result()

    def _fetch(self, point: Checkpoint) -> None:
        as_of = self._now()
        files = run(self._fetching(point), self.sender)
        if point.slice.find_ids:
            self._split_by_ids(point, results.read_ids(self.staging, files))
            return
        point.files, point.state = files, cp.FETCHED
        point.as_of = point.as_of if point.slice.report else as_of
        self.checkpoints.save(point)

    def _fetching(self, point: Checkpoint) -> Flow[tuple[File, ...]]:
        platform, cut = self.session.platform, point.slice
        folder = self.staging.folder(
            "raw", platform.name, cut.account_id, cut.name, self.load_id, point.fingerprint
        )
        if cut.stream:
            stream = platform.stream(cut.stream)
            size = self.options.page_size or stream.page_size
            return fetch.pages(
                self.session, lambda limit, after: stream.request(cut, limit, after),
                stream.page, size, self.staging, folder,
            )  # fmt: skip
        reports, run_id = platform.reports, str(point.report_id)
        size = self.options.page_size or reports.page_size
        return fetch.pages(
            self.session, lambda limit, after: reports.fetch(run_id, limit, after),
            reports.page, size, self.staging, folder,
        )  # fmt: skip

    # -- when something goes wrong --------------------------------------------------------------

    def _guarded(self, point: Checkpoint, work: Callable[[], None]) -> None:
        """Carry out work on one slice; its troubles never stop the others."""
        try:
            work()
        except (Throttled, CircuitOpen, StagingError):
            raise
        except TooMuchData as error:
            self._shrink(point, error)
        except FieldGone as error:
            self._drop(point, error.field, error)
        except NotReady as error:
            point.state = cp.SUBMITTED
            self.checkpoints.save(point)
            log.info("%s: %s", point.slice.label, error)
        except Missing as error:
            self._again_or_give_up(point, error)
        except NotAuthorized as error:
            if str(error.vendor_code or "").split("/")[0] in _TOKEN_CODES or not error.vendor_code:
                raise
            self._give_up(point, error)
        except Unavailable as error:
            if point.state == cp.INTENT:
                point.state = cp.PLANNED
                self.checkpoints.save(point)
            error.account = error.account or point.slice.account_id
            self._troubles.append(error)
        except LiftosError as error:
            self._give_up(point, error)

    def _mend_failed(self) -> None:
        for point in [p for p in self._points.values() if p.state == cp.FAILED]:
            said = VendorError(
                code=point.error.get("code"),
                subcode=point.error.get("subcode"),
                message=str(point.error.get("message") or ""),
            )
            if said.code is None:
                verdict = Verdict.REPORT_FAILED
            else:
                verdict = judge(self.session.platform.rules, 0, said).verdict
            error = self._as_error(point, said, verdict)
            if verdict is Verdict.SHRINK:
                self._shrink(point, error)
            elif verdict in {Verdict.REJECTED, Verdict.FATAL, Verdict.REAUTHORIZE}:
                self._give_up(point, error)
            elif point.attempts < self.options.report_attempts:
                point.state, point.wasted = cp.PLANNED, point.wasted + 1
                self.checkpoints.save(point)
            elif point.error.get("kind") == polling.STUCK:
                self._give_up(point, error)
            else:
                self._shrink(point, error)

    def _as_error(self, point: Checkpoint, said: VendorError, verdict: Verdict) -> LiftosError:
        why = f"report {point.report_id} of {point.slice.label} failed"
        judgement = Judgement(verdict=verdict, why=why, error=said)
        return self.session.refusal(judgement, point.slice.account_id, None)

    def _again_or_give_up(self, point: Checkpoint, error: LiftosError) -> None:
        if (
            point.slice.report
            and point.report_id
            and point.attempts <= self.options.report_attempts
        ):
            point.state, point.report_id, point.wasted = cp.PLANNED, None, point.wasted + 1
            self.checkpoints.save(point)
        else:
            self._give_up(point, error)

    def _shrink(self, point: Checkpoint, error: LiftosError) -> None:
        smaller = split.shrink(point.slice)
        if isinstance(smaller, split.FindIds):
            self._put_in_place(point, [smaller.search], "search")
        elif isinstance(smaller, split.Split):
            self._put_in_place(point, smaller.parts, smaller.by)
        elif isinstance(smaller, split.DropField):
            self._drop(point, smaller.field, error)
        else:
            self._give_up(point, error)

    def _split_by_ids(self, point: Checkpoint, ids: Sequence[str]) -> None:
        """A search for ids has come back: it becomes the split of the slice it was made for."""
        whole = point.slice.narrowed(find_ids=False)
        smaller = split.by_ids(whole, ids)
        if isinstance(smaller, split.Split):
            self._put_in_place(point, smaller.parts, smaller.by)
        else:
            error = LiftosError("the report fails even for one id", platform=whole.platform)
            self._give_up(point, error)

    def _put_in_place(self, point: Checkpoint, parts: Sequence[Slice], by: str) -> None:
        log.info("%s %s: asking by smaller %s", point.slice.account_id, point.slice.label, by)
        if point.report_id:
            point.wasted += by != "ids"
        for child in self.checkpoints.replace(point, parts, by):
            self._points[child.fingerprint] = child

    def _drop(self, point: Checkpoint, name: str, error: LiftosError) -> None:
        """Go on without a field, and remember that it is missing."""
        rest = split.without(point.slice, name)
        if rest is None or (rest.report and not rest.report.metrics):
            self._give_up(point, error)
            return
        self.session.usage.warn(f"the platform no longer gives {name!r}; going on without it")
        point.slice, point.dropped = rest, (*point.dropped, name)
        point.state, point.report_id, point.attempts = cp.PLANNED, None, 0
        self.checkpoints.save(point)

    def _give_up(self, point: Checkpoint, error: LiftosError) -> None:
        error.account = error.account or point.slice.account_id
        error.platform = error.platform or self.session.platform.name
        point.state = cp.GIVEN_UP
        point.error = {"kind": type(error).__name__, "message": str(error)}
        self.checkpoints.save(point)
        log.error("%s: given up: %s", point.slice.label, error)

    # -- the end --------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """What the scope has come to so far, earlier stints included."""
        points = self._points.values()
        return Counts(
            rows=sum(file.rows for p in points for file in p.files),
            submitted=sum(p.attempts for p in points),
            wasted=sum(p.wasted for p in points),
        )

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

    def _now(self) -> float:
        return self.checkpoints.clock.now()
