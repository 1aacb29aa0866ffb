"""Dead letters of a task: what it keeps, and what it settles by publishing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.hooks import config

if TYPE_CHECKING:
    from airflow_provider_liftos.engine.letters import LeftAlone
    from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
    from airflow_provider_liftos.engine.normalize import Reject
    from airflow_provider_liftos.model.report import Window
    from airflow_provider_liftos.model.secret import Secret
    from airflow_provider_liftos.state.dead_letters import DeadLetters


def box(org_id: str) -> DeadLetters:
    """The dead letters of an organization, with the deployment's keys."""
    from airflow_provider_liftos.state.dead_letters import DeadLetters

    return DeadLetters(config.state_store(), org_id, config.keyring())


def actor(context: Mapping[str, Any]) -> str:
    """Who is behind a task: its run, and the user who started it, where somebody did."""
    ti = context["ti"]
    run = f"{ti.dag_id}/{ti.run_id}"
    user = getattr(context.get("dag_run"), "triggering_user_name", None)
    return f"{user} ({run})" if user else run


def keep_slices(
    context: Mapping[str, Any], manifest: Manifest, reasons: Mapping[str, str] | None = None
) -> None:
    """Keep the slices that failed or, given by fingerprint, those held back for these reasons."""
    from airflow_provider_liftos.engine.letters import of_slice

    if reasons is None:
        found = [(cut, cut.error) for cut in manifest.failed]
    else:
        complete = [cut for cut in manifest.slices if cut.status == "complete"]
        found = [(c, reasons[p]) for c in complete if (p := c.slice.fingerprint()) in reasons]
    drafts = [of_slice(manifest, cut, reason) for cut, reason in found]
    if drafts:
        box(manifest.org_id).keep(drafts, **_where(context, manifest))


def rejecting(
    context: Mapping[str, Any], manifest: Manifest, secrets: Collection[Secret] = ()
) -> Reject:
    """Takes rows that cannot be kept, as normalize hands them over; secrets are taken out."""
    from airflow_provider_liftos.engine.letters import of_row
    from airflow_provider_liftos.transport.redact import redact

    letters = box(manifest.org_id)

    def reject(cut: SliceResult, found: Sequence[tuple[str, str]]) -> None:
        drafts = [
            of_row(manifest, cut, reason, redact(line, secrets, longest=None))
            for reason, line in found
        ]
        letters.keep(drafts, **_where(context, manifest))

    return reject


def settle(context: Mapping[str, Any], manifest: Manifest, cut: SliceResult) -> None:
    """A slice is published: its letters are closed, as far as nothing of them is left."""
    from airflow_provider_liftos.engine import letters
    from airflow_provider_liftos.operators.task import scope

    letters.settle(box(manifest.org_id), manifest, cut, holder=scope(context), by=actor(context))


def _where(context: Mapping[str, Any], manifest: Manifest) -> dict[str, str]:
    ti = context["ti"]
    return {"load_id": manifest.load_id, "dag_id": ti.dag_id, "run_id": ti.run_id}


def left_alone(org_id: str, platform: str, *, mock: bool) -> dict[tuple[str, str], LeftAlone]:
    """By account and report: days that scheduled runs ask for no more."""
    from airflow_provider_liftos.engine.letters import left_alone as judged
    from airflow_provider_liftos.state.letter import DISCARDED, OPEN, REPLAYING, SLICE, Wanted

    wanted = Wanted(platform=platform, kind=SLICE, states=(OPEN, REPLAYING, DISCARDED))
    found = box(org_id).find(wanted, limit=100_000)
    ours = [letter for letter in found if bool(letter.spec.get("is_mock")) == mock]
    return judged(ours, int(config.number("failing_nights")))


def told(
    account_id: str,
    asked: Mapping[str, Sequence[Window]],
    alone: Mapping[str, LeftAlone],
) -> list[str]:
    """A line for each report of an account whose missing days failed too often."""
    from airflow_provider_liftos.engine.incremental import without
    from airflow_provider_liftos.engine.letters import span

    lines = []
    for name, windows in asked.items():
        failed = alone[name].failed if name in alone else ()
        rest = [part for window in windows for part in without(window, failed)]
        if given_up := [part for window in windows for part in without(window, rest)]:
            lines.append(
                f"{account_id} {name}: {span(given_up)} failed again and again and is left to the"
                " dead letters (airflow liftos dead-letters)"
            )
    return lines
