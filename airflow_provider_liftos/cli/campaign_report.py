"""``airflow liftos campaign-report``: the campaign report of published rows, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow_provider_liftos.model.errors import LiftosError


def campaign_report(args: Any) -> None:
    """Write each document into a folder, or print them, one JSON text per line."""
    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.hooks.warehouse import open_warehouse
    from airflow_provider_liftos.operators.campaign_report import choose, write
    from airflow_provider_liftos.warehouses.campaign_report import CampaignReport

    try:
        store = config.state_store()
        reports = CampaignReport(
            warehouse=open_warehouse(args.warehouse_conn_id, args.org, store),
            org_id=args.org,
            platform=args.platform,
            now=store.clock.now(),
        )
        windows = choose(
            reports,
            accounts=args.account or (),
            since=args.since,
            until=args.until,
            last_days=args.last_days,
        )
        for account, window in windows.items():
            document = reports.document(account, window)
            print(write(args.output, document) if args.output else _line(document))
    except LiftosError as error:
        sys.exit(str(error))


def _line(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False)
