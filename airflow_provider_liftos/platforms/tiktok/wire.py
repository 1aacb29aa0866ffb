"""TikTok's Business API as it is on the wire: authorization, envelope, codes, pages by number.

Facts: API v1.3; codes of the table that TikTok's own SDK ships, handled as other connectors do. An
answer is ``{code, message, request_id, data}``, errors too, under HTTP 200; only gateways fail
otherwise. Nothing says how long a limit lasts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from airflow_provider_liftos.model.platform import Credentials, Page, Paged, TokenFacts
from airflow_provider_liftos.model.wire import Request, Response, Rule, VendorError, Verdict


def _rule(
    verdict: Verdict, why: str, *codes: int, text: str = "", one_account: bool = False
) -> Rule:
    return Rule(verdict=verdict, why=why, code=frozenset(codes), text=text, one_account=one_account)


_CUT = "X-Tt-Ads-Throttle"
_INVALID = r"Invalid \w+ fields?: \[\W*(\w+)"

ERRORS = (
    _rule(Verdict.TOO_MANY_IDS, "only the newest 20,000 ads would be counted", text=_CUT),
    _rule(Verdict.TOO_MANY_IDS, "too many ids for one call", 40011),
    _rule(Verdict.THROTTLED, "a call limit of the app is reached", 40100, 40132, 61000),
    Rule(verdict=Verdict.THROTTLED, why="a call limit is reached", status=frozenset({429})),
    _rule(Verdict.THROTTLED, "TikTok is under maintenance", 60001),
    _rule(Verdict.REAUTHORIZE, "the access token is not valid", 40102, 40104, 40105, 40107, 40110),
    _rule(Verdict.NOT_PREPARED, "TikTok prepares no reports for this app", 40117, 40118),
    _rule(Verdict.REAUTHORIZE, "the app lacks a permission", 40001, 40003, text="the app "),
    _rule(Verdict.REAUTHORIZE, "the token has no access to the account",
          40001, 40003, 40101, 40113, *range(40124, 40132), *range(40300, 40303),
          one_account=True),
    _rule(Verdict.VERSION_DEAD, "this API version is switched off", 40006),
    _rule(Verdict.FATAL, "TikTok's own sandbox does not do that", 40009, 40010, 40013),
    _rule(Verdict.SKIP, "it does not exist (any more)", 40007),
    _rule(Verdict.NOT_READY, "the result is not readable yet", 40201),
    _rule(Verdict.REPORT_FAILED, "TikTok gave up on the report", 40200),
    _rule(Verdict.FIELD_GONE, "TikTok does not know a field", 40002, text=_INVALID),
    _rule(Verdict.REJECTED, "dimensions or metrics that do not go together", 40002,
          text="Conflict occurs"),
    _rule(Verdict.SHRINK, "too many days for one call", 40002, text="max time span"),
    # The same question timing out three times blocks it for ten minutes: never ask it as it was.
    _rule(Verdict.SHRINK, "TikTok took too long over it", 50002),
    _rule(Verdict.RETRY, "TikTok is unwell",
          40016, 40202, 40700, 50000, *range(51000, 51100), *range(52000, 54000)),
)  # fmt: skip

_MAINTENANCE = 60001
_MAINTENANCE_PAUSE = 600.0
_PARTIAL = 20001
"""Success of some parts; which, ``data`` tells. No call of ours has several."""


def authorize(request: Request, credentials: Credentials) -> Request:
    """Token into TikTok's own header."""
    headers = {**request.headers, "Access-Token": credentials.secret("access_token")}
    return replace(request, headers=headers)


class _Envelope(msgspec.Struct):
    code: int | str | None = None
    message: str | None = None
    request_id: str | None = None


_read_envelope = msgspec.json.Decoder(_Envelope).decode


def error(response: Response) -> VendorError | None:
    """The error of an answer, if it is one; also an answer whose header says that ads are missing.

    What is no envelope may be a file, and what is empty was read while it came.
    """
    if cut := response.headers.get(_CUT.lower()):
        return VendorError(message=f"{_CUT}: {cut}")
    if response.status < 400 and response.body.lstrip()[:1] != b"{":
        return None
    try:
        said = _read_envelope(response.body)
    except msgspec.MsgspecError:
        said = _Envelope()
    code = _code(said.code)
    if response.status < 400 and code in {None, 0, _PARTIAL}:
        return None
    message = said.message or f"HTTP {response.status} without an envelope"
    named = re.search(_INVALID, message)
    return VendorError(
        code=code,
        message=message,
        transient=code is None and response.status >= 500,
        request_id=said.request_id,
        field=named[1] if named else None,
        wait=_MAINTENANCE_PAUSE if code == _MAINTENANCE else None,
    )


def _code(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isdigit() else None


class _PageInfo(msgspec.Struct):
    page: int
    page_size: int
    total_page: int


class _List(msgspec.Struct, rename={"rows": "list"}):
    rows: list[msgspec.Raw]
    page_info: _PageInfo | None = None


class _Listed(msgspec.Struct):
    data: _List


_read_list = msgspec.json.Decoder(_Listed).decode


def rows(body: bytes) -> Page:
    """A list that comes as a whole, undecoded."""
    return Page(rows=_listed(body).rows, cursor=None)


def page(body: bytes) -> Page:
    """A page of a list, undecoded; its cursor is the position behind it.

    A position instead of a number, because pages may become smaller on the way. Only the number of
    pages ends the list: a page may be empty and more may follow.
    """
    found = _listed(body)
    info = found.page_info
    if info is None or info.page < 1:
        raise ValueError("a page that does not say which it is")
    position = str(info.page * info.page_size)
    return Page(rows=found.rows, cursor=position if info.page < info.total_page else None)


def _listed(body: bytes) -> _List:
    try:
        return _read_list(body).data
    except msgspec.MsgspecError as failure:
        raise ValueError(f"not a list: {failure}") from None


def paging(size: int, cursor: str | None, most: int) -> dict[str, str]:
    """Number and size of the page that begins at a position; its size divides the position."""
    position = int(cursor or 0)
    fitting = next(n for n in range(min(size, most), 0, -1) if position % n == 0)
    return {"page": str(position // fitting + 1), "page_size": str(fitting)}


def get(path: str, account: str | None, **query: Any) -> Request:
    """A GET; lists and objects in its query are JSON texts."""
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in query.items()
    }
    if account:
        texts = {"advertiser_id": account, **texts}
    return Request(method="GET", path=path, query=texts, account=account)


def post(path: str, account: str, **body: Any) -> Request:
    """A POST, whose body is JSON throughout."""
    return Request(
        method="POST",
        path=path,
        body=json.dumps({"advertiser_id": account, **body}).encode(),
        headers={"Content-Type": "application/json"},
        account=account,
    )


class _Object(msgspec.Struct):
    data: dict[str, Any]


_read_object = msgspec.json.Decoder(_Object).decode


def data(body: bytes) -> Mapping[str, Any]:
    """The ``data`` of an envelope."""
    try:
        return _read_object(body).data
    except msgspec.MsgspecError as failure:
        raise ValueError(f"not an envelope with data: {failure}") from None


def listing(
    path: str,
    account: str,
    query: Mapping[str, Any],
    *,
    most: int = 1000,
    read: Callable[[bytes], Page] = page,
) -> Paged:
    """A list, page by page, of at most ``most`` rows each."""

    def request(size: int, cursor: str | None) -> Request:
        return get(path, account, **query, **paging(size, cursor, most))

    return Paged(request=request, page=read, page_size=most)


def ask_token(_credentials: Credentials) -> Request:
    """Ask who gave the token: the cheapest call that needs one."""
    return get("user/info/", None)


def read_token(body: bytes) -> TokenFacts:
    """It was accepted. Scopes are not told; tokens for advertisers do not expire."""
    data(body)
    return TokenFacts(valid=True)


def some(ids: Sequence[str], most: int) -> list[Sequence[str]]:
    """The ids in groups of at most ``most``."""
    return [ids[start : start + most] for start in range(0, len(ids), most)]
