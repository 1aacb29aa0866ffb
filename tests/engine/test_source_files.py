"""Files as a source: values as they are written, one order of a cursor, nothing half written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_liftos.engine import source_files
from airflow_provider_liftos.engine.source import SourceReader
from airflow_provider_liftos.engine.source_cursor import Reached
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError, StagingError
from tests.engine.source_bench import Bench


class Files:
    """Files on this host as a source."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.folder = bench, folder

    def rows(self, columns: dict[str, str], **contents: bytes | str) -> list[dict[str, Any]]:
        with self.reader(columns, **contents) as reader:
            return self.bench.landed(reader.everything())

    @contextmanager
    def reader(
        self, columns: dict[str, str], cursor: str = "", **contents: bytes | str
    ) -> Iterator[SourceReader]:
        named = []
        for name, content in contents.items():
            path = self.folder / name.replace("_", ".")
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            opened = partial(path.open, "rb")
            named.append(source_files.SourceFile(name=str(path), open=opened))
        parts = {"platform": "internal", "title": "files", "cursor": cursor}
        with source_files.opened(named, **parts) as (door, query):
            reader = self.bench.reader(query.sql, columns, door=door, cursor=cursor)
            reader.query = query
            yield reader


@pytest.fixture
def files(bench: Bench, tmp_path: Path) -> Files:
    return Files(bench, tmp_path)


def test_numbers_of_json_are_taken_as_they_are_written(files: Files) -> None:
    lines = (
        '{"d": "2026-11-03", "v": 123456789012.123456, "n": null, "x": {"a": 1}}\n\n'
        '{"d": "2026-11-03", "v": "0.10", "late": "a\\u0000b"}\n'
    )
    columns = {"date": "d", "spend": "v", "clicks": "n", "account_name": "late"}
    rows = sorted(files.rows(columns, a_jsonl=lines), key=lambda row: row["spend"])
    assert rows == [
        {"date": "2026-11-03", "spend": "0.10", "account_name": "a\x00b"},
        {"date": "2026-11-03", "spend": "123456789012.123456"},
    ]


def test_a_bare_field_of_csv_is_null_and_a_quoted_one_is_empty(files: Files) -> None:
    text = 'd,v,n\n2026-11-03,1.10,""\n2026-11-04,,\n'
    assert files.rows({"date": "d", "spend": "v", "account_name": "n"}, a_csv=text) == [
        {"date": "2026-11-03", "spend": "1.10", "account_name": ""},
        {"date": "2026-11-04"},
    ]


_DAYS = {"8": "01", "9": "02", "10": "03", "11.5": "04"}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_numbers_in_files_are_a_cursor_by_their_size(
    kind: str, files: Files, tmp_path: Path
) -> None:
    rows = [{"d": f"2026-11-{day}", "V": value} for value, day in _DAYS.items()]
    content: str | bytes = "d,V\n" + "".join(f"{row['d']},{row['V']}\n" for row in rows)
    if kind == "jsonl":
        content = "".join(json.dumps({**row, "V": float(row["V"])}) + "\n" for row in rows)
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "made")
        content = (tmp_path / "made").read_bytes()
    columns = {"date": "d", "spend": "v"}
    with files.reader(columns, cursor="v", **{f"a_{kind}": content}) as reader:
        first = reader.everything()
        assert first.reached == Reached(kind="decimal", text="11.5000000000")
        read = reader.changes(Reached(kind="decimal", text="9"))
        found = {row["date"][-2:]: row["spend"] for row in files.bench.landed(read)}
        assert found in ({"02": "9", "03": "10", "04": "11.5"},
                         {"02": "9.0", "03": "10.0", "04": "11.5"})  # fmt: skip
        assert len(files.bench.landed(reader.changes(Reached(kind="text", text="9")))) == 4


def test_a_cursor_in_files_that_is_not_always_a_number_is_text_or_refused(files: Files) -> None:
    with files.reader({"date": "d"}, cursor="v", a_csv="d,v\n2026-11-03,b9\n") as reader:
        assert reader.everything().reached == Reached(kind="text", text="b9")
    text = 'd,v\n2026-11-03,9\n2026-11-04,none\n2026-11-04,""\n'
    with (
        files.reader({"date": "d"}, cursor="v", a_csv=text.replace('""', "10")) as reader,
        pytest.raises(ConfigurationError, match="of files, all its values must be numbers"),
    ):
        reader.everything()
    # What has no value is read each time.
    text = text.replace("none", "10")
    with files.reader({"date": "d"}, cursor="v", a_csv=text) as reader:
        assert len(files.bench.landed(reader.changes(Reached(kind="decimal", text="99")))) == 2
    with (
        files.reader({"date": "d"}, cursor="w", a_csv=text) as reader,
        pytest.raises(ConfigurationError, match="no column 'w'; it has d, v"),
    ):
        reader.everything()


@pytest.mark.parametrize(
    ("name", "is_read"),
    [
        ("a.parquet", True), ("A.CSV", True), ("a.jsonl.gz", True), ("a.csv.ZST", True),
        (".part-0.parquet.crc", False), (".a.csv", False), ("_a.csv", False),
        ("x.csv.tmp", False), ("x.csv.bak.1", False), ("_SUCCESS", False), ("a.txt", False),
    ],
)  # fmt: skip
def test_of_a_folder_only_whole_files_of_data_are_read(name: str, is_read: bool) -> None:
    assert source_files.belongs(name) is is_read
    if is_read:
        assert source_files.format_of(name)


def test_packed_files_are_read(files: Files) -> None:
    import gzip

    line = b'{"d": "2026-11-03", "v": 1}\n'
    packed = {"a_jsonl_gz": gzip.compress(line), "c_jsonl_GZ": gzip.compress(line),
              "b_jsonl_zst": pa.compress(line, "zstd", asbytes=True)}  # fmt: skip
    assert len(files.rows({"date": "d", "spend": "v"}, **packed)) == 3


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"a_jsonl": '{"d": 1}\n[2]\n'}, "line 2 of 'a.jsonl' is no JSON object"),
        ({"a_jsonl": '{"e": "2026-11-03"}\n'}, "no column 'd'; it has e"),
        ({"a_parquet": "no parquet"}, "refuses the query|cannot be read"),
        ({"a_txt": "d"}, "format of 'a.txt' is not known"),
        ({"a_csv": "d\n", "b_jsonl": "{}\n"}, "several formats: csv, jsonl"),
    ],
)
def test_files_that_are_not_what_they_should_be_are_named(
    files: Files, contents: dict[str, str], said: str
) -> None:
    with pytest.raises(LiftosError, match=said):
        files.rows({"date": "d"}, **contents)


@pytest.mark.parametrize(
    ("name", "copy"), [("a.csv", "0-a.csv"), ("a.jsonl", "0-a.jsonl.0.parquet")]
)
def test_no_room_for_a_copy_is_one_line_that_names_the_file_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, copy: str
) -> None:
    source, here = tmp_path / name, tmp_path / "here"
    here.mkdir()
    (here / copy).symlink_to("/dev/full")  # where every write finds no space left
    source.write_text('{"d": "2026-11-03"}\n' * 1000)
    monkeypatch.setattr(source_files, "temporary_folder", lambda: nullcontext(str(here)))
    file = source_files.SourceFile(name=str(source), open=partial(source.open, "rb"))
    with (
        pytest.raises(StagingError, match=f"no room for a copy of {name}: .*{here}") as refused,
        source_files.opened([file], platform="internal", title="files"),
    ):
        pass
    assert "\n" not in str(refused.value)
    assert "TMPDIR" in refused.value.hint
