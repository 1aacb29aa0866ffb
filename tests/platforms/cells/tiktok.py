from __future__ import annotations

from collections.abc import Mapping

from tests.platforms.cells import GIVEN_UP, PARTIAL, REFUSED, cell

CALM = 8
AT_ONCE = {"report_tasks": "false"}

CELLS = (
    cell("http_500", extra=3, times=3),
    cell("http_500", extra=3, times=3, bare=True, name="http_500 without an envelope"),
    cell("http_500", GIVEN_UP, extra=5, name="http_500 for ever"),
    cell("http_502_html", extra=3, times=3),
    cell("timeout", extra=1, times=1, match="GET"),
    cell("timeout", extra=2, times=1, match="task/create", name="timeout of a task's creation"),
    cell("reset", extra=3, times=3),
    cell("reset", extra=2, times=1, match="task/create", name="reset of a task's creation"),
    cell("reset", extra=3, times=2, match="task/download", name="reset of a file"),
    cell("truncated_body", extra=3, times=3),
    cell("truncated_body", extra=3, times=2, match="task/download", name="truncated_body, a file"),
    cell("truncated_body", extra=3, times=2, match="integrated", options=AT_ONCE,
         name="truncated_body at once"),
    cell("http_502_html", GIVEN_UP, extra=5, name="http_502_html for ever"),
    cell("timeout", GIVEN_UP, extra=5, name="timeout for ever"),
    cell("reset", GIVEN_UP, extra=5, name="reset for ever"),
    cell("truncated_body", GIVEN_UP, extra=5, name="truncated_body for ever"),
    cell("slow", times=2, seconds=0.3),
    cell("rate_limit", extra=2, times=2),
    cell("rate_limit", extra=2, times=2, code=61000, name="rate_limit, other words"),
    cell("rate_limit", extra=2, times=2, match="task/check", name="rate_limit of checks"),
    cell("lockout", extra=70, regain=3600),
    cell("token_expired", REFUSED, told="access token"),
    cell("token_revoked", REFUSED, told="access token"),
    cell("version_dead", REFUSED, told="switched off"),
    cell("field_gone", extra=3, field="likes", dropped=("likes",)),
    cell("field_gone", extra=3, field="likes", dropped=("likes",), options=AT_ONCE,
         name="field_gone at once"),
    cell("field_gone", extra=3, field="adgroup_name", name="field_gone, a name",
         dropped=("adgroup_name",)),
    cell("field_gone", extra=3, field="objective_type", match="campaign/get",
         name="field_gone, a stream", dropped=("objective_type",)),
    cell("field_gone", PARTIAL, field="ad_id_v2", one_account=True, name="field_gone, an id",
         told="ad_id_v2"),
    cell("job_failed", extra=4, times=1),
    cell("job_failed", extra=4, times=1, bare=True, name="job_failed without a reason"),
    cell("job_failed", extra=8, one_account=True, name="job_failed for ever, read at once"),
    cell("job_failed", extra=8, max_days=2, one_account=True, name="job_failed, too many days"),
    cell("job_skipped", extra=4, times=1),
    cell("job_stuck", extra=28, times=1),
    cell("job_stuck", extra=54, one_account=True, name="job_stuck for ever, read at once"),
    cell("result_not_ready", extra=9, times=3),
    cell("result_not_ready", PARTIAL, extra=160, one_account=True,
         name="result_not_ready for ever", told="not readable"),
    cell("too_much_data", extra=40, max_limit=20, options=AT_ONCE),
    cell("too_much_data", extra=26, max_days=1, one_account=True, options=AT_ONCE,
         name="too_much_data by days"),
    cell("too_much_data", extra=140, max_ids=12, one_account=True, options=AT_ONCE,
         name="too_much_data by ids"),
    cell("too_much_data", extra=14, max_days=2, one_account=True, name="too_much_data in a task"),
    cell("empty_page_mid_stream", extra=20, times=2, page_size=10, options=AT_ONCE),
    cell("duplicate_page", extra=20, duplicates=10, times=1, page_size=10, match="integrated",
         options=AT_ONCE),
    cell("async_refused", extra=4),
    cell("async_refused", extra=3, one_account=True, name="async_refused, one account"),
    cell("ads_cut", extra=24, threshold=12, options=AT_ONCE),
    cell("ads_cut", extra=2, threshold=12, name="ads_cut does not reach tasks"),
)  # fmt: skip

DOES_NOT_APPLY: Mapping[str, str] = {
    "utilisation": "no answer of TikTok's tells how much of a limit is used",
    "proof_required": "TikTok knows no signed calls; the token is all there is",
    "batch_null": "TikTok has no batches: a call is about one task",
}
