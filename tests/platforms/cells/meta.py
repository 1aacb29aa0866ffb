from __future__ import annotations

from collections.abc import Mapping

from tests.platforms.cells import GIVEN_UP, PARTIAL, REFUSED, cell

CALM = 9

CELLS = (
    cell("http_500", extra=3, times=3),
    cell("http_500", extra=3, times=3, bare=True, name="http_500 without an error object"),
    cell("http_500", GIVEN_UP, extra=6, match="act_", name="http_500 for ever"),
    cell("http_502_html", extra=3, times=3),
    cell("timeout", extra=1, times=1, match="GET"),
    cell("timeout", extra=1, times=1, match="POST .*act_.*insights", name="timeout of a submission"),
    cell("reset", extra=3, times=3),
    cell("reset", extra=1, times=1, match="POST .*act_.*insights", name="reset of a submission"),
    cell("truncated_body", extra=3, times=3),
    cell("slow", times=2, seconds=0.3),
    cell("rate_limit", extra=2, times=2),
    cell("rate_limit", extra=2, times=2, code=613, subcode=1996, name="rate_limit, as abuse"),
    cell("rate_limit", extra=2, times=2, code=4, status=403, name="rate_limit of the app"),
    cell("lockout", extra=3, one_account=True, regain=3600),
    cell("token_expired", REFUSED, told="access token"),
    cell("token_revoked", REFUSED, told="access token"),
    cell("version_dead", REFUSED, told="switched off"),
    cell("field_gone", extra=3, field="inline_link_clicks", dropped=("inline_link_clicks",)),
    cell("field_gone", extra=3, field="adset_name", name="field_gone, a name",
         dropped=("adset_name",)),
    cell("field_gone", extra=3, field="objective", match="campaigns", name="field_gone, a stream",
         dropped=("objective",)),
    cell("field_gone", PARTIAL, field="ad_id", one_account=True, name="field_gone, an id",
         told="ad_id"),
    cell("job_failed", extra=3, times=1),
    cell("job_failed", extra=3, times=1, bare=True, name="job_failed without a reason"),
    cell("job_failed", PARTIAL, extra=150, one_account=True, name="job_failed for ever",
         told="Report failed"),
    cell("job_failed", extra=12, code=2, subcode=1504038, max_days=2, one_account=True,
         name="job_failed, too large by days"),
    cell("job_failed", extra=110, code=2, subcode=1504038, max_ids=12, field="impressions",
         one_account=True, name="job_failed, too large by ids"),
    cell("job_failed", PARTIAL, extra=150, code=2, subcode=1504038, max_ids=12, one_account=True,
         name="job_failed, too large even for a list of ids", told="too much data"),
    cell("job_failed", PARTIAL, code=2, subcode=1504041, one_account=True,
         name="job_failed, senseless", told="go together"),
    cell("job_skipped", extra=3, times=1),
    cell("job_stuck", extra=200, times=1),
    cell("job_stuck", PARTIAL, extra=400, one_account=True, name="job_stuck for ever",
         told="in time"),
    cell("job_stuck", extra=200, times=1, percent=100, name="job_stuck at 100 percent"),
    cell("result_not_ready", extra=3, times=3),
    cell("result_not_ready", PARTIAL, extra=1500, one_account=True,
         name="result_not_ready for ever", told="not readable"),
    cell("too_much_data", extra=30, max_limit=20),
    cell("too_much_data", extra=20, max_days=1, one_account=True, name="too_much_data by days"),
    cell("empty_page_mid_stream", extra=8, times=2, page_size=50),
    cell("duplicate_page", extra=8, duplicates=50, times=1, page_size=50, match="/insights"),
    cell("utilisation", percent=96, times=2),
    cell("proof_required"),
    cell("batch_null", extra=2, times=2),
)  # fmt: skip

DOES_NOT_APPLY: Mapping[str, str] = {
    "ads_cut": "Meta has no silent limit on the number of ads in a report",
    "async_refused": "every app with ads_read may submit reports",
}
