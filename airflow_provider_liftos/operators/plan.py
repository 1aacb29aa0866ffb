"""Which accounts, which days: the first task of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.operators.task import Entry, LiftosOperator

if TYPE_CHECKING:
    from airflow_provider_liftos.engine.plan import DateRange
    from airflow_provider_liftos.model.errors import NotAuthorized
    from airflow_provider_liftos.model.report import Account


class LiftosPlanOperator(LiftosOperator):
    """Find the accounts, resolve the window in each one's own zone, and make batches of them.

    Returns a list with one entry per batch, to expand an extract task over. An account that cannot
    be planned, or that the token does not see, is left out; the first batch names it under
    ``failed``, with the error, and publish counts it as missing. ``accounts`` narrows the
    connection's accounts; the run's param of that name takes its place. ``last_days`` is what a run
    without dates of its own asks for.
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
        """Raises for refused tokens, and when no account is left that can be planned."""
        from airflow_provider_liftos.engine import plan
        from airflow_provider_liftos.hooks.liftos import listed
        from airflow_provider_liftos.operators.outcome import translated
        from airflow_provider_liftos.operators.window import asked

        with translated():
            hook = self.hook
            credentials = hook.credentials()
        with self.recorded(context, credentials.org_id) as entry:
            platform = hook.platform
            wanted = asked(context, platform.availability.restatement_days, self.last_days)
            named = listed((context.get("params") or {}).get("accounts") or self.accounts)
            accounts, unseen = hook.chosen(named)
            planned, failed = self._planned(wanted, accounts, unseen, entry)
            size = self.accounts_per_task or int(config.number("accounts_per_task"))
            first = planned[0]["account"]["account_id"]
            entry.detail = {
                "accounts": [item["account"]["account_id"] for item in planned],
                "failed": [item["account"]["account_id"] for item in failed],
            }
            self.account_url = platform.account_url(first)
            batches: list[dict[str, Any]] = [
                {"org_id": credentials.org_id, "label": _label(batch), "accounts": batch}
                for batch in plan.batches(planned, size)
            ]
            if failed:
                batches[0]["failed"] = failed
            return batches

    def _planned(
        self,
        wanted: DateRange,
        accounts: Sequence[Account],
        unseen: Sequence[NotAuthorized],
        entry: Entry,
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Accounts with their windows, and those that have none; raises when all have none."""
        from airflow_provider_liftos.engine import plan
        from airflow_provider_liftos.model.errors import ConfigurationError
        from airflow_provider_liftos.model.report import Account

        moment = config.state_store().clock.now()
        planned: list[dict[str, Any]] = []
        cuts: list[str] = []
        left_out: list[tuple[Account, ConfigurationError]] = [
            (Account(account_id=str(error.account)), error) for error in unseen
        ]
        for account in accounts:
            try:
                window, warnings = plan.resolve(wanted, account, self.hook.platform, moment)
                memory = plan.memory(account, self.hook.platform, moment)
            except ConfigurationError as error:
                left_out.append((account, error))
                continue
            cuts += warnings
            planned.append(
                {
                    "account": asdict(account),
                    "since": str(window.since),
                    "until": str(window.until),
                    "memory": {"since": str(memory.since), "until": str(memory.until)},
                }
            )
        entry.warnings = (*(f"left out of this run: {error}" for _, error in left_out), *cuts)
        for text in entry.warnings:
            self.log.warning(text)
        if not planned:
            raise left_out[-1][1]
        return planned, [{"account": asdict(a), "error": str(error)} for a, error in left_out]


def _label(batch: Sequence[Mapping[str, Any]]) -> str:
    names = [str(item["account"]["name"] or item["account"]["account_id"]) for item in batch]
    shown = ", ".join(name[:24] for name in names[:3])
    return shown + (f" +{len(names) - 3}" if len(names) > 3 else "")
