"""Links on a task: to the platform's own user interface, and to the run's ledger."""

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
