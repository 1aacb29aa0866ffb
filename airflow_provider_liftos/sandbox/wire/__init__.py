"""One module per platform, found by walking this folder; each offers ``build(world)``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow_provider_liftos.sandbox.faults import Fault
    from airflow_provider_liftos.sandbox.world import World

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """A request as a platform sees it.

    ``path`` begins behind the platform's own prefix, ``route`` is the whole path, ``params``
    holds query and form together, ``headers`` has lower-case names, ``base_url`` is what the
    client called the platform's root.
    """

    method: str
    path: str
    route: str
    base_url: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def line(self) -> str:
        """Return ``METHOD path``, against which faults are matched."""
        return f"{self.method} {self.route}"


@dataclass(slots=True)
class Streamed:
    """A body that is made while it is sent; ``rows`` grows with it."""

    parts: Iterator[bytes] = field(default_factory=lambda: iter(()))
    rows: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WireResponse:
    """An answer; ``rows`` counts the records in it, for the journal.

    ``size`` is the number of bytes where they are not ``body``; ``streamed`` stands for a body
    that is too large to be made before it is sent.
    """

    status: int
    body: bytes
    headers: Headers = field(default_factory=list)
    rows: int = 0
    size: int = 0
    notes: Mapping[str, object] = field(default_factory=dict)
    streamed: Streamed | None = None


class Wire(Protocol):
    """What the server needs to know of a platform."""

    def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; never raises for anything a client can do."""
        ...

    def account_of(self, request: WireRequest) -> str | None:
        """Return the account a request is about, as far as its path tells."""
        ...

    def connection(self) -> Mapping[str, str]:
        """Return credentials that always work, by the names a connection form may use."""
        ...

    def broken(self, fault: Fault) -> WireResponse:
        """Return the platform's own way of failing with HTTP 500."""
        ...


def platforms() -> tuple[str, ...]:
    """Return the names of all platforms that have a wire."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def build_all(world: World) -> dict[str, Wire]:
    """Return every platform's wire over one world."""
    return {
        name: importlib.import_module(f"{__name__}.{name}").build(world) for name in platforms()
    }
