"""Airflow's Snowflake connections, also where another host than the account's own answers.

The provider's hooks do what connecting takes: passwords, key pairs, OAuth, tokens of programs and
workload identities. They take ``host`` and ``port`` from the extra, but always speak TLS, and the
SQL API's host is made of the account; private links, proxies and emulators have others.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook
from airflow.providers.snowflake.hooks.snowflake_sql_api import SnowflakeSqlApiHook
from requests import HTTPError, RequestException

if TYPE_CHECKING:
    from airflow_provider_liftos.model.errors import WarehouseError

_FROM_EXTRA = ("protocol", "login_timeout", "network_timeout", "socket_timeout")
_LATER = frozenset({408, 425, 429})  # refusals that may end by themselves


class LiftosSnowflakeHook(SnowflakeHook):
    """Airflow's hook; ``protocol`` and timeouts (seconds) of the extra count, too."""

    def _get_conn_params(self) -> dict[str, Any]:
        params: dict[str, Any] = dict(super()._get_conn_params())
        extra = self.get_connection(self.get_conn_id()).extra_dejson
        given = {name: extra[name] for name in _FROM_EXTRA if extra.get(name) not in (None, "")}
        own = params.get("session_parameters") or {}
        if not any(name.upper() == "QUERY_TAG" for name in own):
            params["session_parameters"] = {**own, "QUERY_TAG": _tag()}
        return params | _checked(given, params.get("host"))

    def parameters(self) -> dict[str, Any]:
        """What the connector connects with; tokens that end are new each time. Holds secrets.

        Raises:
            ConfigurationError: it would speak without TLS to another host.
            WarehouseError: there is no token, or no key; WarehouseDenied where only a person can
                help.
        """
        from airflow.sdk.exceptions import AirflowException

        try:
            return {name: value for name, value in self._get_conn_params().items() if value != ""}
        except RequestException as error:
            raise self._without_token(error) from None
        except (ValueError, TypeError, LookupError, OSError, AirflowException) as error:
            raise self._unusable(error, denied=not isinstance(error, AirflowException)) from None

    def _without_token(self, error: RequestException) -> WarehouseError:
        """The address may hold secrets: only its host is told."""
        from airflow_provider_liftos.model.errors import WarehouseDenied, WarehouseError

        asked = urlsplit(str(getattr(error.request, "url", None) or "")).hostname
        status = getattr(error.response, "status_code", None)
        said = f"answers {status}" if status else f"does not answer ({type(error).__name__})"
        denied = status is not None and 400 <= status < 500 and status not in _LATER
        return (WarehouseDenied if denied else WarehouseError)(
            f"{self._label} has no token: {asked or 'the token endpoint'} {said}",
            hint="Nothing was changed; correct login, secret, refresh token, scope or"
            " token_endpoint of the connection."
            if denied
            else "Nothing was changed; run the task again.",
        )

    def _unusable(self, error: Exception, *, denied: bool) -> WarehouseError:
        from airflow_provider_liftos.hooks.source import secrets
        from airflow_provider_liftos.model.errors import WarehouseDenied, WarehouseError
        from airflow_provider_liftos.transport.redact import redact

        told = "it lacks " if isinstance(error, LookupError) else ""
        said = told + " ".join(str(error).split())
        said = redact(said, secrets(self.get_conn_id()), longest=300).rstrip(".")
        return (WarehouseDenied if denied else WarehouseError)(
            f"{self._label} cannot be used: {said or type(error).__name__}",
            hint="Nothing was changed; correct the connection's private key, its passphrase or"
            " its OAuth settings."
            if denied
            else "Nothing was changed; run the task again.",
        )

    @property
    def _label(self) -> str:
        return f"Snowflake connection {self.get_conn_id()!r}"


def _tag() -> str:
    """Tells in the query history what a statement was for: of which task, where one runs."""
    from airflow.sdk import get_current_context

    try:
        ti: Any = get_current_context().get("ti")
    except RuntimeError:  # outside of tasks
        ti = None
    names = ("dag_id", "task_id", "run_id") if ti is not None else ()
    return json.dumps({"app": "liftos", **{n: str(getattr(ti, n, "")) for n in names}})


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
