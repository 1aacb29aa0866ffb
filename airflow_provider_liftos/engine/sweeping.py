"""Old files of staging go, load by load: none that a task may still come back for.

A load is what one run of a pipeline brought. It goes when all of its files are old and no
checkpoint names one of them; manifests go first, because without them its files do not exist for
anybody.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from sqlalchemy import select

from airflow_provider_liftos.engine.objects import Found
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import slices

_PLACE_OF_LOAD = {"manifests": 2, "raw": 4, "staged": 4, "sifted": 4}
"""Folders of staging that are ours, and where in their paths the load's id stands."""


@dataclass(slots=True, kw_only=True)
class Swept:
    """What was deleted; ``undated`` files stay, because their store tells no time of theirs."""

    loads: int = 0
    files: int = 0
    bytes: int = 0
    undated: int = 0


@dataclass(slots=True)
class _Load:
    files: list[Found] = field(default_factory=list)
    newest: float = 0.0


def needed(store: StateStore) -> set[str]:
    """Loads that checkpoints still name, in any organization."""
    with store.read() as connection:
        texts = connection.execute(select(slices.c.manifest).where(slices.c.manifest.is_not(None)))
        return {
            load
            for (text,) in texts
            for file in json.loads(text).get("files", ())
            if (load := _load_in(str(file["path"])))
        }


def _load_in(path: str) -> str:
    """The load's id in the path of a raw file: two folders above it is the load's."""
    parts = path.split("/")
    return parts[-3] if len(parts) > 5 else ""


def sweep(staging: Staging, *, before: float, keep: Collection[str]) -> Swept:
    """Delete loads whose files are all older than a moment (epoch seconds), but for those kept.

    Raises StagingUnavailable when a store does not answer; what is left goes the next time.
    """
    swept = Swept()
    for load, found in _loads(staging).items():
        undated = sum(file.modified is None for file in found.files)
        swept.undated += undated
        if undated or found.newest >= before or load in keep:
            continue
        for file in sorted(found.files, key=lambda one: not one.path.endswith(".json")):
            staging.delete(file.path, up_to=load)
            swept.files += 1
            swept.bytes += file.bytes
        swept.loads += 1
    return swept


def _loads(staging: Staging) -> dict[str, _Load]:
    loads: dict[str, _Load] = {}
    for load, file in _ours(staging):
        known = loads.setdefault(load, _Load())
        known.files.append(file)
        known.newest = max(known.newest, file.modified or 0.0)
    return loads


def _ours(staging: Staging) -> Iterator[tuple[str, Found]]:
    for folder, place in _PLACE_OF_LOAD.items():
        for file in staging.found(folder):
            parts = file.path.removeprefix(staging.folder()).strip("/").split("/")
            # What does not lie where we put files is nobody's of ours.
            if len(parts) > place + 1:
                yield parts[place], file
