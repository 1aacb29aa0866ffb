"""The rows of a query, made a period at a time and kept within a bound."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from datetime import datetime

from airflow_provider_liftos.sandbox.dataset import Dataset

from .calendar_presets import Days
from .edges import view_at
from .query import Query
from .row_fields import Scene
from .rows import block, sorted_rows
from .selection import chosen_ads

_CACHED_BYTES = 128 * 2**20


class Blocks:
    """The least recently used rows go first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[list[bytes], int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> list[bytes] | None:
        """Return what is kept under ``key``."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def keep(self, key: Hashable, rows: list[bytes]) -> None:
        """Keep rows, at the cost of older ones."""
        size = sum(map(len, rows)) + 100
        with self._lock:
            if key in self._kept or size > _CACHED_BYTES // 2:
                return
            self._kept[key] = (rows, size)
            self._bytes += size
            while self._bytes > _CACHED_BYTES:
                self._bytes -= self._kept.popitem(last=False)[1][1]


class Result:
    """All rows of a query as the platform knew them at one moment."""

    def __init__(
        self, query: Query, dataset: Dataset, at: datetime, blocks: Blocks, *, sync: bool
    ) -> None:
        account = dataset.account(query.account_id)
        if account is None:
            raise LookupError(query.account_id)
        moment = dataset.moment(account, at)
        view = view_at(dataset, at)
        ads = chosen_ads(query, dataset, view)
        self.scene = Scene(query, dataset, account, moment, view, ads, sync)
        self._blocks = blocks
        # One period at a time, unless a sort order runs through all of them.
        self._pieces: list[tuple[Days, ...]] = (
            [query.periods] if query.sort else [(days,) for days in query.periods]
        )
        self._counts: list[int | None] = [None] * len(self._pieces)

    def rows(self, offset: int, limit: int) -> list[bytes]:
        """Return up to ``limit`` rows from ``offset``, as JSON texts."""
        found: list[bytes] = []
        for at in range(len(self._pieces)):
            count = self._counts[at]
            if count is not None and offset >= count:
                offset -= count
                continue
            rows = self._piece(at)
            found.extend(rows[offset : offset + limit - len(found)])
            offset = max(0, offset - len(rows))
            if len(found) >= limit:
                break
        return found

    def _piece(self, at: int) -> list[bytes]:
        periods = self._pieces[at]
        key = (self.scene.query, periods, self._freshness(periods), self.scene.sync)
        rows = self._blocks.get(key)
        if rows is None:
            rows = self._make(periods)
            self._blocks.keep(key, rows)
        self._counts[at] = len(rows)
        return rows

    def _make(self, periods: Sequence[Days]) -> list[bytes]:
        if self.scene.query.sort:
            return sorted_rows(self.scene, periods)
        return [row for days in periods for row in block(self.scene, days)]

    def _freshness(self, periods: Sequence[Days]) -> Hashable:
        """Return what the rows depend on beside the query: today, and for today the hour."""
        moment = self.scene.moment
        running = any(since <= moment.today <= until for since, until in periods)
        return moment.today, self.scene.view.today, moment.quarter if running else -1
