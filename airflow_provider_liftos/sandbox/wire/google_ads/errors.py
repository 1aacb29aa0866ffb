"""Google's refusals: one error, its place in GoogleAdsFailure, and how either transport says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# gRPC status: what HTTP says, and the text above the failure's own.
STATUSES: dict[str, tuple[int, str]] = {
    "INVALID_ARGUMENT": (400, "Request contains an invalid argument."),
    "UNAUTHENTICATED": (401, "Request had invalid authentication credentials."),
    "PERMISSION_DENIED": (403, "The caller does not have permission"),
    "NOT_FOUND": (404, "Requested entity was not found."),
    "RESOURCE_EXHAUSTED": (429, "Resource has been exhausted (e.g. check quota)."),
    "INTERNAL": (500, "Internal error encountered."),
    "UNIMPLEMENTED": (501, "Operation is not implemented, or supported, or enabled."),
    "UNAVAILABLE": (503, "The service is currently unavailable."),
    "DEADLINE_EXCEEDED": (504, "Deadline expired before operation could complete."),
}


class AdsError(Exception):
    """A refusal in Google's words.

    ``kind`` and ``code`` name it inside GoogleAdsFailure (``query_error``,
    ``UNRECOGNIZED_FIELD``); without ``kind`` there is a status and nothing else.
    ``retry_delay`` (seconds), ``rate_scope`` and ``rate_name`` are details of a quota.
    """

    def __init__(
        self,
        kind: str,
        code: str,
        message: str,
        *,
        status: str = "INVALID_ARGUMENT",
        trigger: str = "",
        retry_delay: float | None = None,
        rate_scope: str = "",
        rate_name: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.message = message
        self.status = status
        self.trigger = trigger
        self.retry_delay = retry_delay
        self.rate_scope = rate_scope
        self.rate_name = rate_name

    @property
    def http(self) -> int:
        """Return the HTTP status."""
        return STATUSES[self.status][0]

    @property
    def text(self) -> str:
        """Return the text beside the status; the failure's own message is inside."""
        return STATUSES[self.status][1] if self.kind else self.message

    def override(self, options: Mapping[str, Any]) -> AdsError:
        """Let a fault order change status, message or code (``quotaError.RESOURCE_EXHAUSTED``)."""
        kind, _, code = str(options.get("code", "")).rpartition(".")
        if code:
            self.code = code
            self.kind = snake(kind) if kind else self.kind
        self.message = str(options.get("message", self.message))
        self.status = str(options.get("status", self.status))
        if self.status not in STATUSES:
            self.status = "INTERNAL"
        return self

    def body(self, version: str, request_id: str) -> dict[str, Any]:
        """Return the error as REST says it."""
        shown: dict[str, Any] = {"code": self.http, "message": self.text, "status": self.status}
        if self.kind:
            shown["details"] = [
                {
                    "@type": f"type.googleapis.com/google.ads.googleads.{version}"
                    ".errors.GoogleAdsFailure",
                    "errors": [self._inner()],
                    "requestId": request_id,
                }
            ]
        return {"error": shown}

    def _inner(self) -> dict[str, Any]:
        inner: dict[str, Any] = {
            "errorCode": {camel(self.kind): self.code},
            "message": self.message,
        }
        if self.trigger:
            inner["trigger"] = {"stringValue": self.trigger}
        if self.rate_scope:
            quota = {"rateScope": self.rate_scope, "rateName": self.rate_name}
            if self.retry_delay is not None:
                quota["retryDelay"] = f"{self.retry_delay:g}s"
            inner["details"] = {"quotaErrorDetails": quota}
        return inner


def camel(name: str) -> str:
    """Write ``query_error`` as ``queryError``."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def snake(name: str) -> str:
    """Write ``queryError`` as ``query_error``."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def query_error(code: str, message: str, *, trigger: str = "") -> AdsError:
    """Return a refusal of a query."""
    return AdsError("query_error", code, message, trigger=trigger)


def request_error(code: str, message: str) -> AdsError:
    """Return a refusal of a request."""
    return AdsError("request_error", code, message)


def unrecognized_field(name: str) -> AdsError:
    """Return the refusal of a field that does not (or no longer) exist."""
    return query_error(
        "UNRECOGNIZED_FIELD", f"Unrecognized field in the query: '{name}'.", trigger=name
    )


def unsupported_version(version: str) -> AdsError:
    """Return the refusal of a version that was switched off."""
    return request_error(
        "UNSUPPORTED_VERSION",
        f"Version {version} is deprecated. Requests to this version will be blocked.",
    )


def unauthenticated(code: str, message: str) -> AdsError:
    """Return a refusal of the token."""
    return AdsError("authentication_error", code, message, status="UNAUTHENTICATED")


def denied(code: str, message: str) -> AdsError:
    """Return a refusal of access to a customer."""
    return AdsError("authorization_error", code, message, status="PERMISSION_DENIED")


def too_fast(seconds: float) -> AdsError:
    """Return the limit of requests per account; it says when to come back."""
    return AdsError(
        "quota_error",
        "RESOURCE_TEMPORARILY_EXHAUSTED",
        f"Too many requests. Retry in {seconds:g} seconds.",
        status="RESOURCE_EXHAUSTED",
        retry_delay=seconds,
        rate_scope="ACCOUNT",
        rate_name="Requests per account",
    )


def day_used_up() -> AdsError:
    """Return the limit of operations per day; a sliding day tells no moment of return."""
    return AdsError(
        "quota_error",
        "RESOURCE_EXHAUSTED",
        "Too many operations in the last 24 hours.",
        status="RESOURCE_EXHAUSTED",
        rate_scope="DEVELOPER",
        rate_name="Number of operations for basic access",
    )


def internal() -> AdsError:
    """Return a bad moment of the platform."""
    return AdsError(
        "internal_error", "INTERNAL_ERROR", "An internal error has occurred.", status="INTERNAL"
    )


def too_long() -> AdsError:
    """Return the end of the platform's patience with a heavy query."""
    return AdsError(
        "internal_error",
        "DEADLINE_EXCEEDED",
        "The request took longer than a deadline.",
        status="DEADLINE_EXCEEDED",
    )
