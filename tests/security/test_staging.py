"""What comes from platforms, connections and other tasks names no file but our own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.engine.manifest import File, Manifest
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.errors import ConfigurationError, StagingError
from airflow_provider_liftos.operators.campaign_report import write
from tests.engine.harness import basic, last
from tests.platforms.conftest import Make

HOSTILE = (
    "../../../etc/cron.d/x", "..", ".", "", "/etc/passwd", "a/../../b", "..\\..\\x", "a\x00b",
    "C:\\x", "~root", "$HOME", "`id`", "x;rm -rf .", "file:///etc/passwd", "s3://other/x",
    "*", "%2e%2e%2f", "．．／x", "a\nb", "-rf",  # noqa: RUF001
)  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_a_folder_is_below_its_root_whatever_it_is_named_after(tmp_path: Path, part: str) -> None:
    root = tmp_path / "staging"
    folder = Path(Staging(str(root)).folder("raw", part, part, "load"))
    assert folder.resolve().is_relative_to(root / "raw")
    assert len(folder.relative_to(root).parts) == 4
    Staging(str(root)).create(f"{folder}/x").close()


@pytest.mark.parametrize("part", HOSTILE)
def test_accounts_reports_and_loads_of_such_names_stay_below_staging(
    make: Make, part: str, tmp_path: Path
) -> None:
    harness = make("meta")
    harness.accounts[0] = replace(harness.accounts[0], name=part)
    if "\x00" in part:
        with pytest.raises(ConfigurationError, match="the report's name is"):
            replace(basic(), name=part)
        part = "without"
    cuts = harness.slices([replace(basic(), name=part or "empty")], last(1))
    outside = sorted(p for p in tmp_path.rglob("*") if "staging" not in p.parts)
    done = harness.normalize(harness.extract(cuts, load_id=part or "empty"))
    [cut] = done.slices
    root = tmp_path / "staging"
    assert cut.rows > 0
    for file in (*cut.raw, *cut.staged):
        assert Path(file.path).resolve().is_relative_to(root)
    fresh = {p for p in tmp_path.rglob("*") if root not in (p, *p.parents)} - set(outside)
    assert {p.name for p in fresh} <= {"state.db", "state.db-wal", "state.db-shm"}


def manifest(make: Make) -> tuple[Any, Manifest]:
    harness = make("meta")
    return harness, harness.extract(harness.slices([basic()], last(1)))


@pytest.mark.parametrize("path", [
    "/etc/passwd", "{folder}/secret", "{folder}/staging/../secret", "file://{folder}/secret",
    "{folder}/staging-of-another/secret", "", "staging",
])  # fmt: skip
def test_a_manifest_that_names_a_foreign_file_is_refused(
    make: Make, path: str, tmp_path: Path
) -> None:
    harness, whole = manifest(make)
    secret = tmp_path / "secret"
    secret.write_text('{"password": "hunter2"}\n')
    other = tmp_path / "staging-of-another"
    other.mkdir()
    (other / "secret").write_text("{}")
    named = path.format(folder=tmp_path)
    real = named.removeprefix("file://")
    known = Staging("").describe(real, 1) if Path(real).is_file() else File(
        path=named, rows=1, bytes=1, sha256=""
    )  # fmt: skip
    false = replace(known, path=named)
    bad = whole.with_slices([replace(whole.slices[0], raw=(false,))])
    with pytest.raises(StagingError, match="is not below the staging folder") as caught:
        harness.normalize(bad)
    assert "hunter2" not in str(caught.value)
    done = harness.normalize(whole)
    bad = done.with_slices([replace(done.slices[0], staged=(false,))])
    with pytest.raises(StagingError, match="is not below the staging folder"):
        harness.warehouse.load(bad, staging=harness.staging)
    with pytest.raises(StagingError, match="is not below the staging folder"):
        harness.staging.read_json(named)


def test_a_manifest_whose_numbers_were_changed_is_refused(make: Make) -> None:
    harness, whole = manifest(make)
    [file] = whole.slices[0].raw
    for changed in (
        replace(file, bytes=file.bytes + 1),
        replace(file, sha256="0" * 64),
        replace(file, path=file.path + ".other"),
    ):
        bad = whole.with_slices([replace(whole.slices[0], raw=(changed,))])
        with pytest.raises(StagingError, match="cannot be used"):
            harness.normalize(bad)
    done = harness.normalize(whole)
    [staged] = done.slices[0].staged
    for more in (replace(staged, rows=staged.rows + 1), replace(staged, sha256="0" * 64)):
        bad = done.with_slices([replace(done.slices[0], staged=(more,))])
        with pytest.raises(StagingError):
            harness.warehouse.load(bad, staging=harness.staging)
    for stranger in ("load2", "'; DROP TABLE liftos.performance; --"):
        with pytest.raises(StagingError, match="belong to another load"):
            harness.warehouse.load(replace(done, load_id=stranger), staging=harness.staging)


def test_a_manifest_that_is_none_is_one_line(tmp_path: Path) -> None:
    staging = Staging(str(tmp_path))
    for number, content in enumerate((b"", b"[", b"\xff\xfe", b"[" * 100_000)):
        path = f"{tmp_path}/{number}.json"
        Path(path).write_bytes(content)
        with pytest.raises(StagingError, match="cannot be read") as caught:
            staging.read_json(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", HOSTILE)
def test_a_campaign_report_is_written_into_its_folder(tmp_path: Path, part: str) -> None:
    folder = tmp_path / "reports"
    dates = {"start": "2026-11-01", "end": "2026-11-02"}
    meta = {"platform": "meta", "account_id": part, "date_range": dates}
    path = Path(write(str(folder), {"metadata": meta}))
    assert path.resolve().parent == folder
    assert json.loads(path.read_text())["metadata"]["account_id"] == part
    assert [p for p in tmp_path.iterdir() if p != folder] == []
