"""Airflow's Snowflake connections, also where another host than the account's own answers.

The provider's hooks do what connecting takes: passwords, key pairs, OAuth, tokens of programs and
workload identities. They take ``host`` and ``port`` from the extra, but always speak TLS, and the
SQL API's host is made of the account; private links, proxies and emulators have others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook
from airflow.providers.snowflake.hooks.snowflake_sql_api import SnowflakeSqlApiHook
from requests import HTTPError

_FROM_EXTRA = ("protocol", "login_timeout", "network_timeout", "socket_timeout")


class LiftosSnowflakeHook(SnowflakeHook):
    """Airflow's hook; ``protocol`` and timeouts (seconds) of the extra count, too."""

    def _get_conn_params(self) -> dict[str, Any]:
        params: dict[str, Any] = dict(super()._get_conn_params())
        extra = self.get_connection(self.get_conn_id()).extra_dejson
        given = {name: extra[name] for name in _FROM_EXTRA if extra.get(name) not in (None, "")}
        return params | _checked(given, params.get("host"))

    def parameters(self) -> dict[str, Any]:
        """What the connector connects with; tokens that end are new each time. Holds secrets."""
        return {name: value for name, value in self._get_conn_params().items() if value != ""}


class LiftosSnowflakeSqlApiHook(SnowflakeSqlApiHook):
    """Airflow's hook of the SQL API, at ``host``, ``port`` and ``protocol`` of the extra."""

    def at_host(self, url: str) -> str:
        """The address, at the host of the extra where it names one."""
        protocol, place = self._place
        return urlunsplit(urlsplit(url)._replace(scheme=protocol, netloc=place)) if place else url

    @cached_property
    def _place(self) -> tuple[str, str]:
        extra = self.get_connection(self.get_conn_id()).extra_dejson
        host, port = extra.get("host"), extra.get("port")
        protocol = _checked({"protocol": extra.get("protocol") or "https"}, host)["protocol"]
        return protocol, f"{host}:{port}" if host and port else host or ""

    def ask(
        self,
        method: str,
        path: str = "",
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Status and body of a request about statements; the provider's hook logs rows, this none.

        Raises:
            requests.RequestException: there was no answer, or one from 400 on but for 422.
            ValueError: the connection has nothing to sign requests with.
        """
        url = f"{self.account_identifier}.snowflakecomputing.com/api/v2/statements{path}"
        given = {"requestId": str(uuid4()), **(params or {})}
        sent = dict(body) if body is not None else None
        try:
            status, told = self._make_api_call_with_retries(
                method, url, self.get_headers(), given, sent
            )
        except HTTPError as error:
            # What was wrong with a statement; older providers hand it out as an error, too.
            if error.response is None or error.response.status_code != 422:
                raise
            return 422, error.response.json()
        return int(status), told

    def _process_response(self, status_code: int, resp: dict[str, Any]) -> Any:
        """As the provider's, which logs the whole answer: rows are left out of what it is given."""
        told = {name: value for name, value in resp.items() if name != "data"}
        return super()._process_response(status_code, told)  # type: ignore[no-untyped-call]

    async def get_sql_api_query_status_async(self, query_id: str) -> dict[str, str | list[str]]:
        """As the provider's, which looks up the connection and asks for tokens on the event loop.

        Others wait there meanwhile: signing takes milliseconds, a token of OAuth a request.
        """
        headers, params, url = await asyncio.to_thread(self.get_request_url_header_params, query_id)
        status, said = await self._make_api_call_with_retries_async("GET", url, headers, params)
        return dict(self._process_response(status, said))

    def _make_api_call_with_retries(
        self,
        method: str,
        url: str,
        headers: dict[str, Any],
        params: dict[str, Any] | None = None,
        json: dict[str, Any] | None = None,
    ) -> Any:
        return super()._make_api_call_with_retries(method, self.at_host(url), headers, params, json)

    async def _make_api_call_with_retries_async(
        self,
        method: str,
        url: str,
        headers: dict[str, Any],
        params: dict[str, Any] | None = None,
    ) -> Any:
        there = await asyncio.to_thread(self.at_host, url)
        return await super()._make_api_call_with_retries_async(  # type: ignore[no-untyped-call]
            method, there, headers, params
        )


def _checked(given: dict[str, Any], host: str | None) -> dict[str, Any]:
    """Secrets travel without TLS on this host only."""
    from airflow_provider_liftos.transport.hosts import loopback

    if given.get("protocol") == "http" and not loopback(host or ""):
        from airflow_provider_liftos.model.errors import ConfigurationError

        raise ConfigurationError(
            f"the Snowflake connection would speak to {host or 'its account'} without TLS",
            hint="Take protocol out of the connection's extra.",
        )
    return given
