from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_liftos.resilience.backoff import Backoff


class Highest(Random):
    def random(self):
        return 1.0


def test_the_longest_pause_doubles_up_to_the_cap():
    backoff = Backoff()
    longest = [backoff.delay(attempt, Highest()) for attempt in range(1, 9)]
    assert longest == [1, 2, 4, 8, 16, 32, 60, 60]


@given(attempt=st.integers(1, 100_000), seed=st.integers())
def test_a_pause_is_never_negative_nor_above_the_cap(attempt, seed):
    assert 0 <= Backoff(cap=7.0).delay(attempt, Random(seed)) <= 7.0


def test_jitter_uses_the_whole_range():
    random = Random(7)
    pauses = [Backoff(base=10.0).delay(1, random) for _ in range(1000)]
    assert min(pauses) < 0.5
    assert max(pauses) > 9.5


def test_the_last_attempt_exhausts():
    assert [Backoff(attempts=3).exhausted(attempt) for attempt in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]
