"""Numbers of snapshots: a slice of a stream is all entities of an account, and may be none.

An account's last audience may be deleted, and a platform that has lost its way may list nothing.
Where only changes were asked for, it is the entities below some campaigns, and nothing is no news.
Deletions are believed where the account is heard of and nothing that came beside them says that
the entities must be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.quality.days import LoadedDays
from airflow_provider_liftos.quality.facts import NOTHING, Number, failure, kept, loaded
from airflow_provider_liftos.quality.settled import Standing

_NEEDED_BY: Mapping[str, tuple[str, ...]] = {
    "campaigns": ("ad_groups", "ads"),
    "ad_groups": ("ads",),
    "creatives": ("ads",),
}
_DELIVERING = {"campaigns", "ad_groups", "ads"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshots:
    """What is known of a run when its snapshots are judged; ``delivered`` are days under audit."""

    manifest: Manifest
    delivered: LoadedDays

    def numbers(
        self,
        result: SliceResult,
        under_audit: tuple[int, int] | None,
        living: int,
        standing: Standing | None = None,
    ) -> dict[str, Number]:
        """Of one snapshot, complete or not.

        ``under_audit`` are its rows, and rows too many. A snapshot that left the audit schema for
        publication is what is ``living`` there, unless a newer one has come.
        """
        if result.status != "complete":
            return {"slice_complete": failure(result)}
        if standing is Standing.SUPERSEDED:
            return {"slice_complete": (0, ""), "rows_kept": kept(result)}
        there = living if _is_whole(result) else result.staged_rows
        published = (there, 0) if standing is Standing.PUBLISHED else (0, 0)
        rows, duplicates = under_audit or published
        return {
            "slice_complete": (0, ""),
            "rows_kept": kept(result),
            "rows_loaded": loaded(result.staged_rows, rows),
            "key_unique": (duplicates, f"{duplicates} rows too many") if rows else NOTHING,
            **({"empty_is_not_zero": (0, "")} if rows else self._emptied(result, living)),
        }

    def _emptied(self, result: SliceResult, living: int) -> dict[str, Number]:
        """Of a snapshot without rows: the one rule that it breaks, if any."""
        if not living or not _is_whole(result):
            return {"empty_is_not_zero": NOTHING}
        note = f"no rows, but {living} are published"
        if doubt := self._doubt(result):
            return {"empty_is_not_zero": (1, f"{note}, and {doubt}")}
        return {"empty_is_not_zero": (0, ""), "entities_go_on": (1, note)}

    def _doubt(self, result: SliceResult) -> str:
        """What speaks against all of an account's entities having been deleted."""
        if result.table == "accounts":
            return "every account has a row of its own"
        others = self._others(result)
        for other in others:
            if other.table not in _NEEDED_BY.get(result.table, ()):
                continue
            if other.status != "complete" or not _is_whole(other):
                return f"nobody knows of its {other.table}"
            if other.staged_rows:
                return f"{other.staged_rows} {other.table} that need them are there"
        if result.table in _DELIVERING and (day := self._delivery(result)):
            return f"spend on {day}"
        heard = any(r.staged_rows for r in others if r.table != "accounts")
        return "" if heard else "nothing else of the account came"

    def _others(self, result: SliceResult) -> list[SliceResult]:
        """Slices of the same account."""
        account = result.slice.account_id
        return [r for r in self.manifest.slices if r.slice.account_id == account and r != result]

    def _delivery(self, result: SliceResult) -> str:
        """The newest day asked for, if there was spend; older days may be of what is deleted."""
        account = result.slice.account_id
        asked = [r.slice.window.until for r in self._others(result) if r.slice.report]
        newest = max(asked, default=None)
        spent = newest and any(
            day.has_spend
            for key, of_key in self.delivered.items()
            if key[0] == account
            for day in of_key.get(newest, {}).values()
        )
        return str(newest) if spent else ""


def _is_whole(result: SliceResult) -> bool:
    """Whether it has all entities of its account."""
    return result.slice.ids is None
