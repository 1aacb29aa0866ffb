"""A Graph server that costs next to nothing: pages are serialized once, then only dates and ids change.

``python -m tests.bench.server PORT ROWS ACCOUNTS DAYS [RUN_SECONDS]``. Rows have 26 fields and 13 actions, 1.5 KB,
numbers as texts. Speaks just enough of Meta's wire for every contestant: accounts, report runs
(finished at once), batches of polls, result pages of any size that divides the rows of a day.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from datetime import date, timedelta
from functools import cache
from urllib.parse import parse_qs, unquote_plus, urlsplit

FIRST_DAY = date(2026, 1, 1)
PAGE = 1000
_ACTIONS = (
    "link_click", "post_engagement", "page_engagement", "landing_page_view", "video_view",
    "post_reaction", "comment", "purchase", "omni_purchase", "add_to_cart", "initiate_checkout",
    "view_content", "offsite_conversion.fb_pixel_purchase",
)  # fmt: skip
_DATE, _BLOCK, _ACCOUNT = b"2000-00-00", b"70000", b"900000000000999"


def _row(number: int) -> dict[str, object]:
    clicks = 3 + number % 50
    impressions = clicks * 37 + number % 11
    spend = f"{clicks * 0.31:.2f}"
    return {
        "account_id": _ACCOUNT.decode(), "account_name": "Bench", "account_currency": "EUR",
        "campaign_id": "120210000000000001", "campaign_name": "Campaign of the benchmark",
        "adset_id": "120210000000000002", "adset_name": "Ad set of the benchmark",
        "ad_id": f"1202{_BLOCK.decode()}{number:06d}", "ad_name": f"Ad {number} ünïcode",
        "impressions": str(impressions), "clicks": str(clicks),
        "inline_link_clicks": str(clicks - 1), "spend": spend,
        "reach": str(impressions - 5), "frequency": "1.012345",
        "cpc": f"{float(spend) / clicks:.6f}", "cpm": f"{1000 * float(spend) / impressions:.6f}",
        "ctr": f"{100 * clicks / impressions:.6f}", "attribution_setting": "7d_click_1d_view",
        "unique_clicks": str(clicks - 2), "social_spend": "0.1", "cpp": "1.234567",
        "actions": [{"action_type": t, "value": str(1 + number % 7)} for t in _ACTIONS],
        "action_values": [
            {"action_type": t, "value": f"{(1 + number % 7) * 19.9:.2f}"}
            for t in ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase")
        ],
        "date_start": _DATE.decode(), "date_stop": _DATE.decode(),
    }  # fmt: skip


@cache
def _rows(size: int) -> bytes:
    return b",".join(json.dumps(_row(n), ensure_ascii=False).encode() for n in range(size))


def page(index: int, size: int, pages: int, days: int, account: bytes) -> bytes:
    """Result page ``index`` of ``pages``: days go round, blocks of ads follow."""
    day = str(FIRST_DAY + timedelta(days=index % days)).encode()
    block = str(70000 + index // days).encode()
    rows = _rows(size).replace(_DATE, day).replace(_BLOCK, block)
    rows = rows.replace(_ACCOUNT, account)
    if index + 1 >= pages:
        return b'{"data":[' + rows + b"]}"
    paging = b'],"paging":{"cursors":{"after":"%d"},"next":"http://x/?after=%d"}}' % (
        index + 1,
        index + 1,
    )
    return b'{"data":[' + rows + paging


class Server:
    def __init__(self, rows: int, accounts: int, days: int, run_seconds: int = 0) -> None:
        self.rows, self.accounts, self.days = rows, accounts, days
        self.ready_at = time.monotonic() + run_seconds

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                found = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(found[1])) if found else b""
                method, target, _ = head.split(" ", 2)
                answer = self.answer(method, target, body.decode())
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    b"content-length: %d\r\n\r\n" % len(answer)
                )
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def answer(self, method: str, target: str, body: str) -> bytes:
        parts = urlsplit(target)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        path = re.sub(r"^/v[\d.]+", "", parts.path).strip("/")
        if "batch" in body:
            calls = json.loads(parse_qs(body)["batch"][0])
            return json.dumps([self._polled(c["relative_url"]) for c in calls]).encode()
        if method == "POST":
            account = path.split("/")[0].removeprefix("act_")
            return json.dumps({"report_run_id": f"77{account[-3:]}"}).encode()
        if path.endswith("/insights"):
            return self._result(query, path)
        if path == "me/adaccounts":
            rows = [self._account(n) for n in range(1, self.accounts + 1)]
            return json.dumps({"data": rows}).encode()
        return json.dumps(self._status(path)).encode()

    def _account(self, number: int) -> dict[str, object]:
        return {"account_id": f"900000000000{number:03d}", "name": f"Bench {number}",
                "currency": "EUR", "timezone_name": "Europe/Berlin", "account_status": 1}  # fmt: skip

    def _status(self, run: str) -> dict[str, object]:
        if time.monotonic() < self.ready_at:
            return {"id": run, "async_status": "Job Running", "async_percent_completion": 40}
        return {"id": run, "async_status": "Job Completed", "async_percent_completion": 100}

    def _polled(self, url: str) -> dict[str, object]:
        run = unquote_plus(url).split("?")[0].strip("/").split("/")[-1]
        return {"code": 200, "headers": [], "body": json.dumps(self._status(run))}

    def _result(self, query: dict[str, str], path: str) -> bytes:
        size = min(int(query.get("limit", PAGE)), PAGE)
        pages = self.rows // self.accounts // size
        account = b"900000000000" + path.split("/", maxsplit=1)[0][-3:].encode()
        return page(int(query.get("after", 0)), size, pages, self.days, account)


async def main(port: int, rows: int, accounts: int, days: int, run_seconds: int = 0) -> None:
    _rows(PAGE)
    server = await asyncio.start_server(
        Server(rows, accounts, days, run_seconds).serve, "127.0.0.1", port, limit=1 << 20
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:6])))
