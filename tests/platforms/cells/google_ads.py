from __future__ import annotations

from collections.abc import Mapping

from tests.platforms.cells import GIVEN_UP, PARTIAL, REFUSED, Cell, cell

CALM = 5
"""An access token, and one query for each account's report and campaigns."""

REST = {"transport": "rest"}
STREAM = "searchStream"


def _over_rest(*cells: Cell) -> tuple[Cell, ...]:
    from dataclasses import replace

    return tuple(replace(one, options=REST, name=f"{one} over REST") for one in cells)


_OF_THE_LINE = (
    cell("http_500", extra=3, times=3, match=STREAM),
    cell("http_500", extra=3, times=3, match=STREAM, bare=True,
         name="http_500 without an error object"),
    cell("http_500", GIVEN_UP, extra=12, match=STREAM, name="http_500 for ever"),
    cell("http_502_html", extra=3, times=3, match=STREAM),
    cell("timeout", extra=1, times=1, match=STREAM),
    cell("reset", extra=3, times=3, match=STREAM),
    cell("truncated_body", extra=3, times=3, match=STREAM),
    cell("http_502_html", GIVEN_UP, extra=12, match=STREAM, name="http_502_html for ever"),
    cell("timeout", GIVEN_UP, extra=12, match=STREAM, name="timeout for ever"),
    cell("reset", GIVEN_UP, extra=12, match=STREAM, name="reset for ever"),
    cell("truncated_body", GIVEN_UP, extra=12, match=STREAM, name="truncated_body for ever"),
    cell("slow", times=2, seconds=0.2, match=STREAM),
)  # fmt: skip
_SPOKEN = (
    cell("rate_limit", extra=2, times=2),
    cell("rate_limit", extra=2, times=2, regain=120, name="rate_limit for minutes"),
    cell("lockout", extra=3, one_account=True, regain=3600),
    cell("token_expired", extra=2, times=1),
    cell("token_revoked", REFUSED, extra=6, told="token"),
    cell("version_dead", REFUSED, extra=3, told="switched off"),
    cell("field_gone", extra=3, field="metrics.view_through_conversions",
         dropped=("metrics.view_through_conversions",)),
    cell("field_gone", extra=3, field="ad_group.name", name="field_gone, a name",
         dropped=("ad_group.name",)),
    cell("field_gone", extra=3, field="campaign.serving_status", name="field_gone, of a stream",
         dropped=("campaign.serving_status",)),
    cell("field_gone", PARTIAL, extra=2, field="ad_group_ad.ad.id", one_account=True,
         name="field_gone, an id", told="ad_group_ad.ad.id"),
    cell("too_much_data", extra=12, max_days=1, field="ad_group_ad.ad.id", one_account=True),
    cell("empty_page_mid_stream", times=2, match=STREAM),
)  # fmt: skip

CELLS = (
    *_OF_THE_LINE,
    *_SPOKEN,
    *_over_rest(*_OF_THE_LINE, *_SPOKEN),
    cell("reset", extra=1, times=1, match="token", name="reset of the token endpoint"),
    cell("http_502_html", extra=1, times=1, match="token", name="page of the token endpoint"),
)

DOES_NOT_APPLY: Mapping[str, str] = {
    "rows_changed": "only rows of Meta can be made wrong",
    "job_failed": "nothing is prepared: answers come at once",
    "job_skipped": "nothing is prepared: answers come at once",
    "job_stuck": "nothing is prepared: answers come at once",
    "result_not_ready": "nothing is prepared: answers come at once",
    "async_refused": "nothing is prepared: answers come at once",
    "duplicate_page": "reports and entities come as streams, which have no pages",
    "utilisation": "no header tells how much of a limit is used",
    "proof_required": "calls are not signed",
    "batch_null": "there are no batches of calls",
    "ads_cut": "no limit on the number of ads is silent",
}
