"""Staging in S3, by Airflow's own ``ObjectStoragePath``, s3fs and a server on loopback."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_liftos.engine.manifest import File
from airflow_provider_liftos.engine.objects import StagingDenied, StagingUnavailable
from airflow_provider_liftos.engine.staging import RawWriter, Staging
from airflow_provider_liftos.engine.sweeping import sweep
from airflow_provider_liftos.model.errors import ConfigurationError, StagingError
from airflow_provider_liftos.model.report import Level
from tests import s3
from tests.engine.harness import Harness, basic, last
from tests.ports import free_port
from tests.s3 import Key, Lake

DAY = 86_400.0


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3.serving() as url:
        yield url


@pytest.fixture
def lake(server: str) -> Iterator[Lake]:
    with s3.lake(server) as made:
        yield made


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this host."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def written(staging: Staging, load: str = "load1") -> File:
    writer = RawWriter(staging, staging.folder("raw", "meta", "123", "ads", load, "0f"))
    writer.write([b'{"a": 1}'] * 1000)
    [file] = writer.close()
    return file


def test_a_day_goes_through_s3_and_is_true(harness: Harness, lake: Lake, temporary: Path) -> None:
    harness.staging = lake.staging()
    cuts = harness.slices([basic(Level.CAMPAIGN)], last(2), streams=["campaigns"], accounts=(0, 1))
    done = harness.run_to_end(cuts)
    assert harness.published_equals_truth()
    named = {file.path for cut in done.slices for file in (*cut.raw, *cut.staged)}
    assert named
    assert set(lake.names()) == named
    assert list(temporary.iterdir()) == []


def test_what_is_written_is_read_and_compared(lake: Lake, temporary: Path) -> None:
    staging = lake.staging()
    file = written(staging)
    assert lake.names() == [file.path]
    assert len(lake.get(file.path)) == file.bytes
    staging.verify([file])
    with staging.local([file]) as [copy]:
        assert Path(copy.path).read_bytes() == lake.get(file.path)
    assert list(temporary.iterdir()) == []
    path = staging.write_json(staging.folder("manifests", "meta"), {"money": "1.10"})
    assert staging.read_json(path) == {"money": "1.10"}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lake, path: lake.put(path, _flipped(lake.get(path))), "its checksum differs"),
        (lambda lake, path: lake.put(path, lake.get(path)[:-1]), "its manifest says"),
        (lambda lake, path: lake.lose(path), "FileNotFoundError"),
    ],
    ids=["flipped", "cut", "vanished"],
)
def test_what_is_not_as_it_was_written_is_one_line(lake: Lake, damage, said: str) -> None:
    staging = lake.staging()
    file = written(staging)
    damage(lake, file.path)
    assert not staging.intact([file])
    with pytest.raises(StagingError, match=said) as caught, staging.local([file]):
        pass
    assert not isinstance(caught.value, StagingUnavailable)
    assert file.path in str(caught.value)
    assert "Clear the extract task" in str(caught.value)


def _flipped(content: bytes) -> bytes:
    half = len(content) // 2
    return content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]


def test_a_manifest_that_vanished_is_no_fault_of_the_store(lake: Lake) -> None:
    staging = lake.staging()
    path = staging.write_json(staging.folder("manifests"), {})
    lake.lose(path)
    with pytest.raises(StagingError, match="Clear the task that wrote it") as caught:
        staging.read_json(path)
    assert not isinstance(caught.value, StagingUnavailable)


def test_what_the_bucket_has_lost_is_fetched_again(harness: Harness, lake: Lake) -> None:
    harness.staging = lake.staging()
    cuts = harness.slices([basic(Level.CAMPAIGN)], last(1))
    [cut] = harness.extract(cuts).slices
    lake.lose(cut.raw[0].path)
    harness.run_to_end(cuts)
    assert harness.published_equals_truth()


def test_lists_tell_what_others_have_done_meanwhile(lake: Lake) -> None:
    staging = lake.staging()
    first = staging.write_json(staging.folder("manifests"), {})
    assert [file.path for file in staging.found("manifests")] == [first]
    second = first.replace(".json", "-of-another-host.json")
    lake.put(second, b"{}")
    assert {file.path for file in staging.found("manifests")} == {first, second}
    lake.lose(first)
    assert [(file.path, file.bytes) for file in staging.found("manifests")] == [(second, 2)]


def test_old_loads_are_swept_and_nothing_else(lake: Lake) -> None:
    staging = lake.staging()
    old, kept = written(staging, "load1"), written(staging, "load2")
    foreign = [f"s3://{lake.bucket}/{name}" for name in ("liftos/other", "liftos/staging/mine")]
    for path in foreign:
        lake.put(path, b"x")
    assert sweep(staging, before=time.time() - DAY, keep=()).files == 0
    swept = sweep(staging, before=time.time() + DAY, keep={"load2"})
    assert (swept.loads, swept.files, swept.bytes, swept.undated) == (1, 1, old.bytes, 0)
    assert set(lake.names()) == {kept.path, *foreign}


def test_a_bucket_that_is_not_there_is_one_line_and_is_not_made(lake: Lake) -> None:
    staging = lake.staging(bucket="no-such-bucket")
    with pytest.raises(StagingUnavailable, match=r"cannot write .*bucket does not exist"):
        staging.write_json(staging.folder("manifests"), {})
    with pytest.raises(StagingUnavailable, match=r"cannot write .*bucket does not exist"):
        written(staging)
    assert "no-such-bucket" not in [one["Name"] for one in lake.client.list_buckets()["Buckets"]]


@pytest.mark.parametrize("who", ["nobody knows", "wrong secret"])
def test_a_key_that_is_refused_ends_the_task_and_is_not_told(lake: Lake, who: str) -> None:
    path = lake.staging().write_json(f"s3://{lake.bucket}/liftos/staging/manifests", {})
    known = lake.user("s3:*")
    name = known.name if who == "wrong secret" else "AKIANOBODYKNOWSTHIS"
    key = Key(name, "tell-this-to-nobody")
    staging = lake.staging(key)
    asked = {
        "write": lambda: staging.write_json(staging.folder("manifests"), {}),
        "read": lambda: staging.read_json(path),
        "list": lambda: list(staging.found("manifests")),
        "remove": lambda: staging.delete(path, up_to="manifests"),
    }
    for verb, ask in asked.items():
        with s3.strict(), pytest.raises(StagingDenied, match=f"let us {verb} s3://") as caught:
            ask()
        assert isinstance(caught.value, ConfigurationError)
        line = str(caught.value)
        assert key.secret not in line
        assert key.name not in line
        assert "\n" not in line
    assert lake.names() == [path]


def test_a_key_that_may_only_read_can_read(lake: Lake) -> None:
    file = written(lake.staging())
    staging = lake.staging(lake.user("s3:GetObject", "s3:ListBucket"))
    with s3.strict():
        staging.verify([file])
        with pytest.raises(StagingDenied, match=r"let us write .*Access Denied.*list, read, write"):
            staging.write_json(staging.folder("manifests"), {})
        with pytest.raises(StagingDenied, match="let us remove"):
            staging.delete(file.path, up_to="load1")
    assert lake.names() == [file.path]


def test_a_key_of_one_folder_is_all_that_staging_needs(harness: Harness, lake: Lake) -> None:
    """The four rights that the README names, and no other."""
    key = lake.user("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject")
    harness.staging = lake.staging(key)
    with s3.strict():
        harness.run_to_end(harness.slices([basic(Level.CAMPAIGN)], last(1)))
        sweep(harness.staging, before=time.time() + DAY, keep=())
    assert harness.published_equals_truth()
    assert lake.names() == []


def test_a_server_that_is_not_there_is_tried_again_later(lake: Lake) -> None:
    staging = lake.staging(url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StagingUnavailable, match="starts again where it stopped") as caught:
        staging.write_json(staging.folder("manifests"), {})
    assert not isinstance(caught.value, ConfigurationError)
