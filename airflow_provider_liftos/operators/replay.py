"""Dead letters, tried again: which ones, and the ordinary way from extract to publish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from inspect import unwrap
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import Param
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.operators.extract import (
    LiftosExtractOperator,
    is_last_try,
    with_consume,
)
from airflow_provider_liftos.operators.letters import actor, box
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.normalize import LiftosNormalizeOperator
from airflow_provider_liftos.operators.outcome import FINAL, told
from airflow_provider_liftos.operators.publish import LiftosPublishOperator
from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from airflow_provider_liftos.operators.task import Entry, LiftosOperator, load_id, scope

if TYPE_CHECKING:
    from airflow_provider_liftos.model.platform import Credentials, Platform
    from airflow_provider_liftos.model.report import Slice
    from airflow_provider_liftos.state.dead_letters import DeadLetters
    from airflow_provider_liftos.state.letter import Letter

_CLAIM_SECONDS = 86_400.0
"""Longer than any platform prepares a report; the claim of who dies ends by itself."""

_SHOWN = 3

REPLAY_PARAMS = {
    "platform": Param(None, type=["string", "null"], title="Only this platform"),
    "kind": Param(None, enum=[None, "slice", "row"], title="Only slices, or only rows"),
    "ids": Param(
        None, type=["array", "null"], items={"type": "string"}, title="Only these letters",
        description="Ids, as `airflow liftos dead-letters list` shows them."),
    "limit": Param(100, type="integer", minimum=1, title="At most so many, newest first"),
    "org_id": Param(None, type=["string", "null"], title="Only this organization"),
}  # fmt: skip
"""What a person may set when starting a replay."""


class LiftosChooseLettersOperator(LiftosOperator):
    """Choose open dead letters by the run's params; returns a batch for each connection.

    ``org_ids`` are the organizations whose letters may be chosen (None: all of the deployment).
    Letters that nobody can replay, such as those of a removed platform, are left as they are.
    """

    phase: ClassVar[str] = "choose"

    def __init__(self, *, org_ids: Sequence[str] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("retries", 2)
        super().__init__(platform="all", **kwargs)
        self.org_ids = org_ids

    def execute(self, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Raises ConfigurationError for an organization that is not among ``org_ids``."""
        from airflow_provider_liftos.state.ledger import Work

        params = context.get("params") or {}
        org_ids = self._organizations(params.get("org_id"))
        with self.recorded(context, org_ids[0] if len(org_ids) == 1 else None) as entry:
            batches = [batch for org_id in org_ids for batch in _batches(org_id, params)]
            chosen = sum(len(batch["ids"]) for batch in batches)
            entry.work = Work(rows=chosen)
            self.log.info("%s dead letters of %s connections are tried again", chosen, len(batches))
            return batches

    def _organizations(self, asked: str | None) -> list[str]:
        from airflow_provider_liftos.state.dead_letters import organizations

        allowed = organizations(config.state_store()) if self.org_ids is None else self.org_ids
        return [org_id for org_id in allowed if asked in {None, org_id}]


def _batches(org_id: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    from airflow_provider_liftos.state.letter import OPEN, REPLAYING, ROW, SLICE, Wanted

    wanted = Wanted(
        ids=params.get("ids"),
        platform=params.get("platform"),
        kind=params.get("kind"),
        states=(OPEN, REPLAYING),
    )
    found = box(org_id).find(wanted, limit=int(params.get("limit") or 100))
    groups: dict[tuple[Any, ...], list[str]] = {}
    for letter in found:
        spec = letter.spec
        if letter.kind in {SLICE, ROW} and spec.get("conn_id"):
            key = (letter.platform, spec["conn_id"], spec.get("warehouse_conn_id"))
            groups.setdefault((*key, bool(spec.get("is_mock"))), []).append(letter.id)
    names = ("platform", "conn_id", "warehouse_conn_id", "is_mock")
    return [
        {"org_id": org_id, **dict(zip(names, key, strict=True)), "ids": ids}
        for key, ids in groups.items()
    ]


class LiftosReplayOperator(LiftosOperator):
    """Try dead letters of one connection again, on the ordinary way from extract to publish.

    ``letters`` is an entry of ``LiftosChooseLettersOperator``'s list. A slice is fetched again. A
    row is normalized again with today's mapping; where it can be read now, or is not kept, the days
    it came with are fetched again, because a row is never published alone. What is published closes
    its letters; what fails again is one attempt more. Repeating a replay changes nothing, and of
    two at once each letter belongs to one.
    """

    phase: ClassVar[str] = "replay"
    template_fields: Sequence[str] = ("letters",)

    def __init__(
        self, *, letters: Mapping[str, Any], deferrable: bool = True, **kwargs: Any
    ) -> None:
        kwargs.setdefault("retries", 2)
        kwargs["on_success_callback"] = with_consume(kwargs.get("on_success_callback"))
        super().__init__(platform="all", **kwargs)
        self.letters = letters
        self.deferrable = deferrable
        self.batch: dict[str, Any] = {}
        self.steps: list[Entry] = []

    def execute(
        self, context: Mapping[str, Any], event: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Raises Rejected when letters failed again, after publishing all the others."""
        given = self.letters
        self.platform, self.conn_id = given["platform"], given["conn_id"]
        self.batch = {"org_id": given["org_id"]}
        letters = box(given["org_id"])
        with self.recorded(context, given["org_id"]) as entry:
            if event and event.get("status") == "error":
                raise told(event)
            try:
                return self._replayed(context, letters, entry, event)
            except TaskDeferred:
                raise
            except Exception as error:
                if is_last_try(context["ti"]) or isinstance(error, FINAL):
                    letters.let_go(scope(context))
                raise
            finally:
                _sum_up(entry, self.steps)

    def _replayed(
        self,
        context: Mapping[str, Any],
        letters: DeadLetters,
        entry: Entry,
        event: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        from airflow_provider_liftos.state.letter import Wanted

        credentials = self._credentials()
        wanted = Wanted(ids=self.letters["ids"], platform=self.platform)
        claimed = letters.claim(wanted, holder=scope(context), seconds=_CLAIM_SECONDS)
        refused = self._refused(letters, claimed, credentials)
        for letter in claimed:
            if letter.id in refused:
                letters.failed(letter, refused[letter.id], load_id=load_id(context))
        self._bring([x for x in claimed if x.id not in refused], context, event)
        return self._end(claimed, letters, entry, context)

    def _credentials(self) -> Credentials:
        """Those of the connection, which must still be the same organization's."""
        from airflow_provider_liftos.model.errors import ConfigurationError

        found, given = self.hook.credentials(), self.letters
        if (found.org_id, found.is_mock) == (given["org_id"], given["is_mock"]):
            return found
        whose = f"of organization {given['org_id']!r}" + " (invented)" * given["is_mock"]
        now = f"organization {found.org_id!r}" + " (invented)" * found.is_mock
        raise ConfigurationError(
            f"the dead letters are {whose}, but connection {self.conn_id!r} is {now} now",
            hint="Nothing was asked for. Correct the connection, or discard the letters.",
        )

    def _refused(
        self, letters: DeadLetters, claimed: Sequence[Letter], credentials: Credentials
    ) -> dict[str, str]:
        """Rows that cannot be read with today's mapping either."""
        from airflow_provider_liftos.engine.rereading import Rereading
        from airflow_provider_liftos.hooks.frame import conversion_options
        from airflow_provider_liftos.state.letter import CUT, ROW

        whole = [x for x in claimed if x.kind == ROW and x.form != CUT]
        rows = [(x, text) for x in whole if (text := letters.payload(x))]
        return Rereading(
            platform=self.hook.platform,
            org_id=credentials.org_id,
            options=conversion_options(dict(credentials.options)),
            memory_limit=config.text("memory_limit"),
        ).refused(rows)

    def _bring(
        self,
        wanted: Sequence[Letter],
        context: Mapping[str, Any],
        event: Mapping[str, Any] | None,
    ) -> None:
        """Fetch and publish what the letters are about."""
        from airflow_provider_liftos.engine.letters import account, cuts

        asked = list(cuts(wanted).values())
        if not asked:
            return
        accounts = {a.account_id: asdict(a) for a in map(account, wanted)}
        batch = {
            **{name: self.letters[name] for name in ("org_id", "warehouse_conn_id")},
            "accounts": [{"account": found} for found in accounts.values()],
        }
        target = {"warehouse_conn_id": self.letters["warehouse_conn_id"]}
        extracted = self._step(
            _Extract, context, event, batch=batch, cuts=asked, deferrable=self.deferrable
        )
        normalized = self._step(_Normalize, context, extracted=extracted)
        loaded = self._step(_Load, context, normalized=normalized, **target)
        audited = self._step(_Audit, context, loaded=loaded, planned=[batch], **target)
        self._step(_Publish, context, audited=audited, on_partial="warn", **target)

    def _step(self, kind: type[Any], context: Mapping[str, Any], *event: Any, **parts: Any) -> Any:
        step = kind(
            task_id=f"{self.task_id}_{kind.phase}", platform=self.platform, conn_id=self.conn_id,
            **parts,
        )  # fmt: skip
        step.entry = Entry(self.letters["org_id"])
        self.steps.append(step.entry)
        # Airflow guards execute against being called by other operators by mistake.
        return unwrap(type(step).execute)(step, context, *event)

    def _end(
        self,
        claimed: Sequence[Letter],
        letters: DeadLetters,
        entry: Entry,
        context: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Count, and give back what nobody has settled."""
        from airflow_provider_liftos.model.errors import Rejected
        from airflow_provider_liftos.state.audit_log import AuditLog
        from airflow_provider_liftos.state.letter import OPEN, REPLAYING, Wanted
        from airflow_provider_liftos.state.tokens import process

        wanted = Wanted(ids=[letter.id for letter in claimed])
        for letter in letters.find(replace(wanted, states=(REPLAYING,)), limit=len(claimed)):
            if letter.claimed_by == scope(context):
                letters.failed(letter, "its days did not come again", load_id=load_id(context))
        left = letters.find(replace(wanted, states=(OPEN,)), limit=len(claimed))
        counts = {"letters": len(claimed), "settled": len(claimed) - len(left), "failed": len(left)}
        entry.detail = {**entry.detail, **counts}
        if claimed:
            AuditLog(config.state_store(), self.letters["org_id"]).note(
                actor(context), "replayed dead letters", self.conn_id,
                {**counts, "from": process()},
            )  # fmt: skip
        if left:
            entry.status = "partial"
            why = "; ".join(f"{x.account_id} {x.name}: {x.reason}" for x in left[:_SHOWN])
            raise Rejected(
                f"{len(left)} of {len(claimed)} dead letters failed again: {why}",
                hint="All others are published; `airflow liftos dead-letters show` tells more.",
            )
        return counts


def _sum_up(entry: Entry, steps: Sequence[Entry]) -> None:
    """Into the replay's entry of the ledger: what fetching cost, what was published."""
    works = [step.work for step in steps if step.work]
    if works:
        entry.work = replace(works[0], rows=works[-1].rows)
    entry.window = next((step.window for step in steps if step.window), None)
    said = [line for step in steps for line in step.warnings]
    entry.warnings = (*entry.warnings, *dict.fromkeys(said))


class _Step:
    """A task's work as a part of another's, which has the ledger entry and translates errors."""

    entry: Entry

    @contextmanager
    def recorded(self, _context: Mapping[str, Any], _org_id: str | None = None) -> Iterator[Entry]:
        yield self.entry


class _Extract(_Step, LiftosExtractOperator):
    """Fetches given slices instead of those of reports and days."""

    def __init__(self, *, cuts: Sequence[Slice], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cuts = list(cuts)

    def _slices(self, _context: Mapping[str, Any], _platform: Platform) -> list[Slice]:
        return self.cuts


class _Normalize(_Step, LiftosNormalizeOperator):
    pass


class _Load(_Step, LiftosLoadOperator):
    pass


class _Audit(_Step, LiftosQualityGateOperator):
    pass


class _Publish(_Step, LiftosPublishOperator):
    pass
