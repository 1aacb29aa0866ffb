"""Results that are being read: batches kept within a bound, page tokens that lead to them."""

from __future__ import annotations

import base64
import binascii
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

from airflow_provider_liftos.sandbox.dataset.chance import digest

from .errors import request_error
from .writer import Batch

_CACHED_BYTES = 256 * 2**20
_LIFETIME = timedelta(hours=2)
_nonces = count(1)


class Result:
    """The batches of one query, made as they are asked for."""

    def __init__(self, make: Callable[[], Iterator[Batch]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._kept: list[Batch] = []  # their data compressed: rows resemble one another
        self._running: Iterator[Batch] = iter(())
        self._at = -1  # number of the batch that the iterator gave last
        self._total: int | None = None
        self.size = 0

    def batch(self, number: int) -> Batch | None:
        """Return a batch by its number; None behind the last one."""
        with self._lock:
            if number < len(self._kept):
                kept = self._kept[number]
                return kept._replace(data=zlib.decompress(kept.data))
            if number <= self._at or self._at < 0:
                self._running, self._at = self._make(), -1
            for made in self._running:
                self._at += 1
                self._keep(made)
                if self._at == number:
                    return made
            self._at = -1
            return None

    def _keep(self, batch: Batch) -> None:
        """Keep the first batches, as far as one result may fill the memory."""
        if self._at == len(self._kept) and self.size <= _CACHED_BYTES // 2:
            small = zlib.compress(batch.data, level=1)
            self._kept.append(batch._replace(data=small))
            self.size += len(small)

    def batches(self) -> Iterator[Batch]:
        """Yield all of them."""
        for number in count():
            batch = self.batch(number)
            if batch is None:
                return
            yield batch
            if batch.last:
                return

    def total(self) -> int:
        """Return how many rows there are, making them all."""
        if self._total is None:
            self._total = sum(batch.rows for batch in self.batches())
        return self._total


class Results:
    """The results in use; the least recently used go first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Result] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Iterator[Batch]]) -> Result:
        """Return the result under ``key``, new or known."""
        with self._lock:
            result = self._kept.get(key)
            if result is None:
                result = self._kept[key] = Result(make)
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and (
                len(self._kept) > 64 or sum(one.size for one in self._kept.values()) > _CACHED_BYTES
            ):
                self._kept.popitem(last=False)
            return result


class Place(NamedTuple):
    """Which batch comes next, and the moment at which the first page was read."""

    number: int
    since: datetime


def page_token(query: Hashable, number: int, since: datetime) -> str:
    """Return a token for a batch; every one looks new."""
    text = f"{_tag(query)}:{number}:{since.timestamp()}:{next(_nonces)}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def place_of(token: str, query: Hashable, now: datetime) -> Place:
    """Read a token of the same query; raises AdsError for another's, and for one too old."""
    try:
        tag, number, since, _ = base64.urlsafe_b64decode(token.encode()).decode().split(":")
        place = Place(int(number), datetime.fromtimestamp(float(since), UTC))
    except (ValueError, binascii.Error):
        raise request_error("INVALID_PAGE_TOKEN", "Page token is invalid.") from None
    if tag != _tag(query):
        raise request_error("INVALID_PAGE_TOKEN", "Page token is of another request.")
    if place.since + _LIFETIME < now:
        raise request_error("EXPIRED_PAGE_TOKEN", "Page token has expired.")
    return place


def _tag(query: Hashable) -> str:
    return digest(query, size=8).hex()
