"""The headers that tell how much of each limit is used: on every answer, good or bad."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from dataclasses import dataclass

from airflow_provider_liftos.sandbox.dataset.chance import digest
from airflow_provider_liftos.sandbox.wire import Headers

TIER = "standard_access"
_IDLE = 1.5  # percent that a calm sandbox reports


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How full the limits are: ``percent`` used, ``regain`` seconds until access returns.

    ``header`` names the only header that shows it; None means all.
    """

    percent: float = _IDLE
    regain: int = 0
    header: str | None = None

    def shown_in(self, header: str) -> float:
        """Return the percentage for one header."""
        if self.header is None or self.header.lower() == header.lower():
            return self.percent
        return _IDLE


class Usage:
    """Writes the usage headers and the diagnostic ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: Counter[str] = Counter()

    def trace(self) -> str:
        """Return a new trace id."""
        with self._lock:
            self._served["trace"] += 1
            return "A" + digest("trace", self._served["trace"], size=8).hex()

    def headers(
        self, *, account: str | None, insights: bool, load: Load, version: str, trace: str
    ) -> Headers:
        """Return everything that Meta sends beside an answer."""
        app = load.shown_in("x-app-usage")
        headers = [
            ("X-App-Usage", _text(call_count=round(app), total_time=round(app), total_cputime=1)),
            ("facebook-api-version", version),
            ("x-fb-trace-id", trace),
            ("x-fb-request-id", "R" + trace),
            ("x-fb-rev", "1030000001"),
        ]
        if account:
            headers += [
                ("X-Ad-Account-Usage", _account(load)),
                ("X-Business-Use-Case-Usage", _use_cases(account, load, insights=insights)),
            ]
        if insights:
            percent = load.shown_in("x-fb-ads-insights-throttle")
            throttle = _text(
                app_id_util_pct=_IDLE, acc_id_util_pct=percent, ads_api_access_tier=TIER
            )
            reach = _text(app_id_util_pct=_IDLE, acc_id_util_pct=_IDLE)
            headers += [
                ("x-fb-ads-insights-throttle", throttle),
                ("x-Fb-Ads-Insights-Reach-Throttle", reach),
            ]
        return headers


def _text(**values: object) -> str:
    return json.dumps(values, separators=(",", ":"))


def _account(load: Load) -> str:
    percent = load.shown_in("x-ad-account-usage")
    return _text(acc_id_util_pct=percent, reset_time_duration=load.regain, ads_api_access_tier=TIER)


def _use_cases(account: str, load: Load, *, insights: bool) -> str:
    """Write the list of use cases; the full one comes last, so that all must be read."""
    percent = round(load.shown_in("x-business-use-case-usage"))
    minutes = math.ceil(load.regain / 60)
    busy = "ads_insights" if insights else "ads_management"
    calm = "ads_management" if insights else "ads_insights"
    cases = [
        {
            "type": kind,
            "call_count": used,
            "total_cputime": min(used, 3),
            "total_time": min(used, 5),
            "estimated_time_to_regain_access": wait,
            "ads_api_access_tier": TIER,
        }
        for kind, used, wait in ((calm, round(_IDLE), 0), (busy, percent, minutes))
    ]
    return json.dumps({account: cases}, separators=(",", ":"))
