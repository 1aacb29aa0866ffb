"""What goes in comes out: hostile text, exact numbers, and files that are not what they should be."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from airflow_provider_liftos.engine.manifest import SliceResult
from airflow_provider_liftos.model.errors import ConfigurationError, StagingError
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    NOON,
    ORG,
    Lab,
    entity_row,
    fingerprint,
    manifest,
    performance_row,
    report_slice,
    result,
    stage,
    stream_slice,
)

HOSTILE = (
    "",
    'it\'s "quoted", with; -- comment',
    "two\nlines\r\n\ttabbed",
    "emoji 🦩 ümläut 漢字 \u202eright to left",
    "nul\x00inside",
    "'); DROP TABLE liftos.performance; --",
    "NULL",
    "NaN",
    "\\N",
    "end\n\\.\nof data",
    "a back\\slash\\",
    "long " * 200_000,
)


def kept(lab: Lab, text: str) -> str:
    """As the warehouse shows it: Postgres has no NUL, and shows its symbol."""
    plain = lab.warehouse.layout.capabilities.name != "postgres"
    return text if plain else text.replace("\x00", "␀")


def test_hostile_text_survives(lab):
    lab.publish(
        report_slice(),
        [performance_row(DAY1, campaign_id=t, campaign_name=t, ad_id=str(i))
         for i, t in enumerate(HOSTILE)],
    )  # fmt: skip
    found = lab.warehouse.query(
        "SELECT campaign_id, campaign_name FROM liftos.performance ORDER BY CAST(ad_id AS INTEGER)"
    )
    assert found == [(kept(lab, text), kept(lab, text)) for text in HOSTILE]


def test_hostile_keys_replace_exactly_themselves(lab):
    lab.publish(report_slice(), [performance_row(DAY1)])
    # A report's name is ours: one with a NUL is refused before anything is asked for.
    keys = [(f"a{t}", f"r{t}".replace("\x00", "")) for t in HOSTILE if len(t) < 100]
    for turn in range(2):
        done = [
            lab.staged(report_slice(account=account, report=name),
                       [performance_row(DAY1, account_id=account, report=name)],
                       load_id=f"{turn}'?", as_of=NOON + turn)
            for account, name in keys
        ]  # fmt: skip
        lab.warehouse.load(manifest(*done, load_id=f"{turn}'?"))
        for one in done:
            assert lab.warehouse.publish(one, f"{turn}'?", ORG, NOON).rows_before == turn
    found = lab.warehouse.query("SELECT account_id, report FROM liftos.performance")
    shown = [(kept(lab, account), kept(lab, name)) for account, name in keys]
    assert sorted(found) == sorted([("1001", "basic"), *shown])


def test_money_and_decimals_are_exact(lab):
    amounts = ["0.000001", "0.1", "99999999999.999999", "-0.010000", None]
    rows = [performance_row(DAY1, ad_id=str(i), spend=a) for i, a in enumerate(amounts)]
    lab.publish(report_slice(), rows)
    found = lab.warehouse.query("SELECT spend FROM liftos.performance ORDER BY ad_id")
    assert found == [(a and Decimal(a),) for a in amounts]


def test_large_ids_counts_objects_and_moments_survive(lab):
    moment = datetime(2026, 10, 25, 0, 30, 0, 123456, tzinfo=UTC)
    lab.publish(
        report_slice(),
        [performance_row(DAY1, ad_id="90071992547409931", impressions=2**53 + 1,
                         breakdowns='{"country": "\\u0000é"}', day_start_utc=moment)],
    )  # fmt: skip
    [(ad, seen, text, micros)] = lab.warehouse.query(
        "SELECT ad_id, impressions, CAST(breakdowns AS VARCHAR),"
        " extract(epoch FROM day_start_utc) * 1000000 FROM liftos.performance"
    )
    assert (ad, seen, int(micros)) == (
        "90071992547409931",
        2**53 + 1,
        int(moment.timestamp() * 1e6),
    )
    assert json.loads(text) == {"country": kept(lab, "\x00é")}


def test_files_are_found_by_path_and_by_file_url(lab):
    done = lab.staged(report_slice(), [performance_row(DAY1)])
    [file] = done.staged
    lab.warehouse.load(manifest(result(done.slice, replace(file, path=f"file://{file.path}"))))
    with pytest.raises(ConfigurationError, match="s3://"):
        lab.warehouse.load(manifest(result(done.slice, replace(file, path="s3://b/part.parquet"))))


def test_several_files_make_one_slice(lab):
    files = [stage(lab.path(), "performance", [performance_row(day)]) for day in (DAY1, DAY2)]
    done = result(report_slice(), *files)
    assert lab.warehouse.load(manifest(done)) == 2
    assert lab.warehouse.publish(done, "load-1", ORG, NOON).rows_after == 2


def _missing(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_missing, _cut, _flipped])
def test_a_damaged_file_is_found_before_anything_is_written(lab, damage):
    lab.publish(report_slice(), [performance_row(DAY1)])
    before = lab.warehouse.checksum("performance")
    good = lab.staged(report_slice(account="2"), [performance_row(DAY1, account_id="2")])
    bad = lab.staged(report_slice(), [performance_row(DAY1, spend="9")])
    damage(Path(bad.staged[0].path))
    with pytest.raises(StagingError, match=r"meta 1001: basic:campaign .*parquet"):
        lab.warehouse.load(manifest(good, bad))
    assert lab.warehouse.checksum("performance") == before
    assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.performance") == [(0,)]


def _refused(lab: Lab, path: Path, rows: int, match: str) -> None:
    with pytest.raises(StagingError, match=match):
        lab.warehouse.load(manifest(result(report_slice(), fingerprint(path, rows))))


def test_a_file_that_is_no_parquet_is_refused(lab, tmp_path):
    path = tmp_path / "x.parquet"
    path.write_text("not parquet")
    _refused(lab, path, 1, "cannot be read")


def _alien(path: Path) -> None:
    path.write_text("not parquet")


def _short(path: Path) -> None:
    _rewritten(path, "* WHERE false")


def _of_another_load(path: Path) -> None:
    _rewritten(path, "* REPLACE ('other' AS load_id)")


def _inexact(path: Path) -> None:
    _rewritten(path, "* REPLACE (CAST(spend AS FLOAT) AS spend)")


def _rewritten(path: Path, change: str) -> None:
    source = str(path).replace("[x]", "[[]x]")
    rows = f"read_parquet('{source}', hive_partitioning = false)"
    columns, _, none = change.partition(" WHERE ")
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE t AS SELECT {columns} FROM {rows} WHERE {none or True}")
        con.execute(f"COPY t TO '{path}' (FORMAT parquet)")


@pytest.mark.parametrize("engine", ["duckdb"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_alien, "cannot be read"),
        (_short, "hold 0 rows, its manifest says 1"),
        (_of_another_load, "1 staged rows belong to another load than load-1"),
        (_inexact, "'spend' is FLOAT, which is not exact"),
    ],
)
def test_of_many_slices_the_one_at_fault_is_named(lab, damage, said):
    cuts = []
    for n in range(20):
        cut = lab.staged(report_slice(account=f"a{n}"), [performance_row(DAY1, account_id=f"a{n}")])
        if n == 13:
            path = Path(cut.staged[0].path)
            damage(path)
            cut = result(cut.slice, fingerprint(path, 1))
        cuts.append(cut)
    cuts.append(result(report_slice(account="empty")))
    with pytest.raises(StagingError, match=f"^meta a13: .*{said}"):
        lab.warehouse.load(manifest(*cuts))


@pytest.mark.parametrize("engine", ["duckdb"])
def test_small_slices_are_looked_at_together(lab, monkeypatch):
    """One statement for each would take most of their loading."""
    seen: list[str] = []

    class Memory:
        def __init__(self, connection):
            self.connection = connection

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.connection.close()

        def execute(self, sql, *params):
            seen.append(sql)
            return self.connection.execute(sql, *params)

    cuts = [
        lab.staged(report_slice(account=f"a{n}"), [performance_row(DAY1, account_id=f"a{n}")])
        for n in range(12)
    ]
    made = lab.warehouse._memory
    monkeypatch.setattr(lab.warehouse, "_memory", lambda: Memory(made()))
    monkeypatch.setattr(lab.warehouse, "_sizes", replace(lab.warehouse._sizes, slices=5))
    assert lab.warehouse.load(manifest(*cuts)) == 12
    assert len(seen) == 2 * 3  # of batches, which also bound what a store's copies take


@pytest.mark.parametrize("engine", ["duckdb"])
def test_objects_may_be_staged_as_structures(lab, tmp_path):
    """Their parts are no columns, whatever they are called."""
    part = _remade(lab, tmp_path / "1.parquet", "1", "* REPLACE ({'surprise': [1]} AS breakdowns)")
    assert lab.warehouse.load(manifest(part)) == 1


def test_a_file_of_another_row_count_is_refused(lab):
    [file] = lab.staged(report_slice(), [performance_row(DAY1)]).staged
    _refused(lab, Path(file.path), 2, "hold 1 rows, its manifest says 2")


def test_rows_of_another_load_are_refused(lab):
    [file] = lab.staged(report_slice(), [performance_row(DAY1)], load_id="other").staged
    _refused(lab, Path(file.path), 1, "1 staged rows belong to another load")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("* , 1 AS surprise", "no column 'surprise'"),
        ("* EXCLUDE (currency)", "lack the column 'currency'"),
        ("* REPLACE (CAST(spend AS DOUBLE) AS spend)", "'spend' is DOUBLE, which is not exact"),
    ],
)
def test_columns_that_are_not_the_schema_are_refused(lab, tmp_path, change, match):
    [file] = lab.staged(report_slice(), [performance_row(DAY1)]).staged
    path, source = tmp_path / "x.parquet", file.path.replace("[x]", "[[]x]")
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT {change} FROM read_parquet('{source}', hive_partitioning = false)) TO '{path}'"
        )
    _refused(lab, path, 1, match)


def test_a_file_staged_before_a_column_existed_has_nulls_there(lab, tmp_path):
    [file] = lab.staged(report_slice(), [performance_row(DAY1, video_views=3)]).staged
    path, source = tmp_path / "x.parquet", file.path.replace("[x]", "[[]x]")
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT * EXCLUDE (video_views) FROM read_parquet('{source}', hive_partitioning = false)) TO '{path}'"
        )
    done = result(report_slice(), fingerprint(path, 1))
    lab.warehouse.load(manifest(done))
    lab.warehouse.publish(done, "load-1", ORG, NOON)
    assert lab.warehouse.query("SELECT video_views FROM liftos.performance") == [(None,)]


def _remade(lab: Lab, path: Path, account: str, change: str) -> SliceResult:
    """A slice of an account, whose only row is staged with other columns."""
    row = performance_row(DAY1, account_id=account, video_views=3)
    [file] = lab.staged(report_slice(account=account), [row]).staged
    source = file.path.replace("[x]", "[[]x]")
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT {change} FROM read_parquet('{source}', hive_partitioning = false))"
            f" TO '{path}' (FORMAT parquet)"
        )
    return result(report_slice(account=account), fingerprint(path, 1))


def test_slices_of_one_load_may_have_other_columns_and_types(lab, tmp_path):
    changes = {
        "1": "*",
        "2": "* EXCLUDE (video_views)",
        "3": "* REPLACE (CAST(video_views AS VARCHAR) AS video_views)",
        "4": "* REPLACE (CAST(NULL AS INTEGER) AS video_views)",
    }
    cuts = [_remade(lab, tmp_path / f"{n}.parquet", n, change) for n, change in changes.items()]
    entities = stage(lab.path(), "campaigns", [entity_row("7", "x")])
    cuts.insert(2, result(stream_slice(), entities))
    assert lab.warehouse.load(manifest(*cuts)) == 5
    found = lab.warehouse.query(
        "SELECT account_id, video_views FROM liftos_audit.performance ORDER BY account_id"
    )
    assert found == [("1", 3), ("2", None), ("3", 3), ("4", None)]


@pytest.mark.parametrize("engine", ["postgres", "snowflake", "databricks"])
def test_of_many_slices_the_one_that_cannot_be_read_is_named(lab, tmp_path):
    good = _remade(lab, tmp_path / "1.parquet", "1", "*")
    views = "* REPLACE ('many' AS video_views)"
    bad = _remade(lab, tmp_path / "2.parquet", "2", views)
    with pytest.raises(StagingError, match=r"meta 2: .*cannot be read.*many"):
        lab.warehouse.load(manifest(good, bad))
    assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.performance") == [(0,)]


def test_entities_keep_hostile_names(lab):
    rows = [entity_row(str(i), "x", name=text) for i, text in enumerate(HOSTILE)]
    lab.publish(stream_slice(), rows, table="campaigns")
    found = lab.warehouse.query(
        "SELECT name FROM liftos.campaigns ORDER BY CAST(campaign_id AS INTEGER)"
    )
    assert found == [(kept(lab, text),) for text in HOSTILE]
