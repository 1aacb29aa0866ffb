"""Rows of many slices at once: in order, in bounded memory, and nothing left of them."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from airflow_provider_liftos.engine import source_files
from airflow_provider_liftos.engine.source_bins import Bins
from airflow_provider_liftos.model.errors import StagingError

REPOSITORY = Path(__file__).parents[2]
READ = """
import sys
from functools import partial
from pathlib import Path
from airflow_provider_liftos.engine.source_files import SourceFile, opened
path = Path(sys.argv[1])
with opened([SourceFile(name=path.name, open=partial(path.open, "rb"))], platform="p", title="t"):
    sys.exit("pandas" in sys.modules)
"""


def taken(bins: Bins) -> dict[int, list[bytes]]:
    return {n: [line for lines in bins.take(n) for line in lines] for n in bins.numbers()}


@pytest.mark.parametrize("held", [0, 30, 1_000_000], ids=["on disk", "both", "in memory"])
def test_lines_come_back_in_their_order_whatever_was_put_away(held):
    bins, given = Bins(held=held), dict[int, list[bytes]]()
    for turn in range(20):
        for number in (turn % 3, 7):
            lines = [f"{turn} of {number} é".encode(), b"", b"\x00"]
            bins.add(number, lines)
            given[number] = [*given.get(number, []), *lines]
    bins.add(9, [])
    assert taken(bins) == dict(sorted(given.items()))
    bins.close()


def test_what_is_put_away_has_no_name_and_memory_is_given_back(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bins = Bins(held=1000)
    for _ in range(100):
        bins.add(1, [b"x" * 100] * 5)
        assert sum(map(len, bins._lines.get(1, ()))) <= 1000
    assert list(tmp_path.iterdir()) == []
    assert len(taken(bins)[1]) == 500
    bins.close()


@contextmanager
def full_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_error_that_says_what_to_do():
    bins = Bins(held=10)
    with full_disk(), pytest.raises(StagingError, match=r"no room .*TMPDIR"):
        bins.add(1, [b"x" * (1 << 18)])
    bins.close()


def test_lines_of_json_are_read_without_pandas(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"d": "2026-11-03", "v": 1.10}\n{"d": null, "w": "é🦩"}\n')
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], cwd=REPOSITORY, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_values_of_json_come_back_as_they_were(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = ['{"a": "é🦩\\u0000", "b": null}', '{"a": null, "b": ""}', '{"b": 1.10}', "{}"] * 3
    path.write_text("\n".join(lines))
    file = source_files.SourceFile(name=path.name, open=partial(path.open, "rb"))
    with source_files.opened([file], platform="p", title="t") as (door, query):
        statement = query.select('"a", "b"')
        rows = [row for batch in door.rows(statement) for row in batch]
    assert rows == [("é🦩\x00", None), (None, ""), (None, "1.10"), (None, None)] * 3


def test_long_lines_of_json_are_held_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(source_files, "_BATCH_BYTES", 1000)
    lines = [b'{"a": "' + b"x" * 600 + b'"}\n'] * 5
    assert [len(rows) for rows in source_files._lines(lines, "a")] == [2, 2, 1]
