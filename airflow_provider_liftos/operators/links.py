"""Links on a task: to the platform's own user interface, and to the pages of the run."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink


class AdsManagerLink(BaseOperatorLink):
    """Opens the first account of the task where its owner edits campaigns."""

    name = "Ads manager"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002  Airflow's signature
        """The address; computed where the task ran."""
        return getattr(operator, "account_url", "") or ""


class RunLedgerLink(BaseOperatorLink):
    """Opens what each task of the run did: rows, requests, waits, warnings."""

    name = "Run ledger"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002  Airflow's signature
        """The address; computed where the task ran."""
        return getattr(operator, "ledger_url", "") or ""


class QualityReportLink(BaseOperatorLink):
    """Opens how good the run's data is: score, rules, examples, advice, trend."""

    name = "Quality report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002  Airflow's signature
        """The address; computed where the task ran."""
        return getattr(operator, "quality_url", "") or ""


def page_url(page: str, dag_id: str, run_id: str) -> str:
    """A page of the plugin about a run, also where Airflow is served below a path."""
    from urllib.parse import quote, urlsplit

    from airflow.sdk.configuration import conf

    below = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
    return f"{below}/liftos/{page}/{quote(dag_id)}/{quote(run_id, safe='')}"
