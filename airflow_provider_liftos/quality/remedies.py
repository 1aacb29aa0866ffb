"""What is known of all platforms about why rules fail, and what to do next.

A platform's own remedies come first. Of several that fit, the first is told: what is surer comes
before what is likelier.
"""

from __future__ import annotations

from collections.abc import Collection

from airflow_provider_liftos.model.quality import Quality, Remedy, Sign
from airflow_provider_liftos.quality.rules import Rule


def _remedy(rules: str, signs: Collection[Sign], cause: str, step: str) -> Remedy:
    return Remedy(rules=tuple(rules.split()), signs=frozenset(signs), cause=cause, step=step)


_OF_ACCESS = (
    "slice_complete accounts_present empty_is_not_zero account_is_heard entities_go_on data_fresh"
)
_OF_TOTALS = "levels_add_up breakdowns_add_up settled_days_stay"

REMEDIES = (
    _remedy(
        _OF_ACCESS, {Sign.ACCESS_LOST},
        "the token was withdrawn, or lost a permission.",
        "renew it in the connection, test the connection, and clear the run.",
    ),
    _remedy(
        _OF_ACCESS, {Sign.ACCOUNT_GONE},
        "the account was closed, or the token's owner was removed from it.",
        "ask its owner; take the account out of the connection if it is gone for good.",
    ),
    _remedy(
        _OF_ACCESS, {Sign.VERSION_GONE},
        "the API version of the connection is switched off.",
        "leave api_version of the connection empty, which takes the newest.",
    ),
    _remedy(
        "slice_complete accounts_present", {Sign.GAVE_UP},
        "the platform could not make the report.",
        "clear the extract task; if it fails again, ask for fewer days (slice_days) or metrics.",
    ),
    _remedy(
        "required_fields values_readable rows_kept", {Sign.FIELD_GONE},
        "the platform gives a field no longer, or not to this account.",
        "see its changelog for the field's successor; until then ask for a report without it.",
    ),
    _remedy(
        "currency_matches_account", {Sign.CURRENCY_CHANGED},
        "the account's currency was changed.",
        "reload its whole history: amounts before the change are in another currency.",
    ),
    _remedy(
        f"timezone_matches_account {_OF_TOTALS}", {Sign.ZONE_CHANGED},
        "the account's time zone was changed: days begin and end at other hours.",
        "reload its whole history, so that all days are of one zone.",
    ),
    _remedy(
        "settled_days_stay", {Sign.ATTRIBUTION_CHANGED},
        "the attribution setting was changed: old days are counted by it, too.",
        "reload the history once, so that all days are counted alike.",
    ),
    _remedy(
        "settled_days_stay", {Sign.ONLY_CONVERSIONS},
        "what counts as a conversion was changed, or its attribution.",
        "compare the platform's change history; reload the history once.",
    ),
    _remedy(
        "settled_days_stay", (),
        "the platform corrected old days, such as invalid traffic or credits.",
        "compare its invoice; the new values are published, the old ones are in the restatement"
        " ledger.",
    ),
    _remedy(
        _OF_TOTALS, {Sign.UNSETTLED},
        "the platform was still counting while the reports were made.",
        "nothing; the next scheduled run reads the days again.",
    ),
    _remedy(
        "levels_add_up", {Sign.SETTLED},
        "deleted campaigns or ads are left out of the finer report.",
        "nothing is lost at the coarser level; take account totals from there.",
    ),
    _remedy(
        "account_is_heard delivery_goes_on empty_is_not_zero data_fresh", {Sign.ACCOUNT_STOPPED},
        "the account may not deliver: its state on the platform says so.",
        "see its billing and its policy notices there.",
    ),
    _remedy(
        "data_fresh", {Sign.NOT_LOADED},
        "no run brought those days: runs failed or did not start, or the gate held them back.",
        "open the newest run of the pipeline, and its quality report.",
    ),
    _remedy(
        "data_fresh", {Sign.LATE},
        "the platform has not finished the newest day.",
        "nothing; the next scheduled run reads the day again.",
    ),
    _remedy(
        "entities_go_on hierarchy_intact", {Sign.ENTITIES_GONE},
        "everything of the kind was deleted, or access to it was taken away.",
        "if nobody deleted it, mend the access and run again: it is restored.",
    ),
    _remedy(
        "platforms_agree", {Sign.MINOR_UNITS},
        "amounts are in another unit: cents or millionths instead of whole ones.",
        "compare one day's spend with the platform's interface; report the account's currency.",
    ),
    _remedy(
        "conversions_go_on", (),
        "tracking is broken: events do not reach the platform any more.",
        "look at the platform's diagnostics of tags, pixels and imports.",
    ),
    _remedy(
        "week_covered", (),
        "the schedule was paused, or runs failed, on those days.",
        "start a run over them, or set history_days so that scheduled runs fill holes.",
    ),
)  # fmt: skip


def advice(rule: Rule, quality: Quality, signs: Collection[Sign]) -> str:
    """What a finding tells a person: the likely cause here, and the next step."""
    for remedy in (*quality.remedies, *REMEDIES):
        of_rule = rule.name in (remedy.rules or _OF_ACCESS.split())
        if of_rule and remedy.signs <= set(signs):
            return remedy.text
    return rule.advice
