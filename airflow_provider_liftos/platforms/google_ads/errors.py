"""What Google Ads says when it refuses, in either transport, and what that means.

An error is told as ``QuotaError.RESOURCE_EXHAUSTED of DEVELOPER: text``: class and code as Google's
reference names them, and for quotas whose it is. Rules look at that beginning.

Source: the error enums of the API (v26) and its pages on quotas and common errors.
"""

from __future__ import annotations

import base64
import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_provider_liftos.model.wire import Response, Rule, VendorError, Verdict

_FAILURE = re.compile(r"google\.ads\.googleads\.(v\d+)\.errors\.googleadsfailure-bin")
_RETRY_INFO = "google.rpc.retryinfo-bin"
_QUOTED = re.compile(r"'([\w.]+)'")


def _rule(
    verdict: Verdict, why: str, kind: str, *codes: str, of: str = "", one_account: bool = False
) -> Rule:
    text = rf"(?:^|; ){kind}\.(?:{'|'.join(codes) or '[A-Z_]+'}){f' of {of}' if of else ''}\b"
    return Rule(verdict=verdict, why=why, text=text, one_account=one_account)


RULES = (
    _rule(Verdict.THROTTLED, "the account is asked too often", "QuotaError",
          "RESOURCE_TEMPORARILY_EXHAUSTED", of="ACCOUNT", one_account=True),
    _rule(Verdict.THROTTLED, "Google is asked too often", "QuotaError",
          "RESOURCE_TEMPORARILY_EXHAUSTED"),
    _rule(Verdict.THROTTLED, "the account's allowance is used up", "QuotaError",
          "RESOURCE_EXHAUSTED", of="ACCOUNT", one_account=True),
    _rule(Verdict.THROTTLED, "the day's operations are used up", "QuotaError",
          "RESOURCE_EXHAUSTED"),
    _rule(Verdict.THROTTLED, "the account's queries were too costly", "QuotaError",
          "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION",
          "EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION", one_account=True),
    _rule(Verdict.REAUTHORIZE, "the project may not use the API", "QuotaError",
          "ACCESS_PROHIBITED"),
    _rule(Verdict.SHRINK, "the query takes Google too long", "InternalError", "DEADLINE_EXCEEDED"),
    _rule(Verdict.RETRY, "Google is unwell", "InternalError"),
    _rule(Verdict.RETRY, "Google is unwell", "DatabaseError", "CONCURRENT_MODIFICATION"),
    _rule(Verdict.SKIP, "the account is not active", "AuthorizationError", "CUSTOMER_NOT_ENABLED"),
    _rule(Verdict.SKIP, "the account does not exist", "AuthenticationError", "CUSTOMER_NOT_FOUND"),
    _rule(Verdict.REAUTHORIZE, "the token may not see the account (is login_customer_id right?)",
          "AuthorizationError", "USER_PERMISSION_DENIED",
          "INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION", one_account=True),
    _rule(Verdict.REAUTHORIZE, "the project or the user lacks a permission", "AuthorizationError"),
    _rule(Verdict.REAUTHORIZE, "login_customer_id is not valid", "HeaderError"),
    _rule(Verdict.REAUTHORIZE, "Google does not take the token", "AuthenticationError"),
    _rule(Verdict.REAUTHORIZE, "the project is not allowed to", "NotAllowlistedError"),
    _rule(Verdict.VERSION_DEAD, "this API version is switched off", "RequestError",
          "UNSUPPORTED_VERSION"),
    _rule(Verdict.FIELD_GONE, "Google does not know a field", "QueryError", "UNRECOGNIZED_FIELD"),
    _rule(Verdict.SHRINK, "too much data for one call", "QueryError", "DATE_RANGE_TOO_WIDE"),
    _rule(Verdict.SHRINK, "too much data for one call", "RequestError", "RESPONSE_TOO_LARGE"),
    Rule(verdict=Verdict.SHRINK, why="too much data for one call", status=frozenset({429}),
         text=r"received message larger than max|message length too large"),
    Rule(verdict=Verdict.REAUTHORIZE, why="Google gives no access token",
         text=r"^(invalid_grant|invalid_client|unauthorized_client|invalid_scope)\b"),
    Rule(verdict=Verdict.REAUTHORIZE, why="Google does not take the token",
         status=frozenset({401})),
    Rule(verdict=Verdict.THROTTLED, why="Google is asked too often", status=frozenset({429})),
    Rule(verdict=Verdict.RETRY, why="the call was broken off", status=frozenset({409, 499})),
    Rule(verdict=Verdict.VERSION_DEAD, why="there is no such API version here",
         status=frozenset({404, 501}), transient=False),
)  # fmt: skip

_PATIENCE = {
    "RESOURCE_TEMPORARILY_EXHAUSTED": 30.0,
    "RESOURCE_EXHAUSTED": 3600.0,
    "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION": 900.0,
    "EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION": 6 * 3600.0,
}
"""Seconds to wait where Google names no time, or (for a sliding day) one that is too short."""


def read(response: Response) -> VendorError | None:
    """The error of an answer, if it is one."""
    if response.status < 400:
        return None
    for name, value in response.headers.items():
        if found := _FAILURE.fullmatch(name):
            return _of_failure(found[1], _bytes(value), response)
    if response.body.lstrip()[:1] in {b"{", b"["}:
        return of_json(response.body, response.headers.get("request-id"))[0]
    text = response.body.decode("utf-8", "replace")[:300]
    if response.headers.get("content-type", "").startswith("text/html"):
        text = f"HTTP {response.status} without a readable body"
    wait = _retry_info(response.headers)
    unwell = response.status >= 500 and response.status != 501
    return VendorError(message=text, transient=unwell, wait=wait,
                       request_id=response.headers.get("request-id"))  # fmt: skip


def of_json(body: bytes, request_id: str | None = None) -> tuple[VendorError, int]:
    """An error as JSON says it (also in an array, as streams do), and its status."""
    try:
        said = json.loads(body)
    except ValueError:
        return VendorError(message="an error without a readable body", transient=True), 500
    said = said[0] if isinstance(said, list) and said else said
    envelope = said.get("error") if isinstance(said, dict) else None
    if isinstance(envelope, str):  # the token endpoint's way
        return VendorError(message=f"{envelope}: {said.get('error_description', '')}"), 400
    if not isinstance(envelope, dict):
        return VendorError(message="an error without an error object", transient=True), 500
    status = int(envelope.get("code") or 500)
    parts, wait = [], None
    for detail in filter(_is_object, envelope.get("details") or ()):
        request_id = detail.get("requestId") or request_id
        wait = wait or _seconds(detail.get("retryDelay"))
        parts += [_Part.of_json(error) for error in filter(_is_object, detail.get("errors") or ())]
    return _joined(parts, str(envelope.get("message") or ""), request_id, wait), status


class _Part:
    """One of the errors in a failure."""

    def __init__(self, kind: str, code: str, message: str, scope: str, delay: float | None) -> None:
        self.code = code
        self.message = message
        self.delay = delay
        self.text = f"{kind}.{code}{f' of {scope}' if scope else ''}: {message}"

    @classmethod
    def of_json(cls, error: Mapping[str, Any]) -> _Part:
        kind, code = next(iter((error.get("errorCode") or {}).items()), ("unknownError", "UNKNOWN"))
        quota = (error.get("details") or {}).get("quotaErrorDetails") or {}
        return cls(
            kind[:1].upper() + kind[1:], str(code), str(error.get("message") or ""),
            str(quota.get("rateScope") or ""), _seconds(quota.get("retryDelay")),
        )  # fmt: skip

    @classmethod
    def of_proto(cls, error: Any) -> _Part:
        which = error.error_code.WhichOneof("error_code") or ""
        code = "UNKNOWN"
        if which:
            field = error.error_code.DESCRIPTOR.fields_by_name[which]
            code = _name(field, getattr(error.error_code, which))
        quota = error.details.quota_error_details
        scope, delay = "", None
        if error.details.HasField("quota_error_details"):
            scope = _name(quota.DESCRIPTOR.fields_by_name["rate_scope"], quota.rate_scope)
            delay = quota.retry_delay.seconds + quota.retry_delay.nanos / 1e9 or None
        kind = "".join(part.title() for part in (which or "unknown_error").split("_"))
        return cls(kind, code, error.message, scope, delay)


def _name(field: Any, number: int) -> str:
    known = field.enum_type.values_by_number.get(number)
    return known.name if known else "UNKNOWN"


def _of_failure(version: str, value: bytes, response: Response) -> VendorError:
    text = response.body.decode("utf-8", "replace")[:300]
    request_id = response.headers.get("request-id")
    module = importlib.import_module(f"google.ads.googleads.{version}.errors.types.errors")
    from google.protobuf.message import DecodeError

    try:
        failure = module.GoogleAdsFailure.pb().FromString(value)
    except DecodeError:
        return VendorError(message=text, request_id=request_id)
    parts = [_Part.of_proto(error) for error in failure.errors]
    wait = _retry_info(response.headers)
    return _joined(parts, text, failure.request_id or request_id, wait)


def _joined(
    parts: list[_Part], text: str, request_id: str | None, wait: float | None
) -> VendorError:
    patience = max((_PATIENCE[p.code] for p in parts if p.code in _PATIENCE), default=None)
    delay = max((p.delay for p in parts if p.delay), default=wait)
    if patience == _PATIENCE["RESOURCE_TEMPORARILY_EXHAUSTED"]:
        patience = delay or patience
    elif patience:
        patience = max(patience, delay or 0.0)
    return VendorError(
        message="; ".join(part.text for part in parts) or text,
        request_id=request_id,
        field=next(_fields(parts), None),
        wait=patience or delay,
    )


def _fields(parts: list[_Part]) -> Iterator[str]:
    for part in parts:
        if part.code == "UNRECOGNIZED_FIELD" and (named := _QUOTED.search(part.message)):
            yield named[1]


def _retry_info(headers: Mapping[str, str]) -> float | None:
    """Seconds of google.rpc.RetryInfo."""
    if _RETRY_INFO not in headers:
        return None
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import RetryInfo

    try:
        delay = RetryInfo.FromString(_bytes(headers[_RETRY_INFO])).retry_delay
    except DecodeError:
        return None
    return float(delay.seconds) + float(delay.nanos) / 1e9 or None


def _bytes(value: str) -> bytes:
    try:
        return base64.b64decode(value)
    except ValueError:
        return b""


_is_object: Callable[[object], bool] = lambda value: isinstance(value, dict)  # noqa: E731


def _seconds(text: object) -> float | None:
    """``"5s"`` and ``"1.5s"``."""
    try:
        return float(str(text).removesuffix("s")) or None
    except ValueError:
        return None
