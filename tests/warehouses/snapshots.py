"""Statements that are written down beside the tests, and compared word by word."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

REWRITE = "LIFTOS_REWRITE_SNAPSHOTS"
"""Set to 1, what is found takes the place of what is written down; read the difference then."""


def check_snapshot(path: Path, found: str) -> None:
    """Compare; a file that is missing is a failure, and is never made by itself.

    Raises:
        AssertionError: it is not what is written down, or nothing is.
    """
    if os.environ.get(REWRITE) == "1":
        path.write_text(found, encoding="utf-8")
        return
    how = f"if it is meant, set {REWRITE}=1, run this once, and read what has changed"
    if not path.exists():
        raise AssertionError(f"{path.name} is missing; {how}")
    written = path.read_text(encoding="utf-8")
    if found != written:
        lines = difflib.unified_diff(
            written.splitlines(), found.splitlines(), path.name, "found", n=0, lineterm=""
        )
        raise AssertionError("\n".join([f"{path.name} differs; {how}", *lines]))
