"""A connection read: one hook for every platform, with the platform's declaration for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from airflow.sdk import BaseHook

from airflow_provider_liftos.hooks import config, versions
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError, NotAuthorized
from airflow_provider_liftos.model.platform import Credentials, Platform
from airflow_provider_liftos.model.report import Account, Report
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Lane
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.transport import hosts

if TYPE_CHECKING:
    import pandas as pd

    from airflow_provider_liftos.state.store import StateStore
    from airflow_provider_liftos.transport.session import Session, Usage


class LiftosHook(BaseHook):
    """Base of the platforms' hooks. ``conn_id`` names a connection of the platform's type."""

    conn_name_attr = "conn_id"
    platform_name: ClassVar[str] = ""

    def __init__(self, conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id or type(self).default_conn_name  # type: ignore[attr-defined]
        self.usage: Usage | None = None
        self._accounts: list[Account] | None = None
        self._on_loop = False

    @property
    def platform(self) -> Platform:
        """The platform's declaration."""
        return get(self.platform_name)

    def credentials(self) -> Credentials:
        """The connection, read and checked. Raises ConfigurationError."""
        from airflow.sdk.exceptions import AirflowNotFoundException

        try:
            connection = self.get_connection(self.conn_id)
        except AirflowNotFoundException:
            # No ConfigurationError: Airflow says the same when a secrets backend is out of reach.
            raise LiftosError(
                f"connection {self.conn_id!r} is not defined",
                platform=self.platform.name,
                hint=f"Create it, of type {self.platform.conn_type}, or correct conn_id.",
            ) from None
        return self._masked(read_connection(self.platform, connection))

    async def acredentials(self) -> Credentials:
        """The same from an event loop."""
        self._on_loop = True
        try:
            connection = await self.aget_connection(self.conn_id)
        except Exception:  # noqa: BLE001  dag.test() has no asynchronous channel
            return await asyncio.to_thread(self.credentials)
        return self._masked(read_connection(self.platform, connection))

    def _masked(self, credentials: Credentials) -> Credentials:
        from airflow_provider_liftos.hooks.masking import mask

        mask(credentials.secrets)
        return credentials

    def session(
        self,
        credentials: Credentials | None = None,
        store: StateStore | None = None,
        lane: Lane = Lane.FRESH,
    ) -> Session:
        """A session under the limits that all workers share."""
        return open_session(
            self.platform,
            credentials or self.credentials(),
            store or config.state_store(),
            lane,
            # Asking the supervisor for a connection is not safe beside an event loop.
            api_conn_id="" if self._on_loop else config.text("api_conn_id"),
        )

    def current(self) -> Credentials:
        """The connection with the tokens that were made of it laid over, renewed where due."""
        from airflow_provider_liftos.transport.client import HttpSender
        from airflow_provider_liftos.transport.flow import run

        sender = HttpSender()
        try:
            return run(self.session().ready(), sender)
        finally:
            sender.close()

    def accounts(self) -> list[Account]:
        """Accounts named in the connection, or all that the token sees, with zone and currency.

        An id that the token does not see is left out with a warning; NotAuthorized if none is left.
        """
        accounts, unseen = self.chosen()
        for error in unseen:
            self.log.warning("left out: %s", error)
        return accounts

    def chosen(self, named: Sequence[str] = ()) -> tuple[list[Account], list[NotAuthorized]]:
        """The accounts ``named``, or else all of the connection, and an error for each unseen one.

        ``usage`` tells what it cost. Raises NotAuthorized if none is left.
        """
        from airflow_provider_liftos.transport.client import HttpSender

        credentials = self.credentials()
        session = self.session(credentials)
        self.usage = session.usage
        sender = HttpSender()
        try:
            found = self._seen(session, sender)
        finally:
            sender.close()
        return choose(found, credentials, self.platform, named)

    def _seen(self, session: Session, sender: Any) -> list[Account]:
        """Every account the token sees; the platform is asked once in the life of this hook."""
        if self._accounts is None:
            self._accounts = discover(session, sender)
        else:
            session.usage.cached += 1
        return self._accounts

    def test_connection(self) -> tuple[bool, str]:
        """Two cheap calls: accounts, scopes, token expiry, API version and its sunset."""
        from airflow_provider_liftos.hooks import tokens
        from airflow_provider_liftos.hooks.probe import probe, shadowed

        try:
            credentials = self.credentials()
            worked, words = probe(self.platform, credentials, tokens.asked_for(credentials))
            tokens.note_test(self.platform, credentials, worked=worked)
        except LiftosError as error:
            worked, words = False, str(error)
        return worked, "; ".join((words, *shadowed(self.platform)))

    def get_df(
        self, report: Report, *, since: str, until: str, accounts: Sequence[str] = ()
    ) -> pd.DataFrame:
        """A report's unified rows, with Arrow types and exact money. Blocks meanwhile."""
        from airflow_provider_liftos.hooks.frame import frame

        return frame(self, report, since=since, until=until, accounts=accounts)


def read_connection(platform: Platform, connection: Any) -> Credentials:
    """Turn an Airflow connection into credentials; also ``facebook_social`` and its like.

    An API version that is switched off is replaced; sessions say so.
    """
    extra: dict[str, Any] = dict(platform.adopt(connection.extra_dejson))
    secret_names = {field.name for field in platform.conn_fields if field.secret}
    secrets = {name: Secret(str(extra.pop(name) or "")) for name in secret_names if name in extra}
    if connection.password and not secrets.get("access_token"):
        secrets["access_token"] = Secret(connection.password)
    for field in platform.conn_fields:
        if "://" in (address := str(extra.get(field.name) or "")):
            hosts.refuse(address, f"connection {connection.conn_id!r}, {field.name}")
    asked = str(extra.pop("api_version", None) or platform.newest()).strip()
    today = datetime.now(UTC).date()
    version = versions.choose(platform, asked, extra, today, str(connection.conn_id))
    return Credentials(
        org_id=str(extra.pop("org_id", None) or "default"),
        conn_id=str(connection.conn_id),
        base_url=http_address(
            connection, platform.base_url, insecure=_is_on(extra.get("allow_insecure"))
        ),
        version=version,
        asked_version=asked if asked != version else "",
        secrets=secrets,
        is_mock=_is_on(extra.pop("is_mock", False)),
        options=extra,
    )


def _is_on(value: object) -> bool:
    """A switch, also as the text that a connection given as URI makes of it."""
    return str(value).strip().lower() in {"true", "1", "yes", "on"}


def http_address(connection: Any, default: str, *, insecure: bool) -> str:
    """Where a connection leads; ConfigurationError when that is no address, or not a safe one."""
    host = (connection.host or "").strip()
    if not host:
        return default
    url = host if "://" in host else f"{connection.schema or 'https'}://{host}"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise ConfigurationError(
            f"connection {connection.conn_id!r}: host must be an http(s) address without"
            " credentials, such as https://graph.facebook.com"
        )
    hosts.refuse(url, f"connection {connection.conn_id!r}, host")
    if connection.port and not parts.port:
        url = url.replace(parts.netloc, f"{parts.netloc}:{connection.port}", 1)
    if parts.scheme == "http" and not insecure and not hosts.loopback(parts.hostname):
        raise ConfigurationError(
            f"connection {connection.conn_id!r}: plain http to {parts.hostname} would send the"
            " token in clear; use https, or set allow_insecure if you know better"
        )
    return url.rstrip("/")


def open_session(
    platform: Platform,
    credentials: Credentials,
    store: StateStore,
    lane: Lane = Lane.FRESH,
    *,
    api_conn_id: str = "",
) -> Session:
    """A session whose limits, breaker, tokens and clock live in the state store.

    It begins with a warning when the API version is soon to be switched off, or was and another
    one is spoken instead. ``api_conn_id`` is of the API server, which puts renewed credentials into
    the connection.
    """
    from airflow_provider_liftos.hooks import limits, observing, tokens
    from airflow_provider_liftos.resilience.flights import Flights
    from airflow_provider_liftos.resilience.limiter import Limiter
    from airflow_provider_liftos.transport.session import Session
    from airflow_provider_liftos.transport.versions import told

    today = versions.day(store.clock.now())
    session = Session(
        platform,
        credentials,
        limiter=Limiter(store, credentials.org_id),
        breaker=limits.breaker(store, credentials.org_id),
        now=store.clock.now,
        caps=limits.caps(platform),
        lane=lane,
        fallbacks=versions.fallbacks(platform, credentials.version, credentials.options, today),
        watch=observing.watch(platform),
        seating=Flights(store, credentials.org_id),
        **tokens.shared(platform, credentials, store, api_conn_id),
    )
    if asked := credentials.asked_version:
        reason = versions.why(platform, asked)
        session.usage.version = {"asked": asked, "used": credentials.version, "why": reason}
        session.usage.warn(told(platform, credentials, asked, reason))
    if warning := versions.ending(platform, credentials, today):
        session.usage.warn(warning)
    return session


def discover(session: Session, sender: Any) -> list[Account]:
    """Every account the token sees."""
    from airflow_provider_liftos.transport.versions import anew

    accounts = session.platform.accounts
    return list(anew(session, lambda: accounts(session, session.credentials), sender))


def listed(value: Any) -> list[str]:
    """Account ids from text, list or number, without prefixes such as ``act_``."""
    parts = value.split(",") if isinstance(value, str) else list(value or ())
    return [str(part).strip().removeprefix("act_") for part in parts if str(part).strip()]


def choose(
    found: Sequence[Account],
    credentials: Credentials,
    platform: Platform,
    named: Sequence[str] = (),
) -> tuple[list[Account], list[NotAuthorized]]:
    """Of the accounts found those ``named``, which the connection may narrow, or all it allows.

    With them comes an error for each id that is out of reach: one wrong id does not stop the
    others. Raises NotAuthorized if no account is left.
    """
    options = credentials.options
    allowed = listed(options.get("account_ids") or options.get("account_id"))
    by_id = {account.account_id: account for account in found}
    wanted = list(dict.fromkeys(named or allowed or by_id))
    accounts = [by_id[i] for i in wanted if i in by_id and (not allowed or i in allowed)]
    chosen = {account.account_id for account in accounts}
    refused = [account_id for account_id in wanted if account_id not in chosen]
    if not accounts:
        raise _nobody(refused, allowed, platform)
    return accounts, [_unseen(i, allowed, platform) for i in refused]


def pick(found: Sequence[Account], wanted: Sequence[str], platform: Platform) -> list[Account]:
    """These accounts; NotAuthorized names the first one that the token does not see."""
    by_id = {account.account_id: account for account in found}
    for account_id in wanted:
        if account_id not in by_id:
            raise _unseen(account_id, (), platform)
    return [by_id[account_id] for account_id in dict.fromkeys(wanted)]


def _unseen(account_id: str, allowed: Sequence[str], platform: Platform) -> NotAuthorized:
    """Why an account is out of reach, and what to do."""
    if allowed and account_id not in allowed:
        message = "the connection's account_ids do not name this account"
        hint = "Add it there, or ask for another."
    else:
        message = "the account does not exist, or the token has no access to it"
        hint = "Correct the id, or give the token access to that account."
    return NotAuthorized(
        message, platform=platform.name, account=account_id, hint=hint, one_account=True
    )


def _nobody(refused: Sequence[str], allowed: Sequence[str], platform: Platform) -> NotAuthorized:
    """The one error when there is no account to work on."""
    if len(refused) == 1:
        return _unseen(refused[0], allowed, platform)
    if refused:
        return NotAuthorized(
            f"none of the accounts asked for is within reach: {', '.join(refused)}",
            platform=platform.name,
            hint="Correct the ids, or give the token access to these accounts.",
        )
    return NotAuthorized(
        "the token sees no account",
        platform=platform.name,
        hint="Assign ad accounts to the system user, or check the token's permissions.",
    )
