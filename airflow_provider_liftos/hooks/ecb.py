"""The European Central Bank's files, through an Airflow connection of type http."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
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
_NOT_MODIFIED = 304
_ASKED_BY = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
"""Validators of an answer, and how the next question names them (RFC 9110, 8.8 and 13.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatesFile:
    """A file, or None where it is still the one of these ``validators``."""

    content: bytes | None
    validators: Mapping[str, str] = field(default_factory=dict)


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

    def rates(self, file: str, known: Mapping[str, str] = MappingProxyType({})) -> RatesFile:
        """The file ``daily``, ``hist-90d`` or ``hist``, unless it is the one ``known``.

        Raises Unavailable.
        """
        headers = {_ASKED_BY[name]: known[name] for name in _ASKED_BY if known.get(name)}
        try:
            answer = self.run(
                f"/stats/eurofxref/eurofxref-{file}.xml",
                headers=headers,
                extra_options={"timeout": _TIMEOUT, "check_response": True},
            )
        except (AirflowException, RequestException) as error:
            raise Unavailable(
                f"the reference rates ({file}) did not come: {type(error).__name__}: {error}",
                hint="Known rates stay as they are, and stand in for missing ones for ten days.",
            ) from None
        if answer.status_code == _NOT_MODIFIED:
            return RatesFile(content=None, validators=known)
        told = {name: answer.headers[name] for name in _ASKED_BY if answer.headers.get(name)}
        return RatesFile(content=answer.content, validators=told)
