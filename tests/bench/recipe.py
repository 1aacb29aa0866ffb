"""Page bytes to typed Parquet: our normalizer beside the bare recipe on the same pages."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.server import FIRST_DAY, PAGE, page

ROWS, DAYS = 500_000, 10
_LOADED = (
    "duckdb", "msgspec", "pyarrow", "airflow_provider_liftos.engine.normalize",
    "airflow_provider_liftos.platforms.meta", "tests.bench.ours",
)  # fmt: skip
"""Imported before the clock starts, by both: Airflow alone, which the benches need, takes seconds."""

_TEXTS = ("account_id", "account_name", "account_currency", "campaign_id", "campaign_name",
          "adset_id", "adset_name", "ad_id", "ad_name")  # fmt: skip
_COUNTS = ("impressions", "clicks", "inline_link_clicks", "reach")


def pages() -> Iterator[bytes]:
    count = ROWS // PAGE
    for index in range(count):
        yield page(index, PAGE, count, DAYS, b"900000000000001")


def bare(folder: Path) -> int:
    """Split pages, compress rows, one statement to Parquet: 18 columns, no checks, no lineage."""
    import duckdb
    import msgspec
    import pyarrow as pa

    envelope = msgspec.defstruct("Envelope", [("data", list[msgspec.Raw])])
    decode = msgspec.json.Decoder(envelope).decode
    path = folder / "rows.ndjson.zst"
    with pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd") as out:
        for body in pages():
            out.write(b"\n".join(map(bytes, decode(body).data)) + b"\n")
    names = (*_TEXTS, *_COUNTS, "spend", "frequency", "date_start")
    columns = dict.fromkeys(names, "VARCHAR")
    lists = "STRUCT(action_type VARCHAR, value VARCHAR)[]"
    columns |= {"actions": lists, "action_values": lists}
    kinds = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    purchase = "list_filter({}, lambda a: a.action_type = 'omni_purchase')[1].value::DECIMAL(18,6)"
    select = ", ".join(
        (
            *_TEXTS,
            *(f"{name}::BIGINT AS {name}" for name in _COUNTS),
            "spend::DECIMAL(18,6) AS spend, frequency::DECIMAL(18,6) AS frequency",
            "date_start::DATE AS date",
            f"{purchase.format('actions')} AS conversions",
            f"{purchase.format('action_values')} AS conversions_value",
        )
    )
    connection = duckdb.connect(config={"threads": 2, "preserve_insertion_order": False})
    [(rows,)] = connection.execute(
        f"COPY (SELECT {select} FROM read_json('{path}', format='newline_delimited',"
        f" columns={{{kinds}}})) TO '{folder / 'rows.parquet'}'"
        " (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    ).fetchall()
    return int(rows)


def ours(folder: Path) -> int:
    """The same through our writer and normalizer: 38 columns, checksums, counts of bad values."""
    from datetime import timedelta

    from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
    from airflow_provider_liftos.engine.normalize import Normalizer
    from airflow_provider_liftos.engine.staging import RawWriter, Staging
    from airflow_provider_liftos.model.report import Account, Level, Report, Slice, Window
    from airflow_provider_liftos.platforms import get
    from airflow_provider_liftos.platforms.meta import wire
    from tests.bench.ours import METRICS

    platform, staging = get("meta"), Staging(str(folder))
    writer = RawWriter(staging, str(folder / "raw"))
    for body in pages():
        writer.write(wire.page(body).rows)
    account = Account(
        account_id="900000000000001", name="Bench", currency="EUR", timezone="Europe/Berlin"
    )
    window = Window(since=FIRST_DAY, until=FIRST_DAY + timedelta(days=DAYS - 1))
    report = Report(name="basic", level=Level.AD, metrics=METRICS)
    cut = Slice(platform="meta", account_id=account.account_id, window=window, report=report)
    result = SliceResult(
        slice=cut, status="complete", as_of=1.7e9, account=account, raw=writer.close()
    )
    manifest = Manifest(org_id="default", platform="meta", load_id="bench", slices=(result,))
    normalizer = Normalizer(platform=platform, staging=staging, reject=lambda *_: None, options={})
    return normalizer.normalize(manifest).rows


def report() -> None:
    """Interleaved, three rounds, a process each; medians of CPU and wall."""
    found: dict[str, list[tuple[float, float]]] = {"bare": [], "ours": []}
    for _ in range(3):
        for name, times in found.items():
            command = [sys.executable, "-m", "tests.bench.recipe", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            result = json.loads(done.stdout.strip().splitlines()[-1])
            times.append((result["cpu"], result["wall"]))
    bare_cpu, bare_wall = sorted(found["bare"])[1]
    our_cpu, our_wall = sorted(found["ours"])[1]
    print(f"page bytes to typed Parquet, {ROWS:,} rows: bare recipe (18 columns)"
          f" {ROWS / bare_wall:,.0f} rows/s, ours (38 columns, checked) {ROWS / our_wall:,.0f} rows/s"
          f" = {bare_wall / our_wall:.0%} by wall, {bare_cpu / our_cpu:.0%} by CPU")  # fmt: skip


def main(name: str) -> None:
    for module in _LOADED:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        rows = {"bare": bare, "ours": ours}[name](Path(folder))
        assert rows == ROWS, rows
        print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}))


if __name__ == "__main__":
    main(sys.argv[1])
