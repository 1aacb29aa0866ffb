"""Rows of a source into raw files, each slice into files of its own, in bounded memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from airflow_provider_liftos.engine.manifest import File, SliceResult
from airflow_provider_liftos.engine.source_bins import Bins
from airflow_provider_liftos.engine.staging import RawWriter, Staging
from airflow_provider_liftos.model.report import Account, Slice


@dataclass(slots=True, kw_only=True)
class Landing:
    """Takes rows in whatever order they come; files are written one after the other at the end.

    Each file that is written at once would cost its compressor a few megabytes.
    """

    staging: Staging
    load_id: str
    _bins: Bins = field(default_factory=Bins)
    _files: dict[int, list[File]] = field(default_factory=lambda: defaultdict(list))

    def add(self, number: int, lines: Sequence[bytes]) -> None:
        """Append raw rows of a slice, which has that number. Raises StagingError."""
        self._bins.add(number, lines)

    def finish(
        self, cuts: Sequence[Slice], accounts: dict[str, Account], as_of: float
    ) -> tuple[SliceResult, ...]:
        """All slices with their files; those without rows are empty, not missing."""
        for number in self._bins.numbers():
            self._write(number, cuts[number])
        self._bins.close()
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
        self._bins.close()
        for files in self._files.values():
            for file in files:
                self.staging.remove(file.path)

    def _write(self, number: int, cut: Slice) -> None:
        parts = (cut.platform, cut.account_id, cut.name, self.load_id)
        writer = RawWriter(self.staging, self.staging.folder("raw", *parts))
        try:
            for lines in self._bins.take(number):
                writer.write(lines)
            self._files[number] += writer.close()
        except BaseException:
            writer.discard()
            raise
