"""Records on a terminal, as JSON, or as a CSV file that a spreadsheet may open."""

from __future__ import annotations

import csv
import getpass
import json
import socket
import time
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def moment(epoch: float | None) -> str:
    """What a person reads, in UTC."""
    return "" if epoch is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(epoch))


def as_json(records: Sequence[Mapping[str, Any]]) -> None:
    """Print records as a JSON list."""
    print(json.dumps(list(records), ensure_ascii=False, indent=2))


def as_table(records: Sequence[Mapping[str, Any]]) -> None:
    """Print records below their names, as wide as they are; the last column is left open."""
    if not records:
        return
    names = list(records[0])
    rows = [names, *([str(record[name]) for name in names] for record in records)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(names) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]).rstrip())


def as_csv(records: Sequence[Mapping[str, Any]], names: Sequence[str], file: TextIO) -> None:
    """Write records with a line of names above.

    A cell that a spreadsheet would take for a formula gets an apostrophe in front: what vendors
    and advertisers write must not run on somebody's machine.
    """
    writer = csv.writer(file)
    writer.writerow(names)
    for record in records:
        writer.writerow([_harmless(record.get(name)) for name in names])


def _harmless(value: object) -> str:
    text = "" if value is None else str(value)
    is_number = isinstance(value, int | float)
    seen = unicodedata.normalize("NFKC", text)  # full-width signs begin formulas, too
    starts = seen.startswith(_FORMULA) or seen.lstrip().startswith(_FORMULA)
    return f"'{text}" if starts and not is_number else text


def actor() -> str:
    """Who runs this command, for the audit log."""
    return getpass.getuser()


def host() -> str:
    """From where."""
    return socket.gethostname()
