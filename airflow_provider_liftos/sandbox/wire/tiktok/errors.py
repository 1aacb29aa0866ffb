"""Refusals: a code and a sentence in an envelope, nearly always under HTTP 200.

Codes are those of the official SDK's table; sentences in quotes in the tests were seen on the
wire by others, the rest are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class TikTokError(Exception):
    """A refusal in TikTok's words."""

    def __init__(self, code: int, message: str, *, status: int = 200) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def override(self, options: Mapping[str, Any]) -> TikTokError:
        """Let a fault order change code, status or message."""
        self.code = int(options.get("code", self.code))
        self.status = int(options.get("status", self.status))
        self.message = str(options.get("message", self.message))
        return self


def invalid(message: str) -> TikTokError:
    """Return 40002: a parameter is wrong."""
    return TikTokError(40002, message)


def lacking(name: str) -> TikTokError:
    """Return 40002: a required parameter is absent."""
    return invalid(f"{name}: Missing data for required field.")


def unknown_fields(kind: str, names: Sequence[str]) -> TikTokError:
    """Return 40002 for metrics, dimensions or fields that do not exist (any more)."""
    return invalid(f"Invalid {kind} fields: {list(names)}")


def conflict() -> TikTokError:
    """Return 40002: these dimensions, metrics and levels do not go together."""
    return invalid(
        "Conflict occurs. The input params including metrics and dimensions have no relation."
    )


def too_long(days: int, dimension: str | None) -> TikTokError:
    """Return 40002: more days than a report with this time dimension may cover."""
    tail = f" when use {dimension}" if dimension else ""
    return invalid(f"max time span is {days} days{tail}")


def too_many_ids(name: str, most: int) -> TikTokError:
    """Return 40011: a list of ids is too long."""
    return TikTokError(40011, f"{name}: Longer than maximum length {most}.")


def no_advertiser(advertiser: str) -> TikTokError:
    """Return 40001: not there, or not for this token; the platform does not say which."""
    return TikTokError(40001, f"No permission to operate advertiser {advertiser}.")


def no_scope(path: str) -> TikTokError:
    """Return 40001: the application was not granted this part of the interface."""
    return TikTokError(40001, f"The app has no permission to access this API: /{path}/")


def not_allowed(path: str) -> TikTokError:
    """Return 40118: this part of the interface is for listed applications only."""
    return TikTokError(40118, f"The app is not in the allowlist of this API: /{path}/")


def no_route(path: str) -> TikTokError:
    """Return 40400: no such path, or one without its slash at the end."""
    return TikTokError(40400, f"Route not found: {path}")


def dead_version(version: str) -> TikTokError:
    """Return 40006: this version was switched off."""
    return TikTokError(40006, f"Version {version} of this API is no longer supported.")


def empty_token() -> TikTokError:
    """Return 40104: nobody is asking."""
    return TikTokError(40104, "Access token is empty.")


def expired_token() -> TikTokError:
    """Return 40102: the token is over."""
    return TikTokError(40102, "Access token has expired.")


def bad_token() -> TikTokError:
    """Return 40105: the token is wrong, or was withdrawn."""
    return TikTokError(40105, "Access token is incorrect or has been revoked.")


def bad_code() -> TikTokError:
    """Return 40110: an authorization code serves once, for an hour."""
    return TikTokError(40110, "Auth_code is expired or has been used.")


def throttled() -> TikTokError:
    """Return 40100: too often; nothing says for how long."""
    return TikTokError(40100, "Too many requests. Please retry in some time.")


def timed_out() -> TikTokError:
    """Return 50002: the query took too long for one answer."""
    return TikTokError(50002, "System timeout. Please reduce the amount of data and try again.")


def broken() -> TikTokError:
    """Return 50000: the platform has a bad moment."""
    return TikTokError(50000, "System error. Please try again later.")


def no_task(task: str) -> TikTokError:
    """Return 40007: no such task, or one older than thirty days."""
    return TikTokError(40007, f"Task {task} does not exist.")


def foreign_task() -> TikTokError:
    """Return 40001: a task belongs to the token that created it."""
    return TikTokError(40001, "No permission to access the task.")


def not_ready() -> TikTokError:
    """Return 40201: the task's file cannot be read yet."""
    return TikTokError(40201, "Task is not ready. Please try again later.")


def task_over(status: str) -> TikTokError:
    """Return 40200: a task that ended without a file."""
    return TikTokError(40200, f"Task error: the task has no output, its status is {status}.")
