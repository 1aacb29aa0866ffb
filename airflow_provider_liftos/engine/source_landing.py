"""Rows of a source into raw files, each slice into files of its own, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from airflow_provider_liftos.engine.manifest import File, SliceResult
from airflow_provider_liftos.engine.staging import RawWriter, Staging
from airflow_provider_liftos.model.report import Account, Slice

_OPEN = 8
"""Files that are written at once; each costs its compressor a few megabytes."""


@dataclass(slots=True, kw_only=True)
class Landing:
    """Takes rows as they come; where slices alternate, they have more files."""

    staging: Staging
    load_id: str
    _writers: OrderedDict[int, RawWriter] = field(default_factory=OrderedDict)
    _files: dict[int, list[File]] = field(default_factory=lambda: defaultdict(list))

    def add(self, number: int, cut: Slice, lines: Sequence[bytes]) -> None:
        """Append raw rows of a slice, which has that number. Raises StagingError."""
        writer = self._writers.pop(number, None)
        if writer is None:
            if len(self._writers) >= _OPEN:
                self._close(*self._writers.popitem(last=False))
            parts = (cut.platform, cut.account_id, cut.name, self.load_id)
            writer = RawWriter(self.staging, self.staging.folder("raw", *parts))
        self._writers[number] = writer
        writer.write(lines)

    def finish(
        self, cuts: Sequence[Slice], accounts: dict[str, Account], as_of: float
    ) -> tuple[SliceResult, ...]:
        """All slices with their files; those without rows are empty, not missing."""
        while self._writers:
            self._close(*self._writers.popitem())
        return tuple(
            SliceResult(
                slice=cut,
                status="complete",
                as_of=as_of,
                account=accounts[cut.account_id],
                raw=tuple(self._files.get(number, ())),
            )
            for number, cut in enumerate(cuts)
        )

    def discard(self) -> None:
        """Remove what was written: nobody will be told of it."""
        for writer in self._writers.values():
            writer.discard()
        for files in self._files.values():
            for file in files:
                self.staging.remove(file.path)

    def _close(self, number: int, writer: RawWriter) -> None:
        self._files[number] += writer.close()
