"""A client of TikTok's wire that knows nothing but HTTP and JSON."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import Any

import httpx2

from airflow_provider_liftos.sandbox import Sandbox

APP = {"app_id": "1001", "secret": "sandbox-secret"}
LEVELS = {
    "account": ("AUCTION_ADVERTISER", "advertiser_id"),
    "campaign": ("AUCTION_CAMPAIGN", "campaign_id"),
    "ad_group": ("AUCTION_ADGROUP", "adgroup_id"),
    "ad": ("AUCTION_AD", "ad_id"),
}
EVERYTHING = {"campaign": "campaign_status", "ad_group": "adgroup_status", "ad": "ad_status"}
METRICS = ["spend", "impressions", "clicks", "conversion", "total_complete_payment_rate"]
WEEK = {"start_date": "2026-11-13", "end_date": "2026-11-19"}


def condition(field: str, kind: str, value: Any) -> dict[str, str]:
    return {"field_name": field, "filter_type": kind, "filter_value": json.dumps(value)}


class TikTok:
    """Calls TikTok's wire of a running sandbox."""

    def __init__(self, sandbox: Sandbox, token: str = "sandbox-token") -> None:
        self.sandbox = sandbox
        self.token = token
        self.http = httpx2.Client(base_url=f"{sandbox.url}/tiktok/open_api/v1.3/", timeout=60)

    def send(
        self, method: str, path: str, *, token: str | None = None, **asked: Any
    ) -> httpx2.Response:
        headers = {"Access-Token": self.token if token is None else token}
        if method == "POST":
            return self.http.post(path, json=asked, headers=headers)
        texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in asked.items()}
        return self.http.get(path, params=texts, headers=headers)

    def get(self, path: str, **asked: Any) -> dict[str, Any]:
        body = self.send("GET", path, **asked).json()
        assert body["code"] == 0, body
        return body["data"]

    def post(self, path: str, **asked: Any) -> dict[str, Any]:
        body = self.send("POST", path, **asked).json()
        assert body["code"] == 0, body
        return body["data"]

    def refusal(self, path: str, *, method: str = "GET", **asked: Any) -> tuple[int, str]:
        reply = self.send(method, path, **asked)
        body = reply.json()
        assert reply.status_code == 200
        assert body["code"] != 0
        assert body["data"] == {}
        return body["code"], body["message"]

    def pages(self, path: str, **asked: Any) -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = []
        while True:
            data = self.get(path, page=len(found) + 1, **asked)
            found.append(data["list"])
            if len(found) >= data["page_info"]["total_page"]:
                return found

    def rows(self, path: str, **asked: Any) -> list[dict[str, Any]]:
        return [row for page in self.pages(path, **asked) for row in page]

    def accounts(self) -> dict[str, str]:
        """Return the advertiser of every currency."""
        listed = self.get("oauth2/advertiser/get/", **APP)["list"]
        ids = [one["advertiser_id"] for one in listed]
        found = self.get("advertiser/info/", advertiser_ids=ids)["list"]
        return {one["currency"]: one["advertiser_id"] for one in found}

    def report(self, advertiser: str, level: str = "ad", **asked: Any) -> list[dict[str, Any]]:
        asked = question(advertiser, level, **asked)
        if level in EVERYTHING and "filtering" not in asked:
            asked["filtering"] = [condition(EVERYTHING[level], "IN", ["STATUS_ALL"])]
        rows = self.rows("report/integrated/get/", page_size=1000, **asked)
        return [{**row["metrics"], **row["dimensions"]} for row in rows]

    def task(self, advertiser: str, level: str = "ad", **asked: Any) -> str:
        asked = question(advertiser, level, **asked)
        asked.setdefault("enable_report_title_translation", False)
        return self.post("report/task/create/", **asked)["task_id"]

    def status(self, advertiser: str, task: str) -> str:
        return self.get("report/task/check/", advertiser_id=advertiser, task_id=task)["status"]

    def file(self, advertiser: str, task: str) -> list[dict[str, str]]:
        reply = self.send("GET", "report/task/download/", advertiser_id=advertiser, task_id=task)
        assert reply.headers["content-type"].startswith("text/csv")
        return read(reply.text)


def question(
    advertiser: str, level: str = "ad", *, breakdown: tuple[str, ...] = (), **asked: Any
) -> dict[str, Any]:
    name, identity = LEVELS[level]
    return {
        "advertiser_id": advertiser,
        "report_type": "AUDIENCE" if breakdown else "BASIC",
        "data_level": name,
        "dimensions": [identity, "stat_time_day", *breakdown],
        "metrics": METRICS,
        **WEEK,
        **asked,
    }


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def sums(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up what truth adds up, under truth's names."""

    def of(name: str) -> Decimal:
        return sum((Decimal(row[name]) for row in rows if row[name] != "-"), Decimal(0))

    return {
        "impressions": of("impressions"),
        "clicks": of("clicks"),
        "spend": of("spend"),
        "conversions": of("conversion"),
        "conversions_value": of("total_complete_payment_rate"),
        "rows": len(rows),
    }


def truth_sums(truth: dict[str, Any]) -> dict[str, Any]:
    return {name: Decimal(value) for name, value in truth["sums"].items()}
