"""A store that is no local disk as far as anybody can tell, and that fails on demand.

Its files lie in a folder of this host, so that several processes share it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem


class AwayError(Exception):
    """What a store's client raises: no OSError, as with most of them."""


class ShelfFileSystem(AbstractFileSystem):
    """``trouble`` is called with ``get``, ``open``, ``put`` or ``list`` and the name before each request."""

    protocol = "shelf"
    cachable = False

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(**options)
        self._folder = folder
        self.trouble: Callable[[str, str], None] = lambda _verb, _name: None
        self.lost = 0
        self.requests: list[tuple[str, str]] = []

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        place = self._place(path)
        kind = "directory" if place.is_dir() else "file"
        status = place.stat()
        return {"name": path, "size": status.st_size, "type": kind, "mtime": status.st_mtime}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        self._ask("list", path)
        place = self._place(path)
        base = str(self._strip_protocol(path)).rstrip("/")
        if not place.is_dir():
            raise FileNotFoundError(path)
        found = [self.info(f"{base}/{one.name}") for one in sorted(place.iterdir())]
        return found if detail else [one["name"] for one in found]

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._place(path).mkdir(parents=True, exist_ok=exist_ok)

    def get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        self._ask("get", rpath)
        Path(lpath).write_bytes(self._place(rpath).read_bytes())

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        place = self._place(path)
        self._ask("put", path)
        place.write_bytes(value[: len(value) - self.lost])

    def rm_file(self, path: str) -> None:
        self._place(path).unlink()

    def place(self, path: str) -> Path:
        """Where an object lies."""
        return self._place(path)

    def names(self, suffix: str = "") -> list[str]:
        """Files it holds, below the folder."""
        found = self._folder.rglob(f"*{suffix}")
        return sorted(str(path.relative_to(self._folder)) for path in found if path.is_file())

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        assert mode == "rb", "large files are sent whole, not written piece by piece"
        self._ask("open", path)
        return self._place(path).open("rb")

    def _place(self, path: str) -> Path:
        return self._folder / str(self._strip_protocol(path)).lstrip("/")

    def _ask(self, verb: str, path: str) -> None:
        self.requests.append((verb, path))
        self.trouble(verb, path)


def away(*verbs: str, after: int = 0) -> Callable[[str, str], None]:
    """Trouble: the store stops answering such requests, after some that it still answers."""
    left = [after]

    def trouble(verb: str, name: str) -> None:
        if verb in verbs:
            left[0] -= 1
            if left[0] < 0:
                raise AwayError(f"no answer: https://store/{name}?X-Signature=topsecret\nand more")

    return trouble
