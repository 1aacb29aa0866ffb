"""Pages on which a person consents, and the codes that come of it; each wire has its own words.

Applications are registered for answers to this machine, on any port, at a path that ends in
``/callback``; anything else is refused on a page, never by sending the browser there.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from itertools import count
from urllib.parse import urlencode

from .dataset.chance import digest
from .wire import WireRequest, WireResponse
from .world import World

_REGISTERED = re.compile(r"https?://(127\.0\.0\.1|localhost)(:\d{1,5})?(/[\w-]+)*/callback")
_TICKED = "scope:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a code stands for."""

    scopes: tuple[str, ...]
    redirect_uri: str
    challenge: str
    offline: bool
    expires_at: datetime


class Codes:
    """The codes of one application: each serves once, for a while."""

    def __init__(self, world: World, prefix: str, lifetime: timedelta) -> None:
        self._world = world
        self._prefix = prefix
        self._lifetime = lifetime
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._given: dict[str, Given | None] = {}

    def issue(
        self,
        scopes: Sequence[str],
        redirect_uri: str,
        *,
        challenge: str = "",
        offline: bool = False,
    ) -> str:
        """Make a code."""
        seed = (self._world.seed, self._prefix, next(self._numbers), self._world.clock.now())
        value = self._prefix + digest("code", *seed, size=20).hex()
        given = Given(
            scopes=tuple(scopes),
            redirect_uri=redirect_uri,
            challenge=challenge,
            offline=offline,
            expires_at=self._world.clock.now() + self._lifetime,
        )
        with self._lock:
            self._given[value] = given
        self._world.keep_secret(value)
        return value

    def known(self, value: str) -> bool:
        """Say whether it was issued here, spent or not."""
        return value in self._given

    def spend(self, value: str) -> Given | None:
        """Return what a code stands for, the first time it is shown; also when it is too old."""
        with self._lock:
            given = self._given.get(value)
            if value in self._given:
                self._given[value] = None
        return given

    def too_old(self, given: Given) -> bool:
        """Say whether its time has passed."""
        return given.expires_at <= self._world.clock.now()


def registered(redirect_uri: str) -> bool:
    """Say whether the application's answers may be sent there."""
    return _REGISTERED.fullmatch(redirect_uri) is not None


def consent(
    request: WireRequest,
    *,
    title: str,
    scopes: Mapping[str, str],
    agreed: Callable[[Sequence[str]], Mapping[str, str]],
    declined: Mapping[str, str],
    fragment: str = "",
) -> WireResponse:
    """Show the page, or follow the decision made on it.

    ``scopes`` gives each scope its label, ``agreed`` makes parameters of those that were left
    ticked; ``declined`` are the parameters of a refusal. ``state`` is returned in either case.
    """
    decision = request.params.get("decision") if request.method == "POST" else None
    if decision not in ("allow", "deny"):
        return _html(200, _page(title, scopes))
    kept = [scope for scope in scopes if f"{_TICKED}{scope}" in request.params]
    answer = {**(agreed(kept) if decision == "allow" else declined)}
    if "state" in request.params:
        answer["state"] = request.params["state"]
    target = request.params["redirect_uri"]
    location = f"{target}{'&' if '?' in target else '?'}{urlencode(answer)}{fragment}"
    return WireResponse(status=303, body=b"", headers=[("location", location)])


def refusal(text: str) -> WireResponse:
    """Return the page of a request that is wrong: the browser stays here."""
    return _html(400, f"<h1>Error</h1><p>{escape(text)}</p>")


def _page(title: str, scopes: Mapping[str, str]) -> str:
    boxes = "".join(
        f'<p><label><input type="checkbox" name="{_TICKED}{escape(scope)}" checked> '
        f"{escape(label)}</label></p>"
        for scope, label in scopes.items()
    )
    return (
        f"<h1>{escape(title)}</h1><p>liftos-sandbox asks for access to your accounts.</p>"
        f'<form method="post">{boxes}'
        '<button name="decision" value="allow">Allow</button> '
        '<button name="decision" value="deny">Deny</button></form>'
    )


def _html(status: int, body: str) -> WireResponse:
    whole = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Consent</title>{body}'
    return WireResponse(
        status=status, body=whole.encode(), headers=[("content-type", "text/html; charset=utf-8")]
    )
