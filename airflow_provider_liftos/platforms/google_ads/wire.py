"""Google Ads on the wire: queries as remote procedures or as REST, authorization, access tokens.

Facts: Google Ads API v26; OAuth 2.0 of Google. Developer tokens are ignored since 2026-09-09 and
sent only where the connection has one.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import (
    Caller,
    Credentials,
    Grant,
    Granted,
    Streamed,
    TokenFacts,
)
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request
from airflow_provider_liftos.platforms.google_ads import decode, schema
from airflow_provider_liftos.platforms.google_ads.schema import Leaf
from airflow_provider_liftos.transport.hosts import loopback

GRPC = "grpcs://googleads.googleapis.com:443"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105  an address
SCOPE = "https://www.googleapis.com/auth/adwords"
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_JWT_SECONDS = 3600
_JSON = {"Content-Type": "application/json"}


def digits(value: object) -> str:
    """A customer id without the dashes that people write."""
    return str(value or "").replace("-", "").strip()


def is_rest(credentials: Credentials) -> bool:
    """Which of the two transports the connection chose; ConfigurationError for a third."""
    chosen = str(credentials.options.get("transport") or "grpc").strip().lower()
    if chosen not in {"grpc", "rest"}:
        raise ConfigurationError(
            f"transport of connection {credentials.conn_id!r} is {chosen!r}; it is grpc or rest"
        )
    return chosen == "rest"


def endpoint(credentials: Credentials) -> str:
    """Where procedures are called: ``grpcs://host:port``, in clear (``grpc://``) on loopback."""
    given = str(credentials.options.get("grpc_endpoint") or GRPC).strip().rstrip("/")
    scheme, _, address = given.rpartition("://")
    host = urlsplit(f"//{address}").hostname or ""
    scheme = scheme or ("grpc" if loopback(host) else "grpcs")
    if scheme not in {"grpc", "grpcs"} or not host:
        raise ConfigurationError(
            f"grpc_endpoint of connection {credentials.conn_id!r} is no address of procedures",
            hint=f"It is like {GRPC}.",
        )
    if scheme == "grpc":
        _refuse_clear(credentials, host)
    return f"{scheme}://{address}"


def _refuse_clear(credentials: Credentials, host: str) -> None:
    insecure = str(credentials.options.get("allow_insecure")).lower() in {"true", "1", "yes", "on"}
    if not loopback(host) and not insecure:
        raise ConfigurationError(
            f"connection {credentials.conn_id!r}: plain text to {host} would send tokens in clear;"
            " use a secure address, or set allow_insecure if you know better"
        )


def authorize(request: Request, credentials: Credentials) -> Request:
    """The access token, and the manager through which the account is reached."""
    headers = {**request.headers, "Authorization": f"Bearer {credentials.secret('access_token')}"}
    if login := digits(request.via or credentials.options.get("login_customer_id")):
        headers["login-customer-id"] = login
    if developer := credentials.secrets.get("developer_token"):
        headers["developer-token"] = developer.reveal()
    return replace(request, headers=headers)


def stream(query: str, leaves: tuple[Leaf, ...], customer: str, credentials: Credentials,
           take: decode.Take | None = None) -> Streamed:  # fmt: skip
    """SearchStream: all rows of a query in one answer, each as JSON unless ``take`` says else."""
    version = credentials.version
    make = take or decode.Reader(leaves).lines
    asked = _question("SearchStream", "SearchGoogleAdsStreamRequest", query, customer, credentials)
    if is_rest(credentials):
        return Streamed(request=asked, decoder=lambda: decode.Batches(leaves, make))
    return Streamed(request=asked, decoder=lambda: decode.Messages(version, leaves, make))


def search(
    caller: Caller, query: str, leaves: tuple[Leaf, ...], customer: str, credentials: Credentials
) -> Generator[Any, Any, list[dict[str, Any]]]:
    """Search: rows of a short list, page by page, through ``customer`` itself."""
    reader, version = decode.Reader(leaves), credentials.version
    read: Callable[[bytes], Any] = decode.answers(leaves)
    if not is_rest(credentials):
        parse = schema.narrow(version, "SearchGoogleAdsResponse", leaves).FromString
        read = lambda body: decode.parsed(parse, body)  # noqa: E731
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        asked = _question("Search", "SearchGoogleAdsRequest", query, customer, credentials, token)
        answer = yield from caller.call(replace(asked, via=customer), read)
        columns = reader.columns(answer.results)
        names = [leaf.name for leaf in leaves]
        found += [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        token = answer.next_page_token
        if not token:
            return found


def _question(
    method: str, kind: str, query: str, customer: str, credentials: Credentials, token: str = ""
) -> Request:
    if is_rest(credentials):
        body = {"query": query, **({"pageToken": token} if token else {})}
        return Request(
            method="POST",
            path=f"customers/{customer}/googleAds:{method[0].lower()}{method[1:]}",
            body=json.dumps(body).encode(),
            headers=_JSON,
            account=customer,
            version=credentials.version,
        )
    message = getattr(schema.service(credentials.version), kind).pb()
    parts = {"customer_id": customer, "query": query, **({"page_token": token} if token else {})}
    return Request(
        method="POST",
        path=f"google.ads.googleads.{credentials.version}.services.GoogleAdsService/{method}",
        base_url=endpoint(credentials),
        body=message(**parts).SerializeToString(),
        headers={"x-goog-request-params": f"customer_id={customer}"},
        account=customer,
        version=credentials.version,
    )


def ask_roots(credentials: Credentials) -> Request:
    """Which customers the user has access to; the cheapest call that needs a token."""
    if is_rest(credentials):
        return Request(method="GET", path="customers:listAccessibleCustomers")
    service = f"google.ads.googleads.{credentials.version}.services.CustomerService"
    return Request(
        method="POST",
        path=f"{service}/ListAccessibleCustomers",
        base_url=endpoint(credentials),
        body=b"",
        version=credentials.version,
    )


def read_roots(body: bytes) -> Sequence[str]:
    """Ids in the answer of either transport; ValueError when it is none."""
    is_json = body[:1] == b"{"
    named = (json.loads(body).get("resourceNames") or ()) if is_json else _texts(body)
    if not all(isinstance(name, str) and name.startswith("customers/") for name in named):
        raise ValueError("not a list of customers")
    return [name.removeprefix("customers/") for name in named]


def _texts(body: bytes) -> list[str]:
    """A message with nothing but texts in its first field, of less than 128 bytes each."""
    found, at = [], 0
    while at < len(body):
        if body[at] != 0x0A or at + 1 >= len(body):
            raise ValueError("not a list of customers")
        end = at + 2 + body[at + 1]
        found.append(body[at + 2 : end].decode("ascii"))
        at = end
    return found


def read_token(body: bytes) -> TokenFacts:
    """An access token that was taken is valid; its life of an hour is nobody's concern."""
    read_roots(body)
    return TokenFacts(valid=True, scopes=(SCOPE,))


# -- access tokens ------------------------------------------------------------------------------


def _ask_access(credentials: Credentials) -> Request:
    """A service account's signed claim, or the user's refresh token."""
    signer = key(credentials)
    if signer:
        uri = str(credentials.options.get("token_uri") or signer.get("token_uri") or TOKEN_URI)
        claim = _claim(signer, uri, str(credentials.options.get("impersonated_email") or ""))
        form = {"grant_type": _JWT_GRANT, "assertion": claim}
    else:
        uri = str(credentials.options.get("token_uri") or TOKEN_URI)
        form = {
            "grant_type": "refresh_token",
            "client_id": str(credentials.options.get("client_id") or ""),
            "client_secret": credentials.secret("client_secret"),
            "refresh_token": credentials.secret("refresh_token"),
        }
    return to_token_uri(credentials, form, uri)


def to_token_uri(credentials: Credentials, form: Mapping[str, str], uri: str = "") -> Request:
    """A request to Google's token endpoint; ConfigurationError for an address that is not one."""
    uri = uri or str(credentials.options.get("token_uri") or TOKEN_URI)
    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            f"token_uri of connection {credentials.conn_id!r} is no http(s) address"
        )
    if parts.scheme == "http":
        _refuse_clear(credentials, parts.hostname)
    base, _, path = uri.rpartition("/")
    return Request(method="POST", base_url=base, path=path, form=form)


def _read_access(body: bytes) -> Granted:
    answer = json.loads(body)
    if not isinstance(answer, dict) or not answer.get("access_token"):
        raise ValueError("no access token")
    refresh = answer.get("refresh_token")
    return Granted(
        token=Secret(str(answer["access_token"])),
        lifetime=float(answer.get("expires_in") or 3600),
        refresh_token=Secret(str(refresh)) if refresh else None,
    )


GRANT = Grant(
    request=_ask_access,
    read=_read_access,
    credential=(
        "refresh_token", "client_id", "keyfile_dict", "json_key_file_path", "impersonated_email",
        "token_uri", "grpc_endpoint",
    ),
)  # fmt: skip


def key(credentials: Credentials) -> dict[str, Any]:
    """The key of a service account, as the console gave it, if the connection has one."""
    secret = credentials.secrets.get("keyfile_dict")
    text = secret.reveal() if secret else ""
    path = credentials.options.get("json_key_file_path")
    try:
        if not text and path:
            with open(str(path), encoding="utf-8") as file:  # noqa: PTH123  a path of the user's
                text = file.read()
        found = json.loads(text) if text.strip() else {}
    except (OSError, ValueError):
        found = None
    whole = isinstance(found, dict) and {"client_email", "private_key"} <= found.keys()
    if not whole and found != {}:
        raise ConfigurationError(
            f"the service account's key of connection {credentials.conn_id!r} cannot be read",
            hint="Paste the whole JSON file that Google's console gave you.",
        )
    return dict(found or {})


def _claim(key: dict[str, Any], audience: str, subject: str) -> str:
    """A signed JWT (RFC 7523)."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    now = int(time.time())
    head = {"alg": "RS256", "typ": "JWT", "kid": key.get("private_key_id", "")}
    body = {
        "iss": key["client_email"], "scope": SCOPE, "aud": audience,
        "iat": now, "exp": now + _JWT_SECONDS, **({"sub": subject} if subject else {}),
    }  # fmt: skip
    signed = f"{_base64(json.dumps(head).encode())}.{_base64(json.dumps(body).encode())}"
    private = None
    with suppress(ValueError, TypeError):
        private = load_pem_private_key(str(key["private_key"]).encode(), password=None)
    if not isinstance(private, RSAPrivateKey):
        raise ConfigurationError(
            "the private key of the service account cannot be read",
            hint="Paste the whole JSON file that Google's console gave you.",
        )
    signature = private.sign(signed.encode(), PKCS1v15(), SHA256())
    return f"{signed}.{_base64(signature)}"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
