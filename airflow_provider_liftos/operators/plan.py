"""Which accounts, which days: the first task of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.operators.task import LiftosOperator


class LiftosPlanOperator(LiftosOperator):
    """Find the accounts, resolve the window in each one's own zone, and make batches of them.

    Returns a list with one entry per batch, to expand an extract task over. ``accounts`` narrows
    the connection's accounts; the run's param of that name narrows them further. ``last_days`` is
    what a run without dates of its own asks for.
    """

    phase: ClassVar[str] = "plan"
    template_fields: Sequence[str] = ("accounts",)

    def __init__(
        self,
        *,
        accounts: Sequence[str] = (),
        last_days: int = 30,
        accounts_per_task: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.accounts = accounts
        self.last_days = last_days
        self.accounts_per_task = accounts_per_task

    def execute(self, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Raises for reversed or future dates, unknown accounts and refused tokens: no retry."""
        from dataclasses import asdict

        from airflow_provider_liftos.engine import plan
        from airflow_provider_liftos.hooks.liftos import listed, pick
        from airflow_provider_liftos.operators.outcome import translated
        from airflow_provider_liftos.operators.window import asked

        with translated():
            hook = self.hook
            credentials = hook.credentials()
        with self.recorded(context, credentials.org_id) as entry:
            platform = hook.platform
            wanted = asked(context, platform.availability.restatement_days, self.last_days)
            accounts = hook.accounts()
            named = listed((context.get("params") or {}).get("accounts") or self.accounts)
            if named:
                accounts = pick(accounts, named, platform)
            moment = config.state_store().clock.now()
            planned = []
            for account in accounts:
                window, warnings = plan.resolve(wanted, account, platform, moment)
                entry.warnings = (*entry.warnings, *warnings)
                planned.append(
                    {
                        "account": asdict(account),
                        "since": str(window.since),
                        "until": str(window.until),
                    }
                )
            for text in entry.warnings:
                self.log.warning(text)
            size = self.accounts_per_task or int(config.number("accounts_per_task"))
            batches = [planned[i : i + size] for i in range(0, len(planned), size)]
            entry.detail = {"accounts": [a.account_id for a in accounts]}
            self.account_url = platform.account_url(accounts[0].account_id)
            return [
                {"org_id": credentials.org_id, "label": _label(batch), "accounts": batch}
                for batch in batches
            ]


def _label(batch: Sequence[Mapping[str, Any]]) -> str:
    names = [str(item["account"]["name"] or item["account"]["account_id"]) for item in batch]
    shown = ", ".join(name[:24] for name in names[:3])
    return shown + (f" +{len(names) - 3}" if len(names) > 3 else "")
