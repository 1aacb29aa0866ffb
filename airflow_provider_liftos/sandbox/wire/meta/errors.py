"""Graph errors: the envelope, and the refusals that clients have to tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class GraphError(Exception):
    """A refusal in Meta's words; ``status`` is only loosely tied to ``code`` on this platform.

    ``regain`` is set for limits: the seconds until access returns, which the headers tell.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int,
        subcode: int | None = None,
        status: int = 400,
        kind: str = "OAuthException",
        transient: bool = False,
        title: str | None = None,
        advice: str | None = None,
        regain: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.subcode = subcode
        self.status = status
        self.kind = kind
        self.transient = transient
        self.title = title
        self.advice = advice
        self.regain = regain

    def body(self, trace: str) -> dict[str, Any]:
        """Return the envelope; absent parts are absent, as on the wire."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.transient or self.title:
            error["is_transient"] = self.transient
        if self.title:
            error["error_user_title"] = self.title
        if self.advice:
            error["error_user_msg"] = self.advice
        return {"error": {**error, "fbtrace_id": trace}}

    def override(self, options: Mapping[str, Any]) -> GraphError:
        """Let a fault order change code, subcode, status or message."""
        self.code = int(options.get("code", self.code))
        if "subcode" in options:
            self.subcode = None if options["subcode"] is None else int(options["subcode"])
        self.status = int(options.get("status", self.status))
        self.message = str(options.get("message", self.message))
        self.transient = bool(options.get("transient", self.transient))
        return self


def invalid(message: str, *, subcode: int | None = None) -> GraphError:
    """Return error 100: a parameter is wrong."""
    return GraphError(f"(#100) {message}", code=100, subcode=subcode)


def missing(identity: str, *, verb: str = "get") -> GraphError:
    """Return 100/33: not there, or not for this token; the platform does not say which."""
    return GraphError(
        f"Unsupported {verb} request. Object with ID '{identity}' does not exist, cannot be "
        "loaded due to missing permissions, or does not support this operation. Please read the "
        "Graph API documentation at https://developers.facebook.com/docs/graph-api",
        code=100,
        subcode=33,
        kind="GraphMethodException",
    )


def nonexisting_field(field: str, node: str) -> GraphError:
    """Return the refusal of a field that a node does not (or no longer) have."""
    return GraphError(
        f"(#100) Tried accessing nonexisting field ({field}) on node type ({node})", code=100
    )


def invalid_insights_field(field: str) -> GraphError:
    """Return the refusal of a field that insights do not (or no longer) have."""
    return invalid(
        f"{field} is not valid for fields param. please check "
        "https://developers.facebook.com/docs/marketing-api/reference/ads-insights/ "
        "for all valid values"
    )


def unsupported(method: str, path: str) -> GraphError:
    """Return the refusal of a path or method that does not exist."""
    return GraphError(
        f"Unsupported {method.lower()} request to /{path}. Please read the Graph API documentation",
        code=100,
        kind="GraphMethodException",
    )


def unknown_path(path: str) -> GraphError:
    """Return error 2500 for a path that cannot be read."""
    return GraphError(f"Unknown path components: /{path}", code=2500)


def dead_version(version: str, newest: str) -> GraphError:
    """Return error 2635: a Marketing version that was switched off."""
    return GraphError(
        f"(#2635) You are calling a deprecated version of the Ads API ({version}). Please update "
        f"to the latest version: {newest}.",
        code=2635,
        title="Deprecated API version",
        advice=f"Please update to {newest}.",
    )


def no_token() -> GraphError:
    """Return error 104: nobody is asking."""
    return GraphError("An access token is required to request this resource.", code=104)


def bad_token(message: str, subcode: int | None, *, status: int = 400) -> GraphError:
    """Return error 190: the token is not (or no longer) good."""
    return GraphError(message, code=190, subcode=subcode, status=status)


def expired_token() -> GraphError:
    """Return 190/463."""
    return bad_token(
        "Error validating access token: Session has expired on Friday, 20-Nov-26 10:00:00 PST. "
        "The current time is later.",
        463,
    )


def revoked_token() -> GraphError:
    """Return 190/458: the person removed the application."""
    return bad_token(
        "Error validating access token: The user has not authorized application 1001.", 458
    )


def missing_permission() -> GraphError:
    """Return error 200: the token lacks ``ads_read``."""
    return GraphError(
        "(#200) Ad account owner has NOT grant ads_management or ads_read permission", code=200,
        status=403,
    )  # fmt: skip


def throttled(use_case: str) -> GraphError:
    """Return the limit of a business use case (80000 for insights, else 80004)."""
    code = 80000 if use_case == "ads_insights" else 80004
    return GraphError(
        f"(#{code}) There have been too many calls to this ad-account. Wait a bit and try again. "
        "For more info, please refer to https://developers.facebook.com/docs/graph-api/overview/"
        "rate-limiting.",
        code=code,
        subcode=2446079,
        title="Ad account has too many API calls",
        advice="Wait a bit and try again.",
    )


def locked_out() -> GraphError:
    """Return 17/2446079: the ad account is shut for up to an hour."""
    return GraphError(
        "(#17) User request limit reached",
        code=17,
        subcode=2446079,
        title="Ad account has too many API calls",
        advice="There have been too many calls from this ad-account. Wait a bit and try again.",
    )


def reduce_data() -> GraphError:
    """Return 1/99 with HTTP 500: this page is too heavy."""
    return GraphError(
        "Please reduce the amount of data you're asking for, then retry your request",
        code=1,
        subcode=99,
        status=500,
    )


def too_much_for_one_call() -> GraphError:
    """Return 100/1487534: the synchronous query is about too many rows."""
    return GraphError(
        "(#100) Please reduce the amount of data you're asking for, then retry your request",
        code=100,
        subcode=1487534,
        title="Too many rows",
        advice="The query is about too many rows for one call. Use an asynchronous report.",
    )


def not_ready(*, status: int = 400) -> GraphError:
    """Return 2601/1815107: the report exists but cannot be read yet."""
    return GraphError(
        "(#2601) Loading async report failed: the report is not ready to be read yet",
        code=2601,
        subcode=1815107,
        status=status,
        transient=True,
        title="Report not ready",
        advice="Try again in a moment.",
    )


def unavailable() -> GraphError:
    """Return error 2 with HTTP 500: the platform has a bad moment."""
    return GraphError(
        "An unexpected error has occurred. Please retry your request later.",
        code=2,
        status=500,
        transient=True,
    )
