"""What is refused before anything is looked up: versions, tokens and limits out of order."""

from __future__ import annotations

import math
import re
from typing import Any

from airflow_provider_liftos.sandbox.faults import Fault
from airflow_provider_liftos.sandbox.wire import Headers, WireRequest
from airflow_provider_liftos.sandbox.world import World

from .auth import Token
from .call import LIVE, NEWEST
from .errors import (
    GraphError,
    dead_version,
    expired_token,
    locked_out,
    revoked_token,
    throttled,
    unknown_path,
)
from .usage import Load

_VERSION = re.compile(r"v(\d{1,3})\.\d")
# These belong to no version, or (``me``, the root of a batch) follow any.
OPEN = ("oauth", "debug_token")
_UNVERSIONED = ("", "me", *OPEN)
_TOKEN_FAULTS = ("token_expired", "token_revoked")
_LIMIT_FAULTS = ("rate_limit", "lockout")
_REGAIN = ("regain", "regain_seconds", "retry", "retry_seconds", "retry_after")
_REGAIN_SECONDS = 300


def split_path(path: str) -> tuple[str, tuple[str, ...]]:
    """Part a path into version (empty without one) and segments."""
    segments = tuple(part for part in path.split("/") if part)
    if segments and _VERSION.fullmatch(segments[0]):
        return segments[0], segments[1:]
    return "", segments


def _number(version: str) -> int:
    found = _VERSION.fullmatch(version)
    return int(found.group(1)) if found else 0


class Refusals:
    """Turns faults and rules into errors in the platform's words."""

    def __init__(self, world: World) -> None:
        self._world = world

    def check_version(
        self, request: WireRequest, version: str, segments: tuple[str, ...], account: str | None
    ) -> Headers:
        """Refuse a dead version where the endpoint changed; serve it with a warning elsewhere."""
        dead = self._world.faults.take(
            ("version_dead",),
            platform="meta",
            line=request.line,
            account=account,
            accept=lambda fault: fault.options.get("version") in (None, version),
        )
        if dead:
            raise dead_version(version, NEWEST).override(dead.options)
        first = (*segments, "")[0]
        if version in LIVE or first in OPEN or (not version and first in _UNVERSIONED):
            return []
        if not version:
            raise dead_version("unversioned", NEWEST)
        if _number(version) > _number(NEWEST):
            raise unknown_path(version)
        if "insights" in segments:
            raise dead_version(version, NEWEST)
        text = f"The call has been auto-upgraded to {NEWEST} as {version} has been deprecated."
        return [("X-Ad-Api-Version-Warning", text)]

    def check_token(self, request: WireRequest, account: str | None, token: Token) -> None:
        """Raise what faults say of the token; never of one issued after the fault was made."""
        fault = self._world.faults.take(
            _TOKEN_FAULTS,
            platform="meta",
            line=request.line,
            account=account,
            accept=lambda one: _means(one, token),
        )
        if fault:
            error = expired_token() if fault.kind == "token_expired" else revoked_token()
            raise error.override(fault.options)

    def check_limits(self, request: WireRequest, account: str | None, *, insights: bool) -> None:
        """Raise what faults say of the limits."""
        fault = self._world.faults.take(
            _LIMIT_FAULTS, platform="meta", line=request.line, account=account
        )
        if fault is None:
            return
        use_case = "ads_insights" if insights else "ads_management"
        error = locked_out() if fault.kind == "lockout" else throttled(use_case)
        error.regain = self._regain(fault)
        raise error.override(fault.options)

    def needs_proof(self, request: WireRequest, account: str | None) -> bool:
        """Say whether the call must be signed with the application's secret."""
        setting = self._world.require_proof
        if setting is True or (not isinstance(setting, bool) and account in setting):
            return True
        fault = self._world.faults.take(
            ("proof_required",), platform="meta", line=request.line, account=account
        )
        return fault is not None

    def load(self, request: WireRequest, account: str | None) -> Load:
        """Return how full the limits are to look."""
        fault = self._world.faults.take(
            ("utilisation",), platform="meta", line=request.line, account=account
        )
        if fault is None:
            return Load()
        options = fault.options
        return Load(
            percent=float(options.get("percent", 100)),
            regain=int(options.get("regain", 0)),
            header=options.get("header"),
        )

    def _regain(self, fault: Fault) -> int:
        """Return the seconds until access returns: what is left, or what the order says."""
        remaining = fault.remaining(self._world.clock.now())
        asked: Any = next(
            (fault.options[name] for name in _REGAIN if name in fault.options), _REGAIN_SECONDS
        )
        return remaining or math.ceil(float(asked))


def strained(error: GraphError, load: Load) -> Load:
    """Return the load that the headers of a refusal show."""
    return load if error.regain is None else Load(percent=100.0, regain=error.regain)


def _means(fault: Fault, token: Token) -> bool:
    named = fault.options.get("token")
    if named:
        return bool(named == token.value)
    return token.issued_at <= fault.made_at
