"""How a person gives a connection access in a browser, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request

if TYPE_CHECKING:
    from airflow_provider_liftos.model.platform import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What the browser brought back, and what must be shown with it (``verifier``: PKCE's)."""

    value: Secret
    redirect_uri: str
    verifier: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What a consent brought.

    ``secrets`` go into the connection by these names. ``scopes`` is None where the answer does not
    name them, and the token has to be asked.
    """

    secrets: Mapping[str, Secret]
    scopes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """The platform's consent (OAuth 2.0, authorization code).

    ``page`` is where the person is sent, with ``parameters`` beside ``redirect_uri`` and ``state``;
    it raises ConfigurationError for a connection that cannot be connected so. ``needs`` names the
    connection's fields without which nothing can begin. ``code`` is what the platform calls the
    parameter that comes back. ``exchange`` makes secrets of it, ``lengthen`` makes long-lived ones
    of these where that is another request; ``read`` understands the answers of both.
    ``pkce``: the platform takes a challenge (S256).
    """

    page: Callable[[Credentials], str]
    parameters: Callable[[Credentials], Mapping[str, str]]
    needs: tuple[str, ...]
    exchange: Callable[[Credentials, Code], Request]
    read: Callable[[bytes], Granted]
    lengthen: Callable[[Credentials], Request] | None = None
    code: str = "code"
    pkce: bool = False
