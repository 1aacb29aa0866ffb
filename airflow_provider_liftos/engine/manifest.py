"""What travels between tasks instead of rows: which files hold what, and how it went.

A manifest is written last, after every file it names; files nobody's manifest names do not exist
for anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from airflow_provider_liftos.model.report import Account, Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A staged file; ``sha256`` is over its bytes."""

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceResult:
    """How one planned slice ended.

    ``status`` is ``complete`` or ``failed``. ``as_of`` is the moment (epoch seconds) at which its
    report, or the first page of its rows, was asked for: no row is older. ``raw`` are NDJSON files
    as received, ``staged`` are Parquet files in the unified schema (after normalize). ``dropped``
    are fields the platform no longer gives. ``rejected`` and ``duplicates`` count rows that
    normalize kept out, ``unreadable`` values that are not what their column holds. ``normalized``
    says that staged files are all there are, also if none.
    """

    slice: Slice
    status: str
    as_of: float
    account: Account
    raw: tuple[File, ...] = ()
    staged: tuple[File, ...] = ()
    report_ids: tuple[str, ...] = ()
    merge: bool = False
    dropped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""
    rejected: int = 0
    duplicates: int = 0
    unreadable: int = 0
    normalized: bool = False

    @property
    def table(self) -> str:
        """``performance`` for reports; streams say theirs in normalize."""
        return "performance" if self.slice.report else str(self.slice.stream)

    @property
    def raw_rows(self) -> int:
        """Rows as received."""
        return sum(f.rows for f in self.raw)

    @property
    def staged_rows(self) -> int:
        """Rows in the unified schema; raw ones may become several or, lawfully, none."""
        return sum(f.rows for f in self.staged)

    @property
    def rows(self) -> int:
        """Staged rows, or raw ones before normalize."""
        return self.staged_rows if self.normalized or self.staged else self.raw_rows

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SliceResult:
        """The inverse of ``to_json``."""
        parts = dict(value)
        parts["slice"] = Slice.from_json(parts["slice"])
        parts["account"] = Account.from_json(parts["account"])
        for name in ("raw", "staged"):
            parts[name] = tuple(File(**f) for f in parts[name])
        for name in ("report_ids", "dropped", "warnings"):
            parts[name] = tuple(parts[name])
        return cls(**parts)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**asdict(self), "slice": self.slice.to_json()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All slices of one task, or of one run once tasks are joined."""

    org_id: str
    platform: str
    load_id: str
    slices: tuple[SliceResult, ...] = ()
    is_mock: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of all slices."""
        return sum(s.rows for s in self.slices)

    @property
    def failed(self) -> tuple[SliceResult, ...]:
        """Slices that ended without their rows."""
        return tuple(s for s in self.slices if s.status == "failed")

    def with_slices(self, slices: Sequence[SliceResult]) -> Manifest:
        """The same manifest over other slices."""
        return replace(self, slices=tuple(slices))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Manifest:
        """The inverse of ``to_json``."""
        parts = dict(value)
        parts["slices"] = tuple(SliceResult.from_json(s) for s in parts["slices"])
        return cls(**parts)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "org_id": self.org_id,
            "platform": self.platform,
            "load_id": self.load_id,
            "slices": [s.to_json() for s in self.slices],
            "is_mock": self.is_mock,
            "facts": dict(self.facts),
        }


def join(manifests: Sequence[Manifest]) -> Manifest:
    """One manifest over the slices of several; they must come from one run."""
    first = manifests[0]
    slices = [s for m in manifests for s in m.slices]
    return first.with_slices(slices)
