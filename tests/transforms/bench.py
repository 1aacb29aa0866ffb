"""Rows through normalization, without any wire."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_liftos.engine.manifest import File, Manifest, SliceResult
from airflow_provider_liftos.engine.normalize import Normalizer
from airflow_provider_liftos.engine.staging import RawWriter, Staging
from airflow_provider_liftos.model.report import Account, Report, Slice
from tests.engine.harness import META, last

ROW: Mapping[str, Any] = {
    "account_id": "501", "account_name": "Northwind", "account_currency": "EUR",
    "campaign_id": "6001", "campaign_name": "Spring", "date_start": "2026-11-20",
    "date_stop": "2026-11-20", "impressions": "100", "clicks": "5", "spend": "1.50",
}  # fmt: skip


def row(**parts: Any) -> dict[str, Any]:
    """ROW with other parts; None leaves a part out."""
    return {name: value for name, value in {**ROW, **parts}.items() if value is not None}


@dataclass(kw_only=True)
class Bench:
    folder: Path
    letters: list[tuple[str, str]] = field(default_factory=list)
    currency: str = "EUR"
    zone: str = "Europe/Berlin"
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.staging = Staging(str(self.folder))

    def file(self, rows: Sequence[Any]) -> File:
        writer = RawWriter(self.staging, f"{self.folder}/raw")
        writer.write([r if isinstance(r, bytes) else json.dumps(r).encode() for r in rows])
        (written,) = writer.close()
        return written

    def normalize(
        self, asked: Report | str, *files: Sequence[Any], merge: bool = False
    ) -> SliceResult:
        part = {"report": asked} if isinstance(asked, Report) else {"stream": asked}
        cut = SliceResult(
            slice=Slice(platform="meta", account_id="501", window=last(3), **part),  # type: ignore[arg-type]
            status="complete",
            as_of=1_795_258_800.0,
            account=Account(account_id="501", name="N\x00W", currency=self.currency, timezone=self.zone),
            raw=tuple(map(self.file, files)),
            merge=merge,
        )  # fmt: skip
        manifest = Manifest(org_id="default", platform="meta", load_id="l", slices=(cut,))
        normalizer = Normalizer(
            platform=META, staging=self.staging, options=self.options,
            reject=lambda _cut, letters: self.letters.extend(letters),
        )  # fmt: skip
        return normalizer.normalize(manifest).slices[0]

    def rows(self, done: SliceResult, columns: str = "*") -> list[tuple[Any, ...]]:
        import duckdb

        files = [file.path for file in done.staged]
        if not files:
            return []
        return duckdb.sql(f"SELECT {columns} FROM read_parquet({files}) ORDER BY ALL").fetchall()
