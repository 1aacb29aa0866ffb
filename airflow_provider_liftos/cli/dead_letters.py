"""``airflow liftos dead-letters ...``: look at what could not be processed, and deal with it.

Whoever may run Airflow's command line on a host with its database and settings may run these: that
is the permission they check. What they change is noted in the audit log.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.cli.table import actor, as_csv, as_json, as_table, host, moment
from airflow_provider_liftos.model.errors import LiftosError

if TYPE_CHECKING:
    from airflow_provider_liftos.state.dead_letters import DeadLetters
    from airflow_provider_liftos.state.letter import Letter, Wanted

REPLAY_DAG = "liftos_replay_dead_letters"
_OPEN = "open"
_SHORT = 8
_NAMES = ("id", "state", "kind", "platform", "account_id", "name", "since", "until", "attempts",
          "first_seen", "last_seen", "closed_at", "closed_by", "dag_id", "run_id",
          "reason")  # fmt: skip


def show_all(args: Any) -> None:
    """Letters, those seen last first: what is open, or those of ``--state``."""
    with _told():
        found = _box(args.org).find(_wanted(args), limit=args.limit)
    if args.json:
        as_json([_record(letter) for letter in found])
    elif args.csv:
        as_csv([_record(letter) for letter in found], _NAMES, sys.stdout)
    else:
        as_table([_line(letter) for letter in found])


def show(args: Any) -> None:
    """All that is known of one letter; that its personal data was looked at is noted."""
    with _told():
        letters = _box(args.org)
        letter = letters.one(args.id)
        payload = letters.payload(letter)
        if letter.form == "sealed":
            _note(args.org, "opened a dead letter", [letter], {})
    record = {**_record(letter), "payload": payload, "form": letter.form, "days": letter.days}
    if letter.form == "left_out":
        record["payload"] = (
            "left out: it holds personal data, and [liftos] credential_keys had no key"
        )
    print(json.dumps({**record, "spec": letter.spec}, ensure_ascii=False, indent=2))


def replay(args: Any) -> None:
    """Start a run of the DAG that tries letters again; those named, or all that match."""
    with _told():
        letters = _box(args.org)
        ids = [letters.one(one).id for one in args.ids] or None
    conf = {"ids": ids, "platform": args.platform, "kind": args.kind, "limit": args.limit,
            "org_id": args.org}  # fmt: skip
    run_id = _trigger({name: value for name, value in conf.items() if value is not None})
    _note(args.org, "started a replay of dead letters", [], {**conf, "run_id": run_id})
    print(f"{REPLAY_DAG} {run_id}: airflow liftos runs --run-id '{run_id}' tells how it went")


def discard(args: Any) -> None:
    """Let letters go: they are not replayed, and scheduled runs ask no more for missing days."""
    from airflow_provider_liftos.state.letter import DISCARDED

    with _told():
        letters = _box(args.org)
        found = [letters.one(one) for one in args.ids]
        done = letters.close([x.id for x in found], state=DISCARDED, by=f"{actor()}@{host()}")
        _note(args.org, "discarded dead letters", found, {"why": args.reason})
    print(
        f"{done} discarded" + (f", {len(found) - done} were closed already" * (done < len(found)))
    )


def _box(org_id: str) -> DeadLetters:
    from airflow_provider_liftos.operators.letters import box

    return box(org_id)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except LiftosError as error:
        sys.exit(str(error))


def _wanted(args: Any) -> Wanted:
    from airflow_provider_liftos.model.errors import ConfigurationError
    from airflow_provider_liftos.state.letter import OPEN, REPLAYING, STATES, Wanted

    states: Sequence[str] | None = (OPEN, REPLAYING)
    if args.state not in {None, "all", *STATES}:
        raise ConfigurationError(
            f"--state is {args.state!r}; it is one of {', '.join(STATES)}, all"
        )
    if args.state:
        states = None if args.state == "all" else (args.state,)
    return Wanted(
        platform=args.platform, account_id=args.account, kind=args.kind, states=states,
        ids=None,
    )  # fmt: skip


def _record(letter: Letter) -> dict[str, Any]:
    known = {name: getattr(letter, name, None) for name in _NAMES}
    times = {"first_seen": letter.created_at, "last_seen": letter.updated_at,
             "closed_at": letter.closed_at}  # fmt: skip
    return {**known, **{name: moment(value) for name, value in times.items()}}


def _line(letter: Letter) -> dict[str, Any]:
    days = letter.since if letter.since == letter.until else f"{letter.since}..{letter.until}"
    return {
        "id": letter.id[:_SHORT],
        "last seen (UTC)": moment(letter.updated_at),
        "kind": letter.kind,
        "account": f"{letter.platform} {letter.account_id}",
        "of": letter.name,
        "days": days,
        "tries": letter.attempts,
        "state": letter.state,
        "reason": letter.reason,
    }


def _note(org_id: str, action: str, found: Sequence[Letter], facts: Mapping[str, Any]) -> None:
    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.state.audit_log import AuditLog

    log = AuditLog(config.state_store(), org_id)
    about = sorted({letter.platform for letter in found}) or [str(facts.get("platform") or "all")]
    ids = {"ids": [letter.id for letter in found]} if found else {}
    log.note(actor(), action, ", ".join(about), {**ids, **facts, "from": host()})


def _trigger(conf: Mapping[str, Any]) -> str:
    """A run of the replay DAG, as ``airflow dags trigger`` makes it."""
    from airflow.api.client.local_client import Client
    from airflow.exceptions import DagNotFound
    from airflow.sdk.exceptions import AirflowException

    try:
        run = Client().trigger_dag(REPLAY_DAG, conf=dict(conf), triggering_user_name=actor())
    except DagNotFound:
        sys.exit(
            f"There is no DAG {REPLAY_DAG}. `airflow liftos scaffold` writes its file; then wait"
            " until the scheduler has read it."
        )
    except AirflowException as error:
        sys.exit(f"{REPLAY_DAG} was not started: {error}")
    if run is None:
        sys.exit(f"{REPLAY_DAG} was not started.")
    if _paused():
        print(
            f"{REPLAY_DAG} is paused: it begins once `airflow dags unpause {REPLAY_DAG}` has run."
        )
    return str(run["dag_run_id"])


def _paused() -> bool:
    from airflow.models.dag import DagModel

    found = DagModel.get_dagmodel(REPLAY_DAG)
    return bool(found and found.is_paused)
