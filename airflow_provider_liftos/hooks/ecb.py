"""The European Central Bank's files, through an Airflow connection of type http."""

from __future__ import annotations

from typing import Any

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException
from requests.exceptions import RequestException

from airflow_provider_liftos.model.errors import Unavailable
from airflow_provider_liftos.transport import hosts

DEFAULT_CONN_ID = "liftos_ecb_default"
HOST = "https://www.ecb.europa.eu"
_TIMEOUT = 60.0


class EcbHook(HttpHook):
    """Reference rates. The connection's host, if there is one, stands in for the ECB's."""

    default_conn_name = DEFAULT_CONN_ID

    def __init__(self, conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__(method="GET", http_conn_id=conn_id)

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        """The connection; where nobody has defined one, one to the ECB itself."""
        try:
            found = super().get_connection(conn_id)
        except AirflowNotFoundException:
            return Connection(conn_id=conn_id, conn_type="http", host=HOST)
        found.host = (found.host or HOST).rstrip("/")
        hosts.refuse(found.host if "://" in found.host else f"//{found.host}", f"{conn_id!r}, host")
        return found

    def rates(self, file: str) -> bytes:
        """The file ``daily``, ``hist-90d`` or ``hist``. Raises Unavailable."""
        try:
            answer = self.run(
                f"/stats/eurofxref/eurofxref-{file}.xml",
                extra_options={"timeout": _TIMEOUT, "check_response": True},
            )
        except (AirflowException, RequestException) as error:
            raise Unavailable(
                f"the reference rates ({file}) did not come: {type(error).__name__}: {error}",
                hint="Known rates stay as they are, and stand in for missing ones for ten days.",
            ) from None
        content: bytes = answer.content
        return content
