"""A client of the wire that knows nothing but HTTP and JSON."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx2

from airflow_provider_liftos.sandbox import Sandbox

TOKEN = "sandbox-token"


class Wire:
    """Calls Meta's wire of a running sandbox."""

    def __init__(self, sandbox: Sandbox, *, version: str = "v26.0") -> None:
        self.sandbox = sandbox
        self.version = version
        self.http = httpx2.Client(base_url=sandbox.url, timeout=60)

    def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = TOKEN,
        version: str | None = None,
        **params: Any,
    ) -> httpx2.Response:
        texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in params.items()}
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        prefix = self.version if version is None else version
        address = "/".join(part for part in ("/meta", prefix, path) if part)
        if method == "GET":
            return self.http.get(address, params=texts, headers=headers)
        return self.http.request(method, address, data=texts, headers=headers)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        return self.send("GET", path, **params).json()

    def error(self, path: str, *, method: str = "GET", **params: Any) -> dict[str, Any]:
        body = self.send(method, path, **params).json()
        assert "error" in body, body
        return body["error"]

    def pages(self, path: str, **params: Any) -> list[list[dict[str, Any]]]:
        found = []
        while True:
            body = self.get(path, **params)
            assert "data" in body, body
            found.append(body["data"])
            if "next" not in body.get("paging", {}):
                return found
            params["after"] = body["paging"]["cursors"]["after"]

    def rows(self, path: str, **params: Any) -> list[dict[str, Any]]:
        params.setdefault("limit", 500)
        return [row for page in self.pages(path, **params) for row in page]

    def accounts(self) -> dict[str, str]:
        """Return the node id of every account, by currency."""
        return {row["currency"]: row["id"] for row in self.rows("me/adaccounts", fields="currency")}

    def submit(self, act: str, **params: Any) -> str:
        return self.send("POST", f"{act}/insights", **params).json()["report_run_id"]

    def days(self, act: str) -> tuple[str, str]:
        """Return first and last day with data of an account."""
        rows = self.sandbox.truth(level="account", account=act)["rows"]
        return rows[0]["date"], rows[-1]["date"]


def span(since: str, until: str) -> str:
    return json.dumps({"since": since, "until": until})


def purchases(row: dict[str, Any]) -> tuple[int, Decimal]:
    """Read conversions as a client must: across channels if there, else plain purchases."""

    def of(items: list[dict[str, str]]) -> Decimal:
        by_type = {item["action_type"]: Decimal(item["value"]) for item in items}
        return by_type.get("omni_purchase", by_type.get("purchase", Decimal(0)))

    return int(of(row.get("actions", []))), of(row.get("action_values", []))


def sums(rows: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"impressions": 0, "clicks": 0, "conversions": 0}
    found.update(spend=Decimal(0), conversions_value=Decimal(0))
    for row in rows:
        found["impressions"] += int(row.get("impressions", 0))
        found["clicks"] += int(row.get("clicks", 0))
        found["spend"] += Decimal(row.get("spend", 0))
        number, value = purchases(row)
        found["conversions"] += number
        found["conversions_value"] += value
    return found


def truth_sums(truth: dict[str, Any]) -> dict[str, Any]:
    asked = truth["sums"]
    names = ("impressions", "clicks", "spend", "conversions", "conversions_value")
    return {
        name: Decimal(asked[name]) if isinstance(asked[name], str) else asked[name]
        for name in names
    }
