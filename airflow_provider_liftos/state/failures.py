"""What a database's refusal means for the reader."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    TimeoutError,  # noqa: A004  SQLAlchemy's, of a pool that has no connection to give
)

from airflow_provider_liftos.model.errors import (
    ConfigurationError,
    LiftosError,
    StagingError,
    Unavailable,
)

_FULL = ("disk is full", "no space left", "disk i/o error")
_FORBIDDEN = (
    "unable to open database file",
    "readonly database",
    "file is not a database",
    "permission denied",
    "authentication failed",
    "no password supplied",
    "already exists",
)
# SQLite has one class of error for wrong statements and for everything else.
_WRONG_STATEMENT = ("no such", "syntax error", "has no column")
_TEMPORARY = (OperationalError, InterfaceError, sqlite3.OperationalError)
# Of a process that stood still amid a transaction: Postgres has rolled it back and hung up. What
# a pooler makes of that, the driver cannot read, and has no code for.
_STOOD_STILL = ("25P03", "25P04", None)
_UNKNOWN_PLACE = ("does not exist",)  # of a Postgres database or role, while connecting

# Setting up a SQLite connection happens below SQLAlchemy's own translation.
DATABASE_ERRORS = (DBAPIError, TimeoutError, sqlite3.Error)


def meaning(error: DBAPIError | TimeoutError | sqlite3.Error, where: str) -> LiftosError | None:
    """Our error for a database's; None when it is the statement that is wrong.

    Only the driver's first line is quoted: it names hosts and users, never passwords or values.
    """
    if isinstance(error, IntegrityError | DataError):
        return None  # Postgres quotes values in these, which may say anything
    if isinstance(error, TimeoutError):
        return Unavailable(
            f"The state store {where} did not answer: all connections of this process are in use.",
            hint="The step was not begun and can be run again.",
        )
    cause = error.orig if isinstance(error, DBAPIError) else error
    said = str(cause).strip()
    line = said.splitlines()[0] if said else type(cause).__name__
    lowered = line.lower()
    if _any(_FULL, lowered):
        return StagingError(
            f"The state store {where} cannot write: {line}.",
            hint="Free some space; the unfinished step was rolled back and can be run again.",
        )
    connecting = isinstance(error, DBAPIError) and error.statement is None
    if _any(_FORBIDDEN, lowered) or (connecting and _any(_UNKNOWN_PLACE, lowered)):
        return ConfigurationError(
            f"The state store {where} cannot be used: {line}.",
            hint="Give Airflow's user a file, or a Postgres schema, of its own that it may write.",
        )
    code = getattr(cause, "sqlstate", "")
    hung_up = isinstance(error, InternalError) and code in _STOOD_STILL
    if hung_up or (isinstance(error, _TEMPORARY) and not _any(_WRONG_STATEMENT, lowered)):
        return Unavailable(
            f"The state store {where} did not answer: {line}.",
            hint="The unfinished step was rolled back and can be run again.",
        )
    return None


def withhold_values(error: DBAPIError | TimeoutError | sqlite3.Error) -> None:
    """Leave out of an error's text what Postgres quotes of the row: it ends up in a task's log."""
    if not isinstance(error, IntegrityError | DataError) or error.orig is None:
        return
    kind = type(error.orig).__name__
    said = str(error.orig).strip().splitlines() if isinstance(error, IntegrityError) else []
    text = f"{kind}: {said[0]}" if said else kind
    error.args, error.orig.args = (f"({text})",), (text,)


def _any(words: tuple[str, ...], text: str) -> bool:
    return any(word in text for word in words)
