"""Staging that is no folder of this host: the same rows, copies that go away, clear errors."""

from __future__ import annotations

import errno
import io
import multiprocessing
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from airflow_provider_liftos.engine.manifest import Manifest
from airflow_provider_liftos.engine.normalize import Normalizer
from airflow_provider_liftos.engine.objects import StagingUnavailable
from airflow_provider_liftos.engine.staging import RawWriter, Staging
from airflow_provider_liftos.model.errors import ConfigurationError, StagingError
from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.quality.audit import audit
from airflow_provider_liftos.quality.findings import Status, Verdict
from tests.engine.harness import META, Harness, basic, last
from tests.engine.shelf import ShelfFileSystem, away


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this host."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def shelf(tmp_path: Path) -> ShelfFileSystem:
    return ShelfFileSystem(tmp_path / "shelf")


@pytest.fixture
def staging(shelf: ShelfFileSystem) -> Staging:
    return Staging("shelf://bucket/liftos", shelf)


@pytest.fixture
def stored(harness: Harness, staging: Staging) -> Harness:
    harness.staging = staging
    return harness


@pytest.fixture
def memory() -> Iterator[Staging]:
    fs = fsspec.filesystem("memory")
    yield Staging("memory://bucket/liftos", fs)
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def write(staging: Staging, rows: int = 3) -> RawWriter:
    writer = RawWriter(staging, staging.folder("raw"))
    writer.write([b'{"a": 1}'] * rows)
    return writer


# -- all goes well ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["staging", "memory"])
def test_a_day_goes_through_a_store_and_is_true(
    harness: Harness, request: pytest.FixtureRequest, temporary: Path, kind: str
) -> None:
    harness.staging = request.getfixturevalue(kind)
    cuts = harness.slices([basic(), basic(Level.CAMPAIGN)], streams=["campaigns"], accounts=(0, 1))
    done = harness.run_to_end(cuts)
    assert harness.published_equals_truth()
    paths = [file.path for cut in done.slices for file in (*cut.raw, *cut.staged)]
    assert paths
    assert all("://bucket/liftos/" in path for path in paths)
    assert list(temporary.iterdir()) == []


def test_a_store_and_a_folder_give_the_same_rows(harness: Harness, staging: Staging) -> None:
    cuts = harness.slices([basic()])
    harness.run_to_end(cuts)
    before = harness.checksum()
    extracted = harness.extract(cuts)  # again into the folder, as nothing was consumed
    copied = replace(extracted, slices=tuple(
        replace(cut, raw=staging.keep(Staging(str(harness.folder / "staging")), cut.raw))
        for cut in extracted.slices
    ))  # fmt: skip
    harness.staging = staging
    harness.publish(copied)
    assert harness.checksum() == before


def test_a_store_holds_nothing_but_what_manifests_name(
    stored: Harness, shelf: ShelfFileSystem
) -> None:
    stored.sandbox.faults.add(kind="duplicate_page", platform="meta", times=1)
    stored.how = replace(stored.how, page_size=20)
    done = stored.run_to_end(stored.slices([basic()], slice_days=2))
    assert sum(cut.duplicates for cut in done.slices) > 0
    named = {file.path for cut in done.slices for file in (*cut.raw, *cut.staged)}
    assert {f"shelf://{name}" for name in shelf.names()} == named


def test_the_disk_holds_copies_of_one_slice_at_a_time(
    stored: Harness, shelf: ShelfFileSystem, temporary: Path
) -> None:
    most = 0

    def look(verb: str, _name: str) -> None:
        nonlocal most
        most = max(most, len(list(temporary.glob("*/*.zst"))) + (verb == "get"))

    manifest = stored.extract(stored.slices([basic()], slice_days=1))
    assert [len(cut.raw) for cut in manifest.slices] == [1] * 4
    shelf.trouble = look
    stored.normalize(manifest)
    assert most == 1


def test_rows_that_are_no_rows_are_sifted_on_this_host(
    stored: Harness, shelf: ShelfFileSystem, staging: Staging
) -> None:
    [cut] = (found := stored.extract(stored.slices([basic()]))).slices
    writer = RawWriter(staging, staging.folder("raw"))
    writer.write([b'"no row"'])
    done = stored.normalize(found.with_slices([replace(cut, raw=(*cut.raw, *writer.close()))]))
    assert [reason for reason, _ in stored.rejected] == ["not an object"]
    assert done.slices[0].staged_rows == cut.raw_rows
    assert [name for name in shelf.names() if "sifted" in name] == []


def test_processes_share_a_store_and_never_a_copy(
    stored: Harness, shelf: ShelfFileSystem, temporary: Path
) -> None:
    manifest = stored.extract(stored.slices([basic()], accounts=(0, 1)))
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        work = [(shelf.place(""), str(temporary), manifest.to_json())] * 4
        found = [Manifest.from_json(each) for each in pool.starmap(_normalized, work)]
    paths = [file.path for each in found for cut in each.slices for file in cut.staged]
    assert len(set(paths)) == len(paths) == 4 * 2
    assert len({each.rows for each in found}) == 1
    assert stored.warehouse.load(found[0], staging=stored.staging) == found[0].rows > 0
    assert list(temporary.iterdir()) == []


def _normalized(folder: Path, temporary: str, manifest: dict) -> dict:
    tempfile.tempdir = temporary
    staging = Staging("shelf://bucket/liftos", ShelfFileSystem(folder))
    work = Normalizer(platform=META, staging=staging, reject=lambda *_: None, options={})
    return work.normalize(Manifest.from_json(manifest)).to_json()


def test_what_is_written_is_there_whole_or_not_at_all(
    shelf: ShelfFileSystem, staging: Staging, temporary: Path
) -> None:
    writer = write(staging)
    assert shelf.names() == []
    [file] = writer.close()
    staging.verify([file])
    abandoned = write(staging)
    del abandoned
    assert shelf.names() == [file.path.removeprefix("shelf://")]
    assert list(temporary.iterdir()) == []


def test_what_a_writer_discards_is_gone_from_the_store(
    shelf: ShelfFileSystem, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_liftos.engine.staging.ROLL_BYTES", 10)
    writer = write(staging)
    assert len(shelf.names()) == 1
    writer.discard()
    assert shelf.names() == []


def test_a_store_with_folders_has_them_made(shelf: ShelfFileSystem, staging: Staging) -> None:
    path = staging.write_json(staging.folder("manifests", "new"), {"a": 1})
    assert staging.read_json(path) == {"a": 1}
    assert shelf.names() == [path.removeprefix("shelf://")]


def test_a_bucket_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    shelf = ShelfFileSystem(tmp_path / "none")
    with pytest.raises(StagingUnavailable, match=r"cannot write s3://typo/f/.*FileNotFoundError"):
        Staging("s3://typo", shelf).write_json("s3://typo/f", {})
    assert not (tmp_path / "none").exists()


# -- and when something goes wrong ------------------------------------------------------------------


def test_a_store_lost_amid_fetching_stops_the_task_and_the_next_try_goes_on(
    stored: Harness, shelf: ShelfFileSystem, temporary: Path
) -> None:
    cuts = stored.slices([basic()], slice_days=1)
    shelf.trouble = away("put", after=2)
    with pytest.raises(StagingUnavailable) as caught:
        stored.extract(cuts)
    line = str(caught.value)
    assert "the staging store cannot write shelf://bucket/liftos/raw/" in line
    assert "AwayError: no answer: https://store/shelf://bucket" in line
    assert "starts again where it stopped" in line
    assert "\n" not in line
    assert "topsecret" not in line
    shelf.trouble = lambda _verb, _name: None
    stored.run_to_end(cuts)
    assert stored.published_equals_truth()
    assert len(stored.submissions()) == 4
    assert list(temporary.iterdir()) == []


class ForbiddenError(Exception):
    """As clients of Google and Azure tell it: by a number."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.code = 403


@pytest.mark.parametrize(
    ("error", "denied"),
    [
        (PermissionError("Access Denied"), True),  # as s3fs tells it
        (OSError(errno.EROFS, "Read-only file system"), True),
        (ForbiddenError("storage.objects.create access to https://store/x?X-Signature=top"), True),
        (PermissionError("The provided token has expired."), False),
        (ConnectionError("reset"), False),
    ],
)
def test_a_store_for_reading_only_ends_the_task_and_says_what_it_lacks(
    stored: Harness, shelf: ShelfFileSystem, error: Exception, denied: bool
) -> None:
    def refusing(verb: str, _name: str) -> None:
        if verb == "put":
            raise error

    shelf.trouble = refusing
    with pytest.raises(StagingUnavailable) as caught:
        stored.extract(stored.slices([basic()], slice_days=1))
    assert isinstance(caught.value, ConfigurationError) is denied
    line = str(caught.value)
    assert "shelf://bucket/liftos/raw/" in line
    assert ("list, read, write and delete" in line) is denied
    assert ("starts again" in line) is not denied
    assert "X-Signature" not in line
    assert "\n" not in line
    shelf.trouble = lambda _verb, _name: None
    stored.run_to_end(stored.slices([basic()], slice_days=1))
    assert stored.published_equals_truth()


def test_a_store_that_keeps_less_than_it_was_given_is_found_out_at_once(
    shelf: ShelfFileSystem, staging: Staging
) -> None:
    shelf.lost = 1
    with pytest.raises(StagingUnavailable, match=r"it kept \d+ of \d+ bytes"):
        write(staging).close()


def test_nothing_is_fetched_again_because_the_store_does_not_answer(
    stored: Harness, shelf: ShelfFileSystem
) -> None:
    cuts = stored.slices([basic()])
    stored.extract(cuts)
    stored.sandbox.journal.clear()
    shelf.trouble = away("open", "get")
    with pytest.raises(StagingUnavailable):
        stored.extract(cuts)
    assert stored.journal() == []
    assert {point.state for point in stored.points()} == {"fetched"}


def test_what_the_store_has_lost_is_fetched_again(stored: Harness, shelf: ShelfFileSystem) -> None:
    cuts = stored.slices([basic()])
    [cut] = stored.extract(cuts).slices
    shelf.place(cut.raw[0].path).unlink()
    stored.run_to_end(cuts)
    assert stored.published_equals_truth()
    assert len(stored.submissions()) == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "lose"])
@pytest.mark.parametrize("step", ["normalize", "load"])
def test_damage_in_the_store_is_one_line_and_changes_nothing(
    stored: Harness, shelf: ShelfFileSystem, temporary: Path, step: str, damage: str
) -> None:
    stored.run_to_end(stored.slices([basic()], last(1)))
    before = stored.checksum()
    manifest = stored.extract(stored.slices([basic()], last(1), accounts=(1, 2)), load_id="load2")
    if step == "load":
        manifest = stored.normalize(manifest)
    files = manifest.slices[-1].raw if step == "normalize" else manifest.slices[-1].staged
    _damage(shelf.place(files[0].path), damage)
    work = {
        "normalize": lambda: stored.normalize(manifest),
        "load": lambda: stored.warehouse.load(manifest, staging=stored.staging),
    }
    with pytest.raises(StagingError, match=r"checksum differs|manifest says|NotFound") as caught:
        work[step]()
    assert files[0].path in str(caught.value)
    assert "Clear" in str(caught.value)
    assert stored.checksum() == before
    assert stored.warehouse.query("SELECT count(*) FROM liftos_audit.performance") == [(0,)]
    assert list(temporary.iterdir()) == []


def _damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if how == "lose":
        path.unlink()
    else:
        path.write_bytes(content if how == "flip" else content[:-1])


def test_a_store_lost_amid_loading_leaves_what_people_see(
    stored: Harness, shelf: ShelfFileSystem
) -> None:
    stored.run_to_end(stored.slices([basic()], last(2)))
    before = stored.checksum()
    done = stored.normalize(stored.extract(stored.slices([basic()], slice_days=1), load_id="2"))
    shelf.trouble = away("get", after=len(done.slices) + 1)  # all are sound, then one is loaded
    with pytest.raises(StagingUnavailable, match="the staging store cannot read"):
        stored.warehouse.load(done, staging=stored.staging)
    assert stored.checksum() == before
    shelf.trouble = lambda _verb, _name: None
    assert stored.warehouse.load(done, staging=stored.staging) == done.rows


def test_a_full_disk_amid_writing_is_one_line(
    staging: Staging, shelf: ShelfFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        name = "/tmp/liftos-full"

        def write(self, block) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        "airflow_provider_liftos.engine.temporary.NamedTemporaryFile", lambda **_: Full()
    )
    with pytest.raises(StagingError, match=r"no room .*No space left.*/tmp/liftos-full.*TMPDIR"):
        write(staging, rows=100_000).close()
    assert shelf.names() == []


def test_a_full_disk_amid_copying_is_one_line(stored: Harness, shelf: ShelfFileSystem) -> None:
    done = stored.normalize(stored.extract(stored.slices([basic()], last(1))))

    def full(verb: str, _name: str) -> None:
        if verb == "get":
            raise OSError(errno.ENOSPC, "No space left on device")

    shelf.trouble = full
    before = stored.checksum()
    with pytest.raises(StagingError, match=r"no room .*No space left.*TMPDIR"):
        stored.warehouse.load(done, staging=stored.staging)
    assert stored.checksum() == before


def test_a_temporary_folder_that_is_not_there_is_one_line(
    staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(StagingError, match=r"no room .*No such file or directory.*/nowhere"):
        write(staging)
    with pytest.raises(StagingError, match="no room"), staging.local([]):
        pass


def test_a_manifest_is_missing_or_the_store_is_away(
    shelf: ShelfFileSystem, staging: Staging
) -> None:
    with pytest.raises(StagingError, match="Clear the task that wrote it"):
        staging.read_json("shelf://bucket/liftos/none.json")
    shelf.trouble = away("open")
    with pytest.raises(StagingUnavailable, match=r"cannot read shelf://bucket/liftos/none.json"):
        staging.read_json("shelf://bucket/liftos/none.json")


def test_files_of_a_store_are_out_of_reach_of_a_local_staging(tmp_path: Path) -> None:
    [file] = write(Staging(str(tmp_path))).close()
    elsewhere = replace(file, path="s3://bucket/a.zst")
    with pytest.raises(ConfigurationError, match="lies in a store"):
        Staging(str(tmp_path)).verify([elsewhere])


# -- the audit --------------------------------------------------------------------------------------


@pytest.fixture
def loaded(stored: Harness) -> tuple[Harness, Manifest]:
    done = stored.normalize(stored.extract(stored.slices([basic()], last(2), accounts=(0, 1))))
    stored.warehouse.load(done, staging=stored.staging)
    return stored, done


def blocked(harness: Harness, manifest: Manifest) -> tuple[list[bool], set[str]]:
    outcome = audit(
        manifest, warehouse=harness.warehouse, staging=harness.staging, today=last(1).until,
        expected_accounts=[cut.slice.account_id for cut in manifest.slices],
    )  # fmt: skip
    unsure = {f.account_id for f in outcome.findings if f.status is Status.NOT_EVALUATED}
    return [decision.verdict is Verdict.QUARANTINE for decision in outcome.decisions], unsure


def test_rows_in_a_store_are_judged(loaded: tuple[Harness, Manifest], temporary: Path) -> None:
    assert blocked(*loaded) == ([False, False], set())
    assert list(temporary.iterdir()) == []


def test_damage_after_loading_blocks_that_slice_alone(
    loaded: tuple[Harness, Manifest], shelf: ShelfFileSystem
) -> None:
    harness, manifest = loaded
    _damage(shelf.place(manifest.slices[0].staged[0].path), "flip")
    found, unsure = blocked(harness, manifest)
    assert found == [True, False]
    assert unsure == {manifest.slices[0].slice.account_id}


def test_nothing_is_decided_while_the_store_does_not_answer(
    loaded: tuple[Harness, Manifest], shelf: ShelfFileSystem
) -> None:
    shelf.trouble = away("get")
    with pytest.raises(StagingUnavailable):
        blocked(*loaded)
