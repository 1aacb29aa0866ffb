"""Campaign reports as JSON documents, one per account, from what was published."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import Window
from airflow_provider_liftos.operators.task import LiftosOperator

if TYPE_CHECKING:
    from airflow_provider_liftos.warehouses.campaign_report import CampaignReport


class LiftosCampaignReportOperator(LiftosOperator):
    """Write ``campaign_report_<platform>_<account>_<since>_<until>.json`` for each account.

    ``folder`` is a path, or a URL that Airflow's object storage knows. ``accounts`` empty means all
    with published campaigns. ``since`` and ``until`` (YYYY-MM-DD, both included) are days of the
    account; without them the run's params of these names count, else the account's last
    ``last_days`` published days. Put it behind a pipeline, or schedule it on its asset.
    """

    phase: ClassVar[str] = "campaign_report"
    template_fields: Sequence[str] = ("folder", "accounts", "since", "until")

    def __init__(
        self,
        *,
        folder: str,
        warehouse_conn_id: str | None = None,
        accounts: Sequence[str] = (),
        since: str | None = None,
        until: str | None = None,
        last_days: int = 7,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 2)
        super().__init__(**kwargs)
        self.folder = folder
        self.warehouse_conn_id = warehouse_conn_id
        self.accounts = accounts
        self.since = since
        self.until = until
        self.last_days = last_days

    def execute(self, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Returns a summary of each document. Raises for accounts of which nothing is published."""
        from airflow_provider_liftos.state.ledger import Work
        from airflow_provider_liftos.warehouses.campaign_report import CampaignReport

        with self.recorded(context) as entry:
            credentials = self.hook.credentials()
            org_id, store = credentials.org_id, config.state_store()
            reports = CampaignReport(
                warehouse=open_warehouse(
                    self.warehouse_conn_id, org_id, store, mock=credentials.is_mock
                ),
                org_id=org_id,
                platform=self.platform,
                now=store.clock.now(),
            )
            params = context.get("params") or {}
            windows = choose(
                reports,
                accounts=self.accounts,
                since=self.since or params.get("since"),
                until=self.until or params.get("until"),
                last_days=self.last_days,
            )
            done = [self._write(reports.document(a, w)) for a, w in windows.items()]
            entry.work = Work(rows=sum(item["campaigns"] for item in done))
            entry.window = _spanned(windows.values())
            entry.warnings = tuple(
                f"{item['account_id']}: the document has {item['warnings']} warnings"
                for item in done
                if item["warnings"]
            )
            entry.detail = {"documents": [item["path"] for item in done]}
            return done

    def _write(self, document: Mapping[str, Any]) -> dict[str, Any]:
        path = write(self.folder, document)
        self.log.info("written: %s", path)
        return {
            "path": path,
            "account_id": document["metadata"]["account_id"],
            "campaigns": document["summary"]["total_campaigns"],
            "warnings": len(document["warnings"]),
        }


def _spanned(windows: Collection[Window]) -> tuple[str, str] | None:
    """First and last day of all documents, for the ledger."""
    if not windows:
        return None
    return str(min(w.since for w in windows)), str(max(w.until for w in windows))


def choose(
    reports: CampaignReport,
    *,
    accounts: Sequence[str],
    since: str | None,
    until: str | None,
    last_days: int,
) -> dict[str, Window]:
    """The accounts to write documents of, each with its window.

    Raises:
        ConfigurationError: a date is missing or is none, or nothing is published at all.
    """
    from airflow_provider_liftos.hooks.liftos import listed
    from airflow_provider_liftos.warehouses.campaign_report import last_days as last

    window = None
    if since or until:
        try:
            window = Window(
                since=date.fromisoformat(str(since)), until=date.fromisoformat(str(until))
            )
        except ValueError:
            raise ConfigurationError(
                f"the dates are {since!r} and {until!r}; give both, as YYYY-MM-DD, or neither"
            ) from None
    newest = reports.accounts()
    wanted = listed(accounts) or list(newest)
    if not newest:
        raise ConfigurationError(
            f"no campaign of {reports.platform} is published in organization {reports.org_id!r}",
            hint="Run its pipeline first.",
        )
    latest = max(newest.values())
    return {account: window or last(newest.get(account, latest), last_days) for account in wanted}


def write(folder: str, document: Mapping[str, Any]) -> str:
    """Put a document into a folder, all of it or nothing; its path."""
    meta = document["metadata"]
    dates = meta["date_range"]
    parts = (meta["platform"], meta["account_id"], dates["start"], dates["end"])
    # Ids are the platform's: none of them may lead out of the folder.
    name = re.sub(r"[^\w.-]", "_", "_".join(("campaign_report", *parts)))
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    local = folder.removeprefix("file://")
    if "://" in local:
        from airflow.sdk import ObjectStoragePath

        target = ObjectStoragePath(folder) / f"{name}.json"
        target.write_text(text, encoding="utf-8")
        return str(target)
    path = Path(local) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{uuid4().hex}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
    return str(path)
