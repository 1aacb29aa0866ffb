"""Runs after every other live test: whatever they left behind holds none of the secrets."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.airflow_live.conftest import TOKENS
from tests.airflow_live.live import Live

pytestmark = pytest.mark.airflow


def secrets(live: Live) -> list[bytes]:
    found = {*live.sandbox.secrets(), *TOKENS.values()}
    return [value.encode() for value in found]


def files(live: Live) -> list[Path]:
    roots = (live.stack.home, live.home)
    return [
        p for root in roots for p in root.rglob("*") if p.is_file() and p.name != "secrets.json"
    ]


def content(path: Path) -> bytes:
    if path.suffix == ".zst":
        import pyarrow as pa

        with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
            return stream.read()
    return path.read_bytes()


def cells(url: str) -> bytes:
    """Every value of every table as text: pages of a file may cut one in two."""
    import sqlalchemy as sa

    engine = sa.create_engine(url)
    out = io.StringIO()
    with engine.connect() as connection:
        for name in sa.inspect(engine).get_table_names():
            for row in connection.execute(sa.text(f'SELECT * FROM "{name}"')):
                out.write(f"{tuple(row)!r}\n")
    engine.dispose()
    return out.getvalue().encode()


def test_no_secret_is_in_any_log_table_or_file(live):
    live.stack.api.health()
    wanted = secrets(live)
    assert len(wanted) > 8
    databases = [live.metadata_url, f"sqlite:///{live.home / 'state.db'}"]
    texts = {str(path): content(path) for path in files(live)}
    texts |= {f"cells of {url}": cells(url) for url in databases}
    kinds = {Path(name).suffix for name in texts}
    assert {".log", ".db", ".duckdb", ".zst", ".parquet", ".json"} <= kinds
    account = live.sandbox.world.dataset("meta").accounts[0].id.encode()
    assert sum(account in text for text in texts.values()) > 5, "the search finds nothing at all"
    leaks = [(name, secret) for name, text in texts.items() for secret in wanted if secret in text]
    assert leaks == []
