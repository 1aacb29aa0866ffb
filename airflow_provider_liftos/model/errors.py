"""What can go wrong, by meaning rather than by code.

::

    LiftosError                     platform, account, status, vendor_code, request_id, hint
    ├─ ConfigurationError           a person must change a connection, a DAG or a setting
    │  ├─ NotAuthorized             a person must consent, or grant a permission, again
    │  └─ VersionGone(version)      the API version is switched off
    ├─ PlatformError
    │  ├─ Throttled(retry_at)       wait; never counts as a failure of the breaker
    │  ├─ Unavailable               try again; counts for the breaker
    │  │  └─ Unreadable             an answer came, but not what the platform documents
    │  ├─ TooMuchData               ask for less: smaller pages, fewer days, ids or fields
    │  │  └─ TooManyIds             only fewer ids will help
    │  ├─ FieldGone(field)          the platform dropped a field: ask again without it, report it
    │  ├─ NotReady                  the result exists but cannot be read yet: ask again shortly
    │  ├─ Missing                   the thing asked for is not there (any more)
    │  ├─ ReportFailed              the platform gave up on a report: submit it again, maybe smaller
    │  ├─ NotPrepared               the platform prepares no such report: read it at once instead
    │  └─ Rejected                  the request itself is wrong; asking again cannot help
    ├─ CircuitOpen(until)           nothing was sent: the platform failed too often just now
    ├─ Unforeseen                   a bug, met by the work on one slice; the others go on
    ├─ StagingError                 a staged file cannot be written or is not as its manifest says
    ├─ WarehouseError               the warehouse refused; nothing that was published has changed
    │  ├─ WarehouseDenied           and will until a person grants or corrects something: it is a
    │  │                            ConfigurationError, too
    │  └─ WarehouseCrowded          it takes no further connection now; those that are open go on
    └─ QualityError(score, failed)  the audit said no; nothing was published

Only operators know what Airflow makes of each of these.
"""

from __future__ import annotations

from collections.abc import Sequence


class LiftosError(Exception):
    """Root of everything this package raises on purpose.

    ``hint`` says what the reader can do; it is printed behind the message.
    """

    def __init__(
        self,
        message: str,
        *,
        platform: str | None = None,
        account: str | None = None,
        status: int | None = None,
        vendor_code: str | None = None,
        request_id: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.platform = platform
        self.account = account
        self.status = status
        self.vendor_code = vendor_code
        self.request_id = request_id
        self.hint = hint

    def __str__(self) -> str:
        """One line: where, for whom, what, with which vendor code, and what to do."""
        where = " ".join(part for part in (self.platform, self.account) if part)
        facts = ", ".join(
            f"{name} {value}"
            for name, value in (
                ("HTTP", self.status),
                ("code", self.vendor_code),
                ("request", self.request_id),
            )
            if value is not None
        )
        line = f"{where}: {self.message}" if where else self.message
        line = f"{line} ({facts})" if facts else line
        return f"{line.rstrip('.')}. {self.hint}" if self.hint else line


class ConfigurationError(LiftosError):
    """A person must change a connection, a DAG or a setting; trying again cannot help."""


class NotAuthorized(ConfigurationError):
    """The platform refuses the credentials, a permission, or an account.

    ``one_account`` says that others may still be within reach, ``renewable`` that another access
    token might be taken; ``token`` is the number of the one refused.
    """

    def __init__(
        self,
        message: str,
        *,
        one_account: bool = False,
        renewable: bool = False,
        **facts: object,
    ) -> None:
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.one_account = one_account
        self.renewable = renewable
        self.token: int | None = None


class VersionGone(ConfigurationError):
    """The platform has switched off the API version ``version``.

    What was asked in its words can be asked anew if the session speaks another one by then.
    """

    def __init__(self, message: str, *, version: str, **facts: object) -> None:
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.version = version


class PlatformError(LiftosError):
    """The platform answered, or failed to."""


class Throttled(PlatformError):
    """The platform, or our own limiter, asks us to wait until ``retry_at`` (epoch seconds).

    ``begun`` says that a read was broken off by it, of which pages had come already.
    """

    def __init__(self, message: str, *, retry_at: float, **facts: object) -> None:
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.retry_at = retry_at
        self.begun = False


class Unavailable(PlatformError):
    """Time-outs, resets, 5xx, bodies that are not what they should be."""


class Unreadable(Unavailable):
    """An answer came, and is not what the platform documents."""


class TooMuchData(PlatformError):
    """The answer would be too large: ask for less at once."""


class TooManyIds(TooMuchData):
    """The platform would look at some of the entities only: ask about fewer of them at once."""


class FieldGone(PlatformError):
    """The platform no longer knows ``field``."""

    def __init__(self, message: str, *, field: str, **facts: object) -> None:
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.field = field


class NotReady(PlatformError):
    """A finished report whose rows cannot be read yet."""


class Missing(PlatformError):
    """A report or an entity that is not there (any more)."""


class ReportFailed(PlatformError):
    """The platform gave up on a report."""


class NotPrepared(PlatformError):
    """The platform does not prepare this report, or not for this app; it may be read at once."""


class Rejected(PlatformError):
    """A request that can never succeed as it is."""


class CircuitOpen(PlatformError):
    """Nothing was sent: too many failures in a row. ``until`` is in epoch seconds."""

    def __init__(self, message: str, *, until: float, **facts: object) -> None:
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.until = until


class Unforeseen(LiftosError):
    """An exception that is none of these, raised by the work on one slice; asking again is idle."""


class StagingError(LiftosError):
    """A staged file cannot be written or read, or is not what its manifest says."""


class WarehouseError(LiftosError):
    """The warehouse refused or is out of reach; published rows are as they were."""


class WarehouseDenied(WarehouseError, ConfigurationError):
    """The warehouse refuses the login, a right, a name or a place; trying again cannot help."""


class WarehouseCrowded(WarehouseError):
    """The warehouse takes no further connection now; those that are open go on."""


class QualityError(LiftosError):
    """The audit refused to publish."""

    def __init__(self, message: str, *, score: float, failed: Sequence[str]) -> None:
        super().__init__(message)
        self.score = score
        self.failed = tuple(failed)
