"""Names of schemas that somebody may think of: quoted everywhere, or refused in one short line."""

from __future__ import annotations

import pytest

from airflow_provider_liftos.model.errors import ConfigurationError
from tests.warehouses.engines import ENGINES, reopened
from tests.warehouses.staging import DAY1, Lab, performance_row, report_slice

HOSTILE = ("a\"b'c`d", "a; DROP--", "a b.c", "größe 🦩", "a\\b")


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])  # emulators do not quote all they should
@pytest.mark.parametrize("name", HOSTILE)
def test_a_schema_may_be_called_anything(bare, tmp_path, name):
    made = reopened(bare, schema=name, audit_schema=f"{name}_audit")
    Lab(tmp_path, made).publish(report_slice(), [performance_row(DAY1)])
    count = f"SELECT count(*) FROM {made.layout.published('performance')}"
    assert made.query(count) == [(1,)]


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "duckdb"])
@pytest.mark.parametrize(
    ("name", "said"),
    [("x" * 1_000_000, "is longer than"), ("nul\x00in", "holds the character NUL")],
    ids=["1 MB", "NUL"],
)
def test_a_name_that_an_engine_cannot_keep_is_refused_in_a_short_line(bare, name, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        reopened(bare, schema=name).prepare()
    assert len(str(caught.value)) < 200
