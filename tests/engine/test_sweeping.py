"""Old files of staging go, in folders and in stores, but for those that may still be needed."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import date
from pathlib import Path

import fsspec
import pytest

from airflow_provider_liftos.engine import objects, temporary
from airflow_provider_liftos.engine.checkpoint import FETCHED, Checkpoints
from airflow_provider_liftos.engine.manifest import File
from airflow_provider_liftos.engine.objects import StagingUnavailable
from airflow_provider_liftos.engine.staging import RawWriter, Staging
from airflow_provider_liftos.engine.sweeping import needed, sweep
from airflow_provider_liftos.model.report import Report, Slice, Window
from airflow_provider_liftos.state.store import StateStore
from tests.engine.shelf import ShelfFileSystem, away

OLD = 30 * 86_400.0
DAY = Window(since=date(2026, 11, 1), until=date(2026, 11, 1))


class Place:
    """A staging whose files can be aged."""

    def __init__(self, staging: Staging, root: Path) -> None:
        self.staging = staging
        self.root = root

    def load(self, load_id: str, *, age: float = OLD) -> list[str]:
        """What a run leaves: raw and staged files, manifests."""
        folder = self.staging.folder("raw", "meta", "1", "basic:ad", load_id, "print")
        writer = RawWriter(self.staging, folder)
        writer.write([b'{"a": 1}'])
        [raw] = writer.close()
        staged = self.staging.write_json(
            self.staging.folder("staged", "meta", "1", "basic:ad", load_id), {}
        )
        manifest = self.staging.write_json(
            self.staging.folder("manifests", "meta", load_id, "extract"), {}
        )
        names = [raw.path, staged, manifest]
        for name in names:
            self.age(name, age)
        return names

    def age(self, path: str, age: float) -> None:
        moment = time.time() - age
        os.utime(self.here(path), (moment, moment))

    def here(self, path: str) -> Path:
        return self.root / path.partition("://")[2] if "://" in path else Path(path)

    def left(self, names: list[str]) -> int:
        return sum(self.here(name).exists() for name in names)


@pytest.fixture(params=["folder", "store"])
def place(request, tmp_path):
    if request.param == "folder":
        return Place(Staging(str(tmp_path / "staging")), tmp_path)
    shelf = ShelfFileSystem(tmp_path / "shelf")
    return Place(Staging("shelf://bucket/liftos", shelf), tmp_path / "shelf")


def swept(place, keep=()):
    return sweep(place.staging, before=time.time() - OLD / 2, keep=keep)


def test_a_load_goes_when_all_of_its_files_are_old(place):
    old, young = place.load("old"), place.load("young", age=60)
    mixed = place.load("mixed")
    place.age(mixed[2], 60)  # the run went on later
    found = swept(place)
    assert (found.loads, found.files, found.undated) == (1, 3, 0)
    assert found.bytes > 0
    assert [place.left(names) for names in (old, young, mixed)] == [0, 3, 3]
    assert swept(place).files == 0


def test_what_a_checkpoint_names_stays(place, tmp_path):
    names = place.load("needed")
    store = StateStore(f"sqlite:///{tmp_path}/state.db")
    checkpoints = Checkpoints(store, "some-org", "dag/run/extract/0")
    cut = Slice(platform="meta", account_id="1", window=DAY, report=Report())
    [point] = checkpoints.add([cut])
    point.files = (File(path=names[0], rows=1, bytes=1, sha256=""),)
    point.state = FETCHED
    checkpoints.save(point)
    assert needed(store) == {"needed"}
    assert swept(place, needed(store)).files == 0
    checkpoints.consume()
    assert swept(place, needed(store)).files == 3


def test_files_that_are_not_ours_are_left_alone(place):
    theirs = place.staging.write_json(place.staging.folder("theirs", "a", "b", "c", "d", "e"), {})
    beside = place.staging.write_json(place.staging.folder("raw"), {})
    for name in (theirs, beside):
        place.age(name, OLD)
    assert swept(place).files == 0
    assert place.left([theirs, beside]) == 2


def test_a_kill_in_the_middle_takes_manifests_first_and_the_rest_the_next_time(place, monkeypatch):
    names = place.load("old")
    delete, done = Staging.delete, []

    class KilledError(BaseException):
        pass

    def killing(self, path, **kwargs):
        if done:
            raise KilledError
        done.append(path)
        delete(self, path, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Staging, "delete", killing)
        with pytest.raises(KilledError):
            swept(place)
    assert done[0].endswith(".json")
    assert place.left(names) == 2
    assert swept(place).files == 2


def test_empty_folders_of_a_load_go_with_it(tmp_path):
    place = Place(Staging(str(tmp_path / "staging")), tmp_path)
    place.load("old")
    swept(place)
    assert not list((tmp_path / "staging").rglob("old*"))
    assert (tmp_path / "staging" / "raw" / "meta" / "1").is_dir(), "that of a report may be in use"


def test_an_empty_place_is_fine(place):
    assert swept(place).files == 0


def test_links_are_not_followed(tmp_path):
    place = Place(Staging(str(tmp_path / "staging")), tmp_path)
    outside = tmp_path / "outside" / "a" / "b"
    outside.mkdir(parents=True)
    (outside / "precious").write_text("x")
    os.utime(outside / "precious", (0, 0))
    folder = tmp_path / "staging" / "raw" / "meta" / "1" / "basic_ad"
    folder.mkdir(parents=True)
    (folder / "old").symlink_to(tmp_path / "outside", target_is_directory=True)
    swept(place)
    assert (outside / "precious").exists()


def test_a_store_that_does_not_answer_is_said(tmp_path):
    shelf = ShelfFileSystem(tmp_path / "shelf")
    place = Place(Staging("shelf://bucket/liftos", shelf), tmp_path / "shelf")
    place.load("old")
    shelf.trouble = away("list")
    with pytest.raises(StagingUnavailable, match="cannot list"):
        swept(place)


def test_files_without_a_time_stay_and_are_counted(monkeypatch):
    fs = fsspec.filesystem("memory")
    staging = Staging("memory://bucket/liftos", fs)
    try:
        staging.write_json(staging.folder("manifests", "meta", "load", "extract"), {})
        assert sweep(staging, before=time.time() + 60, keep=()).files == 1
        staging.write_json(staging.folder("manifests", "meta", "load", "extract"), {})
        monkeypatch.setattr(objects, "_MODIFIED", ())
        found = sweep(staging, before=time.time() + 60, keep=())
        assert (found.files, found.undated) == (0, 1)
    finally:
        fs.store.clear()
        fs.pseudo_dirs[:] = [""]


def test_temporary_folders_of_killed_tasks_go(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary.temporary_folder() as name:
        (Path(name) / "copy").write_text("x")
        killed = tmp_path / (Path(name).name + "-killed")
        killed.mkdir()
        (killed / "copy").write_text("x")
        alone = tmp_path / (Path(name).name + "-file")
        alone.write_text("x")
        theirs = tmp_path / "liftos-of-somebody"
        theirs.mkdir()
        for path in (killed / "copy", killed, alone, theirs):
            os.utime(path, (1, 1))
        assert temporary.clear_temporary(time.time() - 60) == 2
        assert not killed.exists()
        assert not alone.exists()
        assert theirs.exists()
        assert (Path(name) / "copy").exists(), "that of a living task"


def test_each_process_tidies_up_once(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary, "_TIDIED", set())
    left = tmp_path / "liftos-staging-killed"
    left.write_text("x")
    os.utime(left, (1, 1))
    with temporary.temporary_folder():
        assert not left.exists()
