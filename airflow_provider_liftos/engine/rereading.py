"""Rows that were refused, normalized again with today's mapping: which of them can be read now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_liftos.engine import letters
from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.engine.normalize import Normalizer
from airflow_provider_liftos.engine.staging import RawWriter, Staging
from airflow_provider_liftos.engine.temporary import temporary_folder
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.model.report import Slice
from airflow_provider_liftos.state.letter import Letter


@dataclass(frozen=True, slots=True, kw_only=True)
class Rereading:
    """How rows of one connection are read; ``options`` are facts for the platform's mapping."""

    platform: Platform
    org_id: str
    options: Mapping[str, Any]
    memory_limit: str = "256MB"

    def refused(self, rows: Sequence[tuple[Letter, str]]) -> dict[str, str]:
        """Of letters with their rows those that cannot be read still, by id, with the reason.

        Raises StagingError when this host has no room to try.
        """
        if not rows:
            return {}
        with temporary_folder() as folder:
            staging = Staging(folder)
            slices = tuple(_alone(staging, letter, row) for letter, row in rows)
            reasons: dict[str, str] = {}

            def reject(cut: SliceResult, found: Sequence[tuple[str, str]]) -> None:
                reasons[cut.report_ids[0]] = found[0][0]

            done = Normalizer(
                platform=self.platform,
                staging=staging,
                reject=reject,
                options=self.options,
                memory_limit=self.memory_limit,
            ).normalize(self._manifest(slices))
            unread = {c.report_ids[0]: c.error for c in done.slices if c.status != "complete"}
            return {**unread, **reasons}

    def _manifest(self, slices: tuple[SliceResult, ...]) -> Manifest:
        return Manifest(
            org_id=self.org_id, platform=self.platform.name, load_id="rereading", slices=slices
        )


def _alone(staging: Staging, letter: Letter, row: str) -> SliceResult:
    """A slice of nothing but this row; the letter's id travels in the place of a report's."""
    writer = RawWriter(staging, staging.folder("raw", letter.id))
    writer.write([row.encode()])
    return SliceResult(
        slice=Slice.from_json(letter.spec["slice"]),
        status="complete",
        as_of=letter.updated_at,
        account=letters.account(letter),
        raw=writer.close(),
        report_ids=(letter.id,),
    )
