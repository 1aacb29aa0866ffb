"""Access tokens that are made of something that lasts: in time, once, for all workers.

Who needs one looks into the store first. Whoever finds none that lasts takes a lease, looks again,
asks the platform, writes down what it got and only then uses it; the others wait for the row.
Without a key there is no row: each process asks for itself, where asking twice does no harm.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from airflow_provider_liftos.model.errors import (
    ConfigurationError,
    LiftosError,
    NotAuthorized,
    Throttled,
    Unavailable,
)
from airflow_provider_liftos.model.platform import Credentials, Grant, Granted, Platform
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.state.tokens import Kept, Tokens
from airflow_provider_liftos.transport.flow import Do, Flow, Sleep
from airflow_provider_liftos.transport.pace import LONGEST_SLEEP

MARGIN = 120.0
"""Seconds before its end at which an access token is replaced: a page may be long in coming."""

_DAY = 86_400.0
_PATIENCE = (0.2, 1.0, 5.0)
"""Seconds between attempts to write down what the platform will not hand out a second time."""

_JITTER = random.Random()  # noqa: S311  spreads those who wait, guards nothing


@dataclass(frozen=True, slots=True)
class Held:
    """The secrets that lie over the connection's now; ``number`` grows with each access token."""

    number: int = 0
    secrets: Mapping[str, Secret] = field(default_factory=dict)


class Grants:
    """The access token of one session, whose threads share it.

    ``ask`` sends a request as it is, and raises what its answer stands for; ``notice`` is told what
    a person should know, ``seen`` each new secret where it runs, and ``after`` what was kept.
    """

    def __init__(
        self,
        platform: Platform,
        credentials: Credentials,
        *,
        tokens: Tokens | None,
        now: Callable[[], float],
        ask: Callable[[Request], Flow[Response]],
        notice: Callable[[str], None],
        seen: Callable[[Mapping[str, Secret]], None],
        after: Callable[[Kept], None],
    ) -> None:
        self._platform = platform
        self._given = credentials
        self._tokens = tokens
        self._now, self._ask, self._notice = now, ask, notice
        self._seen, self._after = seen, after
        grant = platform.grant
        self._grant = grant if grant and grant.applies(credentials) else None
        self._one = threading.Lock()
        self._held = Held()
        self._until = -math.inf
        self._generation = 0  # of the row that the token held is from
        self._doubted = False
        self._unkept: Granted | None = None

    def ready(self) -> Flow[Held]:
        """Have an access token that lasts, where the platform gives them out.

        Raises:
            NotAuthorized: a person has to consent again; nothing is sent until the connection is
                another one.
            ConfigurationError: the next refresh token could not be kept.
            Throttled: somebody else is at it for too long.
        """
        grant = self._grant
        if grant is None or self._now() < self._until:
            return self._held
        # One asks for all: threads of a task share the session, and begin together.
        yield Do(self._one.acquire)
        try:
            if self._now() >= self._until:
                yield from self._renew(grant, _Sight(self._platform, grant, self._given))
        finally:
            self._one.release()
        return self._held

    def doubt(self, number: int | None) -> Flow[bool]:
        """The platform refuses the token of that number: whether there may be another one."""
        grant = self._grant
        if grant is None:
            return False
        if grant.early is not None:  # what it would be made of is what was refused
            sight = _Sight(self._platform, grant, self._given)
            kept = yield from self._found(sight)
            if kept is None or kept.secrets == self._held.secrets:
                return False
        if number in {None, self._held.number}:
            self._doubted, self._until = True, -math.inf
        return True

    def _renew(self, grant: Grant, sight: _Sight) -> Flow[None]:
        kept = yield from self._found(sight)
        if self._take_if_good(grant, kept):
            return
        self._believe(kept, sight)
        if self._tokens is not None and self._tokens.sealing:
            yield from self._under_lease(grant, self._tokens, sight, kept)
        elif grant.rotates:
            raise self._cannot_keep()
        elif grant.early is not None:
            self._until = math.inf  # it is good until its end, which nobody could outlast
        else:
            granted = yield from self._exchanged(grant, sight, kept)
            self._use(granted)

    def _under_lease(
        self, grant: Grant, tokens: Tokens, sight: _Sight, kept: Kept | None
    ) -> Flow[None]:
        root = kept.root if kept else sight.fingerprint
        give_up = self._now() + LONGEST_SLEEP
        while (lease := (yield Do(lambda: tokens.acquire(root)))) is None:
            if self._now() >= give_up:
                raise Throttled(
                    "another process has been asking for an access token for a minute",
                    retry_at=self._now() + LONGEST_SLEEP + 1, platform=self._platform.name,
                )  # fmt: skip
            yield Sleep(_JITTER.uniform(0.05, 0.5))
            kept = yield from self._found(sight)
            if self._take_if_good(grant, kept):
                return
            self._believe(kept, sight)
        try:
            yield from self._alone(grant, tokens, sight)
        except GeneratorExit:
            tokens.release(root, lease)  # nobody carries out effects any more
            raise
        except BaseException:
            yield Do(lambda: tokens.release(root, lease))
            raise
        yield Do(lambda: tokens.release(root, lease))

    def _alone(self, grant: Grant, tokens: Tokens, sight: _Sight) -> Flow[None]:
        """With the lease: somebody may have been quicker, or have died amid it."""
        kept = yield from self._found(sight)
        if self._unkept is None:
            if self._take_if_good(grant, kept):
                return
            self._believe(kept, sight)
        if grant.early is None:
            yield from self._exchange(grant, tokens, sight, kept)
        else:
            yield from self._prolong(grant, tokens, sight, kept)

    def _exchange(
        self, grant: Grant, tokens: Tokens, sight: _Sight, kept: Kept | None
    ) -> Flow[None]:
        lost = kept is not None and kept.intent_at is not None
        if grant.rotates or grant.early is not None:
            found = kept
            kept = yield Do(lambda: tokens.intend(sight.fingerprint, found))
            if kept is None:
                raise self._overtaken()
        granted = self._unkept
        if granted is None:
            granted = yield from self._exchanged(grant, sight, kept, lost=lost)
        self._unkept = granted
        secrets = {**(kept.secrets if kept else {}), **_secrets(granted)}
        self._seen(secrets)
        made = yield from self._written(tokens, sight, kept, secrets, granted.lifetime)
        self._unkept = None
        if made is None:
            raise self._overtaken()
        self._take(made, self._lasting(grant, made))
        yield Do(lambda: self._after(made))

    def _written(
        self, tokens: Tokens, sight: _Sight, kept: Kept | None, secrets: Mapping[str, Secret],
        lifetime: float,
    ) -> Flow[Kept | None]:  # fmt: skip
        """Before use: it may be the only copy of what the next exchange takes."""
        until = self._now() + lifetime
        found_by = sight.of(secrets)
        for pause in (*_PATIENCE, None):
            try:
                made: Kept | None = yield Do(
                    lambda: tokens.keep(
                        sight.fingerprint, kept, secrets, until, now_found_by=found_by
                    )
                )
            except Unavailable:
                if pause is None:
                    raise
                yield Sleep(pause)
            else:
                return made
        raise AssertionError  # the last attempt returns or raises

    def _exchanged(
        self, grant: Grant, sight: _Sight, kept: Kept | None, *, lost: bool = False
    ) -> Flow[Granted]:
        laid = {**self._given.secrets, **(kept.secrets if kept else {})}
        try:
            response = yield from self._ask(grant.request(replace(self._given, secrets=laid)))
        except NotAuthorized as error:
            permanent, error.renewable = error.renewable, False  # this was the attempt
            if permanent and grant.early is None:
                yield from self._refused(error, sight, kept, lost=lost)
            raise
        try:
            return grant.read(response.body)
        except ValueError as error:
            raise Unavailable(
                f"the answer to a request for an access token is none ({error})"[:200],
                platform=self._platform.name, status=response.status,
            ) from None  # fmt: skip

    def _refused(
        self, error: NotAuthorized, sight: _Sight, kept: Kept | None, *, lost: bool
    ) -> Flow[None]:
        """Say it, and remember it for everybody."""
        if lost:
            error.message += (
                "; the answer to the exchange before was lost, and with it the next refresh token"
            )
        error.message = f"re-authorize: {error.message}"
        error.hint = self._remedy()
        tokens = self._tokens
        if tokens is not None:
            why = error.message
            noted = yield Do(
                lambda: tokens.refuse(sight.fingerprint, kept, why=why, of=sight.whole)
            )
            if not noted:
                raise self._overtaken() from None

    def _prolong(
        self, grant: Grant, tokens: Tokens, sight: _Sight, kept: Kept | None
    ) -> Flow[None]:
        """An access token that is its own credential. Whatever fails, it is good until its end."""
        try:
            if kept is None or not kept.generation:
                kept = yield from self._looked_up(tokens, sight, kept)
            if kept is None or self._take_if_good(grant, kept) or kept.expires_at <= self._now():
                self._until = max(self._until, self._now() + _DAY)
                return
            yield from self._exchange(grant, tokens, sight, kept)
        except LiftosError as error:
            self._notice(
                f"{self._platform.title}: the access token of connection"
                f" {self._given.conn_id!r} could not be exchanged for a younger one: {_why(error)}"
            )
            if kept is not None:
                self._take(kept, self._now() + _DAY)
            self._until = self._now() + _DAY

    def _looked_up(self, tokens: Tokens, sight: _Sight, kept: Kept | None) -> Flow[Kept | None]:
        """What the platform says of the end of the connection's own token."""
        asked = self._platform.token(self._given)
        response = yield from self._ask(self._platform.authorize(asked, self._given))
        facts = self._platform.read_token(response.body)
        if not facts.valid:
            return None  # the call that follows will say it better
        until = facts.expires_at or math.inf
        return (  # type: ignore[no-any-return]
            yield Do(
                lambda: tokens.keep(
                    sight.fingerprint, kept, {}, until, now_found_by=sight.fingerprint
                )
            )
        )

    def _found(self, sight: _Sight) -> Flow[Kept | None]:
        tokens = self._tokens
        if tokens is None:
            return None
        kept: Kept | None = yield Do(lambda: tokens.find(sight.fingerprint))
        if kept is not None:
            self._seen(kept.secrets)
        return kept

    def _take_if_good(self, grant: Grant, kept: Kept | None) -> bool:
        if kept is None or not kept.generation:
            return False
        if self._doubted and kept.generation <= self._generation:
            return False
        until = self._lasting(grant, kept)
        if until <= self._now():
            return False
        self._take(kept, until)
        return True

    def _lasting(self, grant: Grant, kept: Kept) -> float:
        """Until when a kept token needs no thought."""
        if grant.early is None:
            return kept.expires_at - MARGIN
        if kept.intent_at is not None:  # tried, in vain: not again before tomorrow
            return max(kept.expires_at - grant.early, kept.intent_at + _DAY)
        return kept.expires_at - grant.early

    def _take(self, kept: Kept, until: float) -> None:
        self._generation = kept.generation
        self._hold(kept.secrets, until)

    def _use(self, granted: Granted) -> None:
        """For this process alone."""
        secrets = _secrets(granted)
        self._seen(secrets)
        self._hold(secrets, self._now() + granted.lifetime - MARGIN)

    def _hold(self, secrets: Mapping[str, Secret], until: float) -> None:
        self._doubted = False
        self._held = Held(self._held.number + 1, secrets)
        self._until = until

    def _believe(self, kept: Kept | None, sight: _Sight) -> None:
        """Ask nobody again who has said that a person must come."""
        if kept is not None and kept.refused and kept.refused_for == sight.whole:
            raise NotAuthorized(kept.refused, platform=self._platform.name, hint=self._remedy())

    def _remedy(self) -> str:
        return (
            f"Consent again, or put a new credential into connection {self._given.conn_id!r}; until"
            " then nothing more is sent."
        )

    def _overtaken(self) -> Unavailable:
        return Unavailable(
            "another process replaced the tokens at the same time", platform=self._platform.name
        )

    def _cannot_keep(self) -> ConfigurationError:
        return ConfigurationError(
            f"refresh tokens of {self._platform.title} are good for one exchange, and there is no"
            " key to keep the next one with; nothing was sent",
            platform=self._platform.name,
            hint="Set [liftos] credential_keys; `airflow liftos rotate-keys --new` prints a key.",
        )


def _secrets(granted: Granted) -> dict[str, Secret]:
    secrets = {"access_token": granted.token}
    if granted.refresh_token:
        secrets["refresh_token"] = granted.refresh_token
    return secrets


class _Sight:
    """A connection as the store sees it: digests that say nothing of what is in it."""

    def __init__(self, platform: Platform, grant: Grant, credentials: Credentials) -> None:
        self._platform = platform
        self._grant = grant
        self._credentials = credentials
        self.fingerprint = self.of({})

    def of(self, secrets: Mapping[str, Secret]) -> str:
        """Fingerprint of the credential with these secrets laid over it."""
        laid = {**self._credentials.secrets, **secrets}
        parts = [
            laid[name].reveal() if name in laid else self._credentials.options.get(name)
            for name in self._grant.credential
        ]
        return _digest([self._platform.name, self._credentials.base_url, *parts])

    @property
    def whole(self) -> str:
        """Digest of everything that a person could have changed."""
        given = self._credentials
        secrets = {name: secret.reveal() for name, secret in given.secrets.items()}
        return _digest([given.base_url, secrets, dict(given.options)])


def _digest(parts: list[object]) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _why(error: LiftosError) -> str:
    """A refusal without the platform's words: where they matter, the call itself will say them."""
    if isinstance(error, NotAuthorized):
        return f"it was refused (code {error.vendor_code})"
    return str(error)
