"""``airflow liftos scaffold``: the shipped DAG files into a cluster's own DAG folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import resources
from importlib.abc import Traversable
from pathlib import Path
from typing import Any

import airflow_provider_liftos


def scaffold(args: Any) -> None:
    """Copy what is missing; files that differ are left alone unless ``--force``."""
    target = Path(args.folder)
    kept = 0
    for source, relative in _shipped():
        path = target / relative
        content = source.read_bytes()
        if path.exists() and path.read_bytes() == content:
            print(f"unchanged {path}")
            continue
        if path.exists() and not args.force:
            kept += 1
            print(f"kept      {path} (yours differs; --force overwrites it)")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"written   {path}")
    if kept:
        sys.exit(1)


def _shipped() -> Iterator[tuple[Traversable, Path]]:
    """Files of ``dags/`` and ``include/``: in the wheel, or beside the package in a checkout."""
    packed = resources.files(airflow_provider_liftos) / "resources"
    root = packed if packed.is_dir() else Path(airflow_provider_liftos.__file__).parents[1]
    for file, relative in _walk(root / "dags", Path()):
        if relative.suffix == ".py":
            yield file, relative
    for file, relative in _walk(root / "include", Path("include")):
        yield file, relative


def _walk(folder: Traversable, relative: Path) -> Iterator[tuple[Traversable, Path]]:
    if not folder.is_dir():
        return
    for child in sorted(folder.iterdir(), key=lambda c: c.name):
        if child.name == "__pycache__" or child.name.startswith("."):
            continue
        if child.is_dir():
            yield from _walk(child, relative / child.name)
        else:
            yield child, relative / child.name
