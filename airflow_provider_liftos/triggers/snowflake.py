"""A trigger that waits for statements which run in Snowflake by themselves."""

from __future__ import annotations

from typing import Any

from airflow.providers.snowflake.hooks.snowflake_sql_api import SnowflakeSqlApiHook
from airflow.providers.snowflake.triggers.snowflake_trigger import SnowflakeSqlApiTrigger

from airflow_provider_liftos.hooks.snowflake import LiftosSnowflakeSqlApiHook


class SnowflakeStatementTrigger(SnowflakeSqlApiTrigger):
    """Airflow's trigger, at the address that the connection's extra names.

    One event: ``{"status": "success", "statement_query_ids": [...]}``, or ``{"status": "error",
    "message": ...}``. Who marks the waiting task ends its statements, too.
    """

    def __init__(
        self,
        query_ids: list[str],
        snowflake_conn_id: str,
        poll_interval: float = 10.0,
        *,
        cancel_on_kill: bool = True,
    ) -> None:
        super().__init__(
            poll_interval=poll_interval,
            query_ids=query_ids,
            snowflake_conn_id=snowflake_conn_id,
            token_life_time=LiftosSnowflakeSqlApiHook.LIFETIME,
            token_renewal_delta=LiftosSnowflakeSqlApiHook.RENEWAL_DELTA,
            cancel_on_kill=cancel_on_kill,
        )
        self._own = LiftosSnowflakeSqlApiHook(snowflake_conn_id)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Plain JSON only."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "query_ids": self.query_ids,
                "snowflake_conn_id": self.snowflake_conn_id,
                "poll_interval": self.poll_interval,
                "cancel_on_kill": self.cancel_on_kill,
            },
        )

    async def get_query_status(
        self, query_id: str, hook: SnowflakeSqlApiHook | None = None
    ) -> dict[str, Any]:
        """What became of one statement; the hook that is handed in knows no other address."""
        del hook
        return dict(await self._own.get_sql_api_query_status_async(query_id))

    def _cancel_queries(self) -> None:
        self._own.cancel_queries(self.query_ids)
