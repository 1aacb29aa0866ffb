"""Normalize: raw rows into the unified schema, as Parquet on staging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.operators.letters import keep_slices, rejecting
from airflow_provider_liftos.operators.task import (
    LiftosOperator,
    days_of,
    read_manifest,
    staged,
    write_manifest,
)


class LiftosNormalizeOperator(LiftosOperator):
    """Turn what an extract task brought into unified rows.

    ``extracted`` is that task's result. ``conversion_actions`` overrides which actions count as
    conversions: a list of events, each a list of alternative action types of which the first
    present one counts.
    """

    phase: ClassVar[str] = "normalize"
    template_fields: Sequence[str] = ("extracted", "conversion_actions")

    def __init__(
        self,
        *,
        extracted: Mapping[str, Any],
        conversion_actions: Sequence[Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 2)
        super().__init__(**kwargs)
        self.extracted = extracted
        self.conversion_actions = conversion_actions

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Raises StagingError for damaged files; the rows that cannot be kept are dead letters."""
        from airflow_provider_liftos.engine.normalize import Normalizer
        from airflow_provider_liftos.hooks.frame import conversion_options

        with self.recorded(context) as entry:
            staging = config.staging()
            manifest = read_manifest(staging, self.extracted)
            entry.window = days_of(manifest)
            credentials = self.hook.credentials()
            options = conversion_options(dict(credentials.options))
            if self.conversion_actions:
                options = {"conversion_actions": self.conversion_actions}

            normalizer = Normalizer(
                platform=self.hook.platform,
                staging=staging,
                reject=rejecting(context, manifest, credentials.secrets.values()),
                options=options,
                memory_limit=config.text("memory_limit"),
                restatement_days=config.restatement_days(self.hook.platform),
            )
            done = normalizer.normalize(manifest)
            keep_slices(context, done)
            entry.work = staged(done.slices)
            entry.detail = {
                "read": sum(cut.raw_rows for cut in done.slices),
                "rejected": sum(cut.rejected for cut in done.slices),
                "duplicates": sum(cut.duplicates for cut in done.slices),
                "unreadable": sum(cut.unreadable for cut in done.slices),
            }
            entry.warnings = tuple(dict.fromkeys(w for cut in done.slices for w in cut.warnings))
            for text in entry.warnings:
                self.log.warning(text)
            return write_manifest(staging, done, self.phase)
