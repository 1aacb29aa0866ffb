"""Slices of a load that are published already: their rows have left the audit schema.

An audit that is run again, after publish, judges them by the rows that people see. Where newer data
has come meanwhile there is nothing to judge: publishing the slice would change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from enum import Enum

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.quality import days


class Standing(Enum):
    """What has become of a slice that is under audit no more."""

    PUBLISHED = "published"
    SUPERSEDED = "superseded"


def standings(
    warehouse: days.Reader, manifest: Manifest, waits: Callable[[SliceResult], bool]
) -> dict[str, Standing]:
    """By fingerprint, the complete slices that ``loads`` has, or has newer data of.

    Those of which something ``waits`` under audit are left out: it is to be judged. Raises
    WarehouseError as the warehouse does.
    """
    known = days.publications(warehouse, manifest)
    found = {}
    for result in manifest.slices:
        of_slice = known.get(days.key_of(result))
        if of_slice is None or result.status != "complete" or waits(result):
            continue
        if standing := _standing(result, of_slice):
            found[result.slice.fingerprint()] = standing
    return found


def add_published(
    warehouse: days.Reader,
    manifest: Manifest,
    loaded: days.LoadedDays,
    standing: Mapping[str, Standing],
) -> None:
    """Put published rows of this load's slices where those under audit have been."""
    gone = [
        result
        for result in manifest.slices
        if result.slice.report and standing.get(result.slice.fingerprint()) is Standing.PUBLISHED
    ]
    if not gone:
        return
    since = min(result.slice.window.since for result in gone)
    until = max(result.slice.window.until for result in gone)
    seen = days.seen_days(warehouse, manifest, since, until)
    for result in gone:
        key = days.key_of(result)
        for day in result.slice.window.dates():
            if day in seen.get(key, {}):
                loaded.setdefault(key, {})[day] = seen[key][day]


def _standing(result: SliceResult, known: Mapping[date, days.Publication]) -> Standing | None:
    """Every day of a report's slice must be settled; a snapshot is one thing, made on any day."""
    asked = datetime.fromtimestamp(result.as_of, UTC)
    settled = {day: found for day, found in known.items() if found.settles(asked)}
    dates = result.slice.window.dates() if result.slice.report else settled
    found = [settled.get(day) for day in dates]
    if not found or None in found:
        return None
    if not all(publication and publication.mine for publication in found):
        return Standing.SUPERSEDED
    # An empty slice has no rows that could have left: publishing it would empty its days.
    return Standing.PUBLISHED if result.staged_rows else None
