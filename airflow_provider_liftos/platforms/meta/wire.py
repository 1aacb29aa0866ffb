"""Meta's Graph as it is on the wire: authorization, errors, usage headers, pages.

Facts: Graph and Marketing API v26.0 documentation; error subcodes of the "Ads Insights" error page
of 2026-05-21; header formats as connectors have recorded them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import msgspec

from airflow_provider_liftos.model.platform import Credentials, Page, TokenFacts
from airflow_provider_liftos.model.wire import (
    Request,
    Response,
    Rule,
    Signal,
    VendorError,
    Verdict,
)


def _rule(
    verdict: Verdict,
    why: str,
    *codes: int,
    sub: tuple[int, ...] = (),
    text: str = "",
    one_account: bool = False,
) -> Rule:
    return Rule(
        verdict=verdict,
        why=why,
        code=frozenset(codes),
        subcode=frozenset(sub),
        text=text,
        one_account=one_account,
    )


ERRORS = (
    _rule(Verdict.REPORT_FAILED, "Meta gave up on the report", -2),
    _rule(Verdict.NOT_READY, "the result is not readable yet", 2601, 2637),
    _rule(Verdict.SHRINK, "too much data for one call", 2, 100, sub=(1504018, 1504038, 1487534)),
    _rule(Verdict.SHRINK, "too much data for one call", -3),
    _rule(Verdict.REJECTED, "breakdowns or metrics that do not go together", 2,
          sub=(1504041, 1504042)),
    _rule(Verdict.REJECTED, "the request can never succeed", 100, sub=(3191001,)),
    _rule(Verdict.THROTTLED, "Meta finds the app's calls abnormal", 613, sub=(1996,)),
    _rule(Verdict.THROTTLED, "the ad account is locked for a while", 17, sub=(2446079,),
          one_account=True),
    _rule(Verdict.THROTTLED, "a call limit of the ad account is reached",
          613, *range(80000, 80007), 80008, 80009, 80014, one_account=True),
    _rule(Verdict.THROTTLED, "a call limit of the app is reached", 4, 17, 32, 341),
    _rule(Verdict.SHRINK, "too much data for one call", 1, 100, text="reduce the amount of data"),
    _rule(Verdict.SHRINK, "too much data for one call", 1, sub=(99,)),
    _rule(Verdict.REAUTHORIZE, "the access token is not valid", 102, 190),
    _rule(Verdict.REAUTHORIZE, "the token lacks a permission", 3, 10, *range(200, 300),
          one_account=True),
    _rule(Verdict.REAUTHORIZE, "app_secret is not of the token's app", 100,
          text="appsecret_proof"),
    _rule(Verdict.VERSION_DEAD, "this API version is switched off", 2635),
    _rule(Verdict.FATAL, "Meta blocks the app for its behaviour", 368),
    _rule(Verdict.SKIP, "it does not exist, or the token has no access to it", 100, sub=(33,)),
    _rule(Verdict.FIELD_GONE, "Meta does not know a field", 100,
          text=r"nonexisting field|not valid for fields param"),
    _rule(Verdict.RETRY, "Meta has mixed up the fields of the report", 100,
          text=r"cannot include .* in summary param"),
    _rule(Verdict.REJECTED, "the window begins too long ago", 3018),
    _rule(Verdict.RETRY, "Meta is unwell", 1, 2, 104, 960),
    _rule(Verdict.REJECTED, "Meta refuses a parameter", 100),
)  # fmt: skip

_FIELD = re.compile(
    r"nonexisting field \(([\w.]+)\)|\(#100\) ([\w.]+) is not valid for fields param"
)
_LONG_PAUSE = {1996: 900.0}
"""Subcodes that ask for more patience than the headers say: 1996 is Meta's abuse signal."""


def authorize(request: Request, credentials: Credentials) -> Request:
    """Token into the header, since URLs land in logs; the proof can only be a parameter."""
    token = credentials.secret("access_token")
    headers = {**request.headers, "Authorization": f"Bearer {token}"}
    secret = credentials.secrets.get("app_secret")
    if not secret:
        return replace(request, headers=headers)
    proof = hmac.new(secret.reveal().encode(), token.encode(), hashlib.sha256).hexdigest()
    if request.form is not None:
        return replace(request, headers=headers, form={**request.form, "appsecret_proof": proof})
    return replace(request, headers=headers, query={**request.query, "appsecret_proof": proof})


def error(response: Response) -> VendorError | None:
    """The error of an answer, if it is one: Graph may hide it behind HTTP 200."""
    if response.status < 400 and not _says_error(response.body):
        return None
    try:
        body = json.loads(response.body)
    except ValueError:
        return VendorError(
            message=f"HTTP {response.status} without a readable body", transient=True
        )
    return vendor_error(body, response.status)


_OPENING = re.compile(rb'\s*\{\s*"(\w+)"\s*:')
_LARGEST_ERROR = 16_384


def _says_error(body: bytes) -> bool:
    """Whether an answer with a good status is an error. A page's rows are not decoded for it."""
    opening = _OPENING.match(body[:256])
    if opening is None or opening[1] == b"data":
        return False
    if opening[1] == b"error":
        return True
    if len(body) > _LARGEST_ERROR or b'"error"' not in body:
        return False
    try:
        return isinstance(json.loads(body).get("error"), dict)
    except ValueError:
        return False


def vendor_error(body: object, status: int) -> VendorError:
    """Read Graph's error envelope; anything else is an error without a code."""
    said = body.get("error") if isinstance(body, dict) else None
    if not isinstance(said, dict):
        return VendorError(message=f"HTTP {status} without an error object", transient=True)
    message = str(said.get("message") or "")
    named = _FIELD.search(message)
    subcode = _int(said.get("error_subcode"))
    return VendorError(
        code=_int(said.get("code")),
        subcode=subcode,
        message=" ".join(filter(None, (message, said.get("error_user_msg")))),
        transient=bool(said.get("is_transient")),
        request_id=said.get("fbtrace_id"),
        field=next(filter(None, named.groups()), None) if named else None,
        wait=_LONG_PAUSE.get(subcode or 0),
    )


def _int(value: object) -> int | None:
    try:
        return int(value)  # type: ignore[call-overload,no-any-return]
    except (TypeError, ValueError):
        return None


_DEPRECATED = re.compile(r"\bdeprecated\b|auto-upgraded", re.IGNORECASE)


def notices(headers: Mapping[str, str]) -> Sequence[str]:
    """Meta's warning about the version asked for."""
    said = headers.get("x-ad-api-version-warning")
    return [f"Meta warns: {said}"] if said else []


def outlived(headers: Mapping[str, str]) -> str:
    """What Meta says when the version asked for is dead and another one answered."""
    said = headers.get("x-ad-api-version-warning", "")
    return said if _DEPRECATED.search(said) else ""


_PAUSE_AT = 95.0
_SLOW_AT = 85.0


def signals(headers: Mapping[str, str], _account: str | None) -> Sequence[Signal]:
    """What the usage headers say; every use case counts, not only the first.

    Business use cases are counted per ad account or business, never per app, and name whose they
    are: on a call without an account, such as a batch of polls, they hold up those alone.
    """
    found: list[Signal] = []
    app = _header(headers, "x-app-usage")
    found.append(
        _signal("app", [app.get(k) for k in ("call_count", "total_time", "total_cputime")])
    )
    mine = _header(headers, "x-ad-account-usage")
    found.append(_signal("account", [mine.get("acc_id_util_pct")], mine.get("reset_time_duration")))
    insights = _header(headers, "x-fb-ads-insights-throttle")
    found.append(_signal("app", [insights.get("app_id_util_pct")]))
    found.append(_signal("account", [insights.get("acc_id_util_pct")]))
    for owner, uses in _header(headers, "x-business-use-case-usage").items():
        for use in filter(_is_object, uses if isinstance(uses, list) else ()):
            shares = [use.get(k) for k in ("call_count", "total_time", "total_cputime")]
            minutes = _number(use.get("estimated_time_to_regain_access"))
            signal = _signal("account", shares, minutes * 60)
            # Unlike a reset time, this wait is only ever named to those who are shut out.
            wait, account = max(signal.wait, minutes * 60), owner.removeprefix("act_")
            found.append(replace(signal, wait=wait, account=account))
    return [signal for signal in found if signal.wait > 0]


def _header(headers: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        value = json.loads(headers.get(name, "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


_DAY = 86_400.0


def _number(value: object) -> float:
    """The number, 0 for what is none; never more than a day's seconds, nor than sense."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0.0
    return min(max(number, 0.0), _DAY) if number == number else 0.0  # noqa: PLR0124  NaN


def _signal(key: str, shares: Sequence[object], hint: object = None) -> Signal:
    """Pause when nearly used up, breathe when close; the platform's own hint wins over ours."""
    used = max(map(_number, shares), default=0.0)
    wait = 0.0
    if used >= _PAUSE_AT:
        wait = _number(hint) or 60.0
    elif used >= _SLOW_AT:
        wait = min(_number(hint) or 10.0, 30.0)
    return Signal(key=key, used=used, wait=wait)


class _Cursors(msgspec.Struct):
    after: str | None = None


class _Paging(msgspec.Struct):
    cursors: _Cursors | None = None
    next: str | None = None


class _Envelope(msgspec.Struct):
    data: list[msgspec.Raw]
    paging: _Paging | None = None


_decode = msgspec.json.Decoder(_Envelope).decode


def page(body: bytes) -> Page:
    """A page of rows, undecoded.

    Only the absence of ``paging.next`` ends the list: pages may be empty and more may follow.
    ``next`` itself holds the token, so it is never followed.
    """
    try:
        envelope = _decode(body)
    except msgspec.MsgspecError as failure:
        raise ValueError(f"not a page: {failure}") from None
    paging = envelope.paging
    if paging is None or paging.next is None:
        return Page(rows=envelope.data, cursor=None)
    after = paging.cursors.after if paging.cursors else None
    if not after:
        raise ValueError("a page that is not the last names no cursor for the next")
    return Page(rows=envelope.data, cursor=after)


def edge(path: str, fields: Sequence[str], limit: int, after: str | None, **query: str) -> Request:
    """A GET of an edge, page by page; ``path`` begins with ``act_<account>`` or a report's id."""
    parameters = {"limit": str(limit), **query}
    if fields:
        parameters["fields"] = ",".join(fields)
    if after:
        parameters["after"] = after
    account = path.split("/", 1)[0].removeprefix("act_") if path.startswith("act_") else None
    return Request(method="GET", path=path, query=parameters, account=account)


def node(body: bytes) -> Page:
    """A single object as a page of one row."""
    try:
        row = msgspec.json.decode(body, type=msgspec.Raw)
        msgspec.json.decode(row, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError as failure:
        raise ValueError(f"not an object: {failure}") from None
    return Page(rows=[row], cursor=None)


def ask_token(credentials: Credentials) -> Request:
    """Ask what the token is.

    In a batch, because ``debug_token`` takes the token as a parameter and a batch travels in the
    body, not in a URL.
    """
    asked = f"debug_token?input_token={quote(credentials.secret('access_token'), safe='')}"
    calls = [{"method": "GET", "relative_url": asked}]
    return Request(method="POST", path="", form={"batch": json.dumps(calls)})


def read_token(body: bytes) -> TokenFacts:
    """Validity, scopes and expiry."""
    answers = json.loads(body)
    try:
        data = json.loads(answers[0]["body"])["data"]
    except (KeyError, IndexError, TypeError):
        raise ValueError("debug_token did not answer") from None
    failure = data.get("error") or {}
    return TokenFacts(
        valid=bool(data.get("is_valid")),
        scopes=tuple(data.get("scopes") or ()),
        expires_at=float(data.get("expires_at") or 0),
        note=str(failure.get("message") or ""),
    )
