from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_liftos.model.wire import Response, Verdict, judge
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.platforms.tiktok import reading, wire
from airflow_provider_liftos.platforms.tiktok.table import Table

TIKTOK = get("tiktok")
V = Verdict


# -- errors -------------------------------------------------------------------------------------


def verdict(code: int, message: str = "no", **headers: str) -> tuple[Verdict, bool]:
    body = json.dumps({"code": code, "message": message, "request_id": "r", "data": {}})
    error = wire.error(Response(status=200, headers=headers, body=body.encode()))
    assert error is not None
    found = judge(TIKTOK.rules, 200, error)
    return found.verdict, found.one_account


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *(((code,), (V.THROTTLED, False)) for code in (40100, 40132, 61000, 60001)),
        *(((code,), (V.REAUTHORIZE, False)) for code in (40102, 40104, 40105, 40107, 40110)),
        *(((code,), (V.REAUTHORIZE, True)) for code in (40001, 40003, 40113, 40124, 40131, 40302)),
        ((40001, "The app has no permission to access this API"), (V.REAUTHORIZE, False)),
        ((40117,), (V.NOT_PREPARED, False)), ((40118,), (V.NOT_PREPARED, False)),
        ((40006,), (V.VERSION_DEAD, False)), ((40009,), (V.FATAL, False)),
        ((40007,), (V.SKIP, False)), ((40011,), (V.TOO_MANY_IDS, False)),
        ((40201,), (V.NOT_READY, False)), ((40200,), (V.REPORT_FAILED, False)),
        ((40002, "Invalid metric fields: ['likes']"), (V.FIELD_GONE, False)),
        ((40002, "Conflict occurs. The input params"), (V.REJECTED, False)),
        ((40002, "max time span is 30 days"), (V.SHRINK, False)),
        ((40002, "Not a valid string"), (V.REJECTED, False)), ((40000,), (V.REJECTED, False)),
        ((50002,), (V.SHRINK, False)),
        *(((code,), (V.RETRY, False)) for code in (40016, 40202, 40700, 50000, 51010, 51037, 52001, 53000)),
    ],
    ids=lambda value: str(value[0]) if isinstance(value[0], int) else value[0].value,
)  # fmt: skip
def test_every_known_code_has_its_meaning(
    error: tuple[Any, ...], expected: tuple[Verdict, bool]
) -> None:
    assert verdict(*error) == expected


def test_a_header_alone_says_that_ads_were_left_out() -> None:
    headers = {"x-tt-ads-throttle": "Number of ad ids is equal or more than 20k"}
    assert verdict(0, "OK", **headers) == (V.TOO_MANY_IDS, False)


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b"", 200, None), (b"ad_id_v2,stat_time_day\n1,2026-11-01\n", 200, None),
        (b'{"code": 0, "data": {}}', 200, None), (b'{"code": 20001, "data": {}}', 200, None),
        (b'{"code": "40100", "message": "x"}', 200, V.THROTTLED),
        (b"<html>", 502, V.RETRY), (b"", 500, V.RETRY), (b"[]", 503, V.RETRY),
        (b"slow down", 429, V.THROTTLED), (b"<html>", 404, V.REJECTED),
        (b'{"code": 40105}', 401, V.REAUTHORIZE), (b'{"broken', 200, None),
    ],
)  # fmt: skip
def test_answers_of_any_shape_are_judged(
    body: bytes, status: int, expected: Verdict | None
) -> None:
    error = wire.error(Response(status=status, headers={}, body=body))
    assert (judge(TIKTOK.rules, status, error).verdict if error else None) is expected


def test_the_field_that_is_gone_is_named() -> None:
    body = json.dumps({"code": 40002, "message": "Invalid metric fields: ['likes', 'shares']"})
    error = wire.error(Response(status=200, headers={}, body=body.encode()))
    assert error is not None
    assert error.field == "likes"


# -- pages and files ----------------------------------------------------------------------------


@given(st.integers(1, 1000), st.lists(st.integers(1, 1000), max_size=6))
def test_pages_that_become_smaller_on_the_way_neither_leave_out_nor_repeat(
    size: int, later: list[int]
) -> None:
    position, covered = 0, 0
    for wanted in (size, *later):
        asked = wire.paging(wanted, str(position) if position else None, 1000)
        page, fitting = int(asked["page"]), int(asked["page_size"])
        assert fitting <= wanted
        assert (page - 1) * fitting == position == covered
        position = covered = page * fitting


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"data": {}}', b'{"data": {"list": [{}]}}',
             b'{"data": {"list": [], "page_info": {"page": 0, "page_size": 1, "total_page": 2}}}']
)  # fmt: skip
def test_what_is_no_page_is_none(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        wire.page(body)


def test_rows_of_both_ways_are_alike() -> None:
    info = {"page": 1, "page_size": 10, "total_page": 1}
    parts = {"dimensions": {"campaign_id": "1", "stat_time_day": "2026-11-01 00:00:00"},
             "metrics": {"spend": "1.20", "campaign_name": 'a "b", c'}}  # fmt: skip
    body = json.dumps({"data": {"list": [parts, {"dimensions": {"campaign_id": "2"}, "metrics": {}}],
                                "page_info": info}})  # fmt: skip
    first, second = reading.page(body.encode()).rows
    assert json.loads(first) == parts["dimensions"] | parts["metrics"]
    assert json.loads(second) == {"campaign_id": "2"}
    text = (
        'campaign_id,stat_time_day,spend,campaign_name\n1,2026-11-01 00:00:00,1.20,"a ""b"", c"\n'
    )
    (row,) = read_table(text.encode(), 5)
    assert row == parts["dimensions"] | parts["metrics"]


def read_table(data: bytes, step: int, titles: tuple[str, ...] = ("campaign_id",)) -> list[Any]:
    table = Table(titles)
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    rows = [row for piece in pieces for row in table.feed(piece)]
    return [json.loads(row) for row in (*rows, *table.end())]


@given(
    st.lists(st.tuples(st.text(max_size=6), st.text("ab,\"\n\r'é🪑", max_size=8)), max_size=8),
    st.integers(1, 40),
    st.booleans(),
)
def test_a_file_reads_the_same_however_it_is_cut(
    rows: list[tuple[str, str]], step: int, last_break: bool
) -> None:
    rows = [(a.replace("\x00", ""), b) for a, b in rows]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["campaign_id", "campaign_name"])
    writer.writerows(rows)
    data = text.getvalue().encode("utf-8", "surrogatepass")
    try:
        data.decode()
    except UnicodeDecodeError:
        return
    data = data if last_break or not rows else data.removesuffix(b"\n")
    found = read_table(data, step)
    assert [(row["campaign_id"], row["campaign_name"]) for row in found] == rows


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"", "without titles"), (b"Campaign ID,Cost\n1,2\n", "no column 'campaign_id'"),
     (b"<html>502</html>", "no column"), (b"campaign_id,spend\n1\n", "a row of 1 values"),
     (b'campaign_id\n"1', "inside of a quoted"), (b"campaign_id\n1,2\n", "2 values under 1")],
)  # fmt: skip
def test_what_is_not_the_file_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_table(data, 7)
