"""The rule catalogue as data: what is judged, how grave a failure is, what to do about it.

A rule says nothing of how it is judged: ``suites`` turns rules into expectations over rows of a
staged table, over slices, or over accounts. The ten that a validator of marketing data is expected
to have are here by these names:

============================  ========  ==========================================================
daily data freshness          high      data_fresh
weekly data availability      medium    week_covered (asked for), expected_days_present (delivered)
required fields present       critical  required_fields, and ids, currency and zone among them
data volume consistency       medium    volume_as_usual
metric relationships          high      derived_metrics_agree, clicks_within_impressions, ...
value range validation        medium    value_ranges, spend_not_negative
cross-platform consistency    medium    platforms_agree
temporal consistency          medium    settled_days_stay, dates_in_order
business account structure    medium    hierarchy_intact
Google Ads quality score      low       quality_score_in_range
============================  ========  ==========================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.unified import PERFORMANCE, Table


class Severity(StrEnum):
    """How grave a failure is. Great Expectations has three severities; ours travel in ``meta``."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def weight(self) -> float:
        """What a rule of this severity counts in the score."""
        return {"critical": 3.0, "high": 2.0, "medium": 1.5, "low": 1.0}[self.value]

    @property
    def gx(self) -> str:
        """The nearest severity that Great Expectations knows."""
        return {"critical": "critical", "low": "info"}.get(self.value, "warning")


class Dimension(StrEnum):
    """The six dimensions of data quality."""

    COMPLETENESS = "completeness"
    ACCURACY = "accuracy"
    CONSISTENCY = "consistency"
    TIMELINESS = "timeliness"
    UNIQUENESS = "uniqueness"
    VALIDITY = "validity"


class Judges(StrEnum):
    """What a rule looks at: single rows, or one number per slice or account."""

    ROW = "row"
    AGGREGATE = "aggregate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule; ``doc`` is what holds when it passes.

    ``threshold`` is what is tolerated instead of the usual: of rules over rows the share of rows
    that may break it, of others what their number may be at most.
    """

    name: str
    dimension: Dimension
    severity: Severity
    judges: Judges
    doc: str
    advice: str
    threshold: float | None = None

    @property
    def weight(self) -> float:
        """What the rule counts in the score."""
        return self.severity.weight

    @property
    def mostly(self) -> float:
        """The share of rows that must obey."""
        return 1.0 - (self.threshold or 0.0) if self.judges is Judges.ROW else 1.0


def _row(name: str, dimension: Dimension, severity: Severity, doc: str, advice: str) -> Rule:
    return Rule(
        name=name, dimension=dimension, severity=severity, judges=Judges.ROW, doc=doc, advice=advice
    )


def _sum(name: str, dimension: Dimension, severity: Severity, doc: str, advice: str) -> Rule:
    return Rule(
        name=name,
        dimension=dimension,
        severity=severity,
        judges=Judges.AGGREGATE,
        doc=doc,
        advice=advice,
    )


REQUIRED_FIELDS = _row(
    "required_fields", Dimension.COMPLETENESS, Severity.CRITICAL,
    "Required columns, and the ids of the row's level, hold a value.",
    "Compare the raw rows of the slice with the platform's field list; a field may be gone.",
)  # fmt: skip
VALUES_READABLE = _row(
    "values_readable", Dimension.VALIDITY, Severity.HIGH,
    "Every value the platform sent is of its column's type.",
    "Look the value up in the raw rows; the platform may have changed a format.",
)  # fmt: skip
VALUE_RANGES = _row(
    "value_ranges", Dimension.ACCURACY, Severity.MEDIUM,
    "Metrics lie within the bounds of the unified schema.",
    "Compare the day with the platform's own interface.",
)  # fmt: skip
SPEND_NOT_NEGATIVE = _row(
    "spend_not_negative", Dimension.ACCURACY, Severity.HIGH,
    "Spend is never below zero.",
    "Look for a correction or a refund booked as spend, and for a wrong unit.",
)  # fmt: skip
DERIVED_METRICS_AGREE = _row(
    "derived_metrics_agree", Dimension.CONSISTENCY, Severity.HIGH,
    "CTR, CPM and CPC as the platform gives them equal those computed from the row.",
    "Check the units of spend and which kind of clicks the report counts.",
)  # fmt: skip
ROWS_IN_SLICE = _row(
    "rows_in_slice", Dimension.VALIDITY, Severity.CRITICAL,
    "Rows belong to the account, report, level and dates that were asked for.",
    "Compare the request with the answer; the report may have been mixed up with another.",
)  # fmt: skip
CURRENCY_MATCHES = _row(
    "currency_matches_account", Dimension.CONSISTENCY, Severity.CRITICAL,
    "The rows' currency is the account's.",
    "Sync the account's settings; if its currency changed, reload its history.",
)  # fmt: skip
TIMEZONE_MATCHES = _row(
    "timezone_matches_account", Dimension.CONSISTENCY, Severity.HIGH,
    "The rows' time zone is the account's.",
    "Sync the account's settings; if its zone changed, reload its history.",
)  # fmt: skip
MOCK_ROWS_MARKED = _row(
    "mock_rows_marked", Dimension.VALIDITY, Severity.CRITICAL,
    "Rows are marked as invented exactly when their load is.",
    "Check the connection's mode and host; a sandbox may be behind it.",
)  # fmt: skip
DATES_IN_ORDER = _row(
    "dates_in_order", Dimension.CONSISTENCY, Severity.MEDIUM,
    "No row ends before it begins, or after the days that were asked for.",
    "Compare the row's days with the request; the report may have been cut into other steps.",
)  # fmt: skip
QUALITY_SCORE_IN_RANGE = _row(
    "quality_score_in_range", Dimension.VALIDITY, Severity.LOW,
    "Quality scores of keywords are between 1 and 10.",
    "Look the keyword up in the platform's own interface.",
)  # fmt: skip

SLICE_COMPLETE = _sum(
    "slice_complete", Dimension.COMPLETENESS, Severity.CRITICAL,
    "The slice was extracted in full.",
    "Read the error of the slice in the run ledger; the next run asks for it again.",
)  # fmt: skip
ROWS_KEPT = _sum(
    "rows_kept", Dimension.COMPLETENESS, Severity.CRITICAL,
    "Every row that was read could be kept.",
    "Look at the dead letters of the account; the platform may have dropped a field.",
)  # fmt: skip
ROWS_LOADED = _sum(
    "rows_loaded", Dimension.COMPLETENESS, Severity.CRITICAL,
    "The audit table holds as many rows as were staged.",
    "Clear the load task; it replaces what it loaded before.",
)  # fmt: skip
KEY_UNIQUE = _sum(
    "key_unique", Dimension.UNIQUENESS, Severity.CRITICAL,
    "No two rows share a key.",
    "Check the report's breakdowns: one that is not part of the key, or a page served twice.",
)  # fmt: skip
DATA_FRESH = _sum(
    "data_fresh", Dimension.TIMELINESS, Severity.HIGH,
    "The newest day that should be there is there.",
    "See whether the account still delivers; otherwise the platform is late, run again later.",
)  # fmt: skip
WEEK_COVERED = _sum(
    "week_covered", Dimension.TIMELINESS, Severity.MEDIUM,
    "Each of the last seven days has been asked for, by this load or an earlier one.",
    "Start a run over the days that are missing, or let history_days of the schedule fill them.",
)  # fmt: skip
VOLUME_AS_USUAL = _sum(
    "volume_as_usual", Dimension.COMPLETENESS, Severity.MEDIUM,
    "Days have no less than half, and no more than twice, the rows of the same weekdays before.",
    "See whether campaigns were paused or launched; otherwise read the days again.",
)  # fmt: skip
SETTLED_DAYS_STAY = _sum(
    "settled_days_stay", Dimension.CONSISTENCY, Severity.MEDIUM,
    "Days that the platform restates no more keep the totals they were published with.",
    "Compare the day with the platform's own interface; the restatement ledger has both values.",
)  # fmt: skip
CONVERSIONS_GO_ON = _sum(
    "conversions_go_on", Dimension.ACCURACY, Severity.MEDIUM,
    "An account with conversions every day goes on having some while it spends.",
    "See whether tracking works: tags, pixels, imports, and what counts as a conversion.",
)  # fmt: skip
HIERARCHY_INTACT = _sum(
    "hierarchy_intact", Dimension.CONSISTENCY, Severity.MEDIUM,
    "Every ad belongs to an ad group and a campaign that are known, every ad group to a campaign.",
    "List campaigns, ad groups and ads in one run; a listing may have been cut short.",
)  # fmt: skip
PLATFORMS_AGREE = _sum(
    "platforms_agree", Dimension.CONSISTENCY, Severity.MEDIUM,
    "CTR, and CPM in the same currency, are of the order that other platforms have.",
    "Check the units of spend, and which kind of clicks is counted.",
)  # fmt: skip
EXPECTED_DAYS_PRESENT = _sum(
    "expected_days_present", Dimension.COMPLETENESS, Severity.MEDIUM,
    "There is no day without rows between days with spend, but where the account often pauses.",
    "Reload those days; if they stay empty, the account was paused.",
)  # fmt: skip
EMPTY_IS_NOT_ZERO = _sum(
    "empty_is_not_zero", Dimension.COMPLETENESS, Severity.CRITICAL,
    "Nothing that is known of the account contradicts an empty answer.",
    "Check permissions and the account's state; to accept the emptiness, lower this severity.",
)  # fmt: skip
ACCOUNT_IS_HEARD = _sum(
    "account_is_heard", Dimension.COMPLETENESS, Severity.HIGH,
    "An account with spend is heard of on the days after, too.",
    "Nothing contradicts the silence. If it was no pause, mend the access and load the days again.",
)  # fmt: skip
DELIVERY_GOES_ON = _sum(
    "delivery_goes_on", Dimension.COMPLETENESS, Severity.MEDIUM,
    "Days with spend, or with actions, are not followed by days without any row.",
    "The account goes on delivering on other days; see whether it was paused on purpose.",
)  # fmt: skip
ENTITIES_GO_ON = _sum(
    "entities_go_on", Dimension.COMPLETENESS, Severity.HIGH,
    "An account with entities of a kind does not lose all of them at once.",
    "They are published as deleted. If nobody deleted them, mend the access and run again.",
)  # fmt: skip
LEVELS_ADD_UP = _sum(
    "levels_add_up", Dimension.CONSISTENCY, Severity.HIGH,
    "Totals of a finer level equal those of the coarsest level of the same run.",
    "Look for deleted campaigns or ads that the finer report leaves out.",
)  # fmt: skip
BREAKDOWNS_ADD_UP = _sum(
    "breakdowns_add_up", Dimension.CONSISTENCY, Severity.HIGH,
    "Broken-down rows sum up to no more than the un-broken total; exact ones to the same.",
    "Check that the breakdown's values do not overlap, and that both reports are of one moment.",
)  # fmt: skip
ACCOUNTS_PRESENT = _sum(
    "accounts_present", Dimension.COMPLETENESS, Severity.HIGH,
    "Every expected account came, with its basic report in full.",
    "See the account's slices in the run ledger; check that the connection still reaches it.",
)  # fmt: skip

ROW_RULES = (
    REQUIRED_FIELDS, VALUES_READABLE, VALUE_RANGES, SPEND_NOT_NEGATIVE, DERIVED_METRICS_AGREE,
    ROWS_IN_SLICE, DATES_IN_ORDER, CURRENCY_MATCHES, TIMEZONE_MATCHES, MOCK_ROWS_MARKED,
    QUALITY_SCORE_IN_RANGE,
)  # fmt: skip
SLICE_RULES = (
    SLICE_COMPLETE, ROWS_KEPT, ROWS_LOADED, KEY_UNIQUE, DATA_FRESH, WEEK_COVERED,
    EXPECTED_DAYS_PRESENT, EMPTY_IS_NOT_ZERO, ACCOUNT_IS_HEARD, DELIVERY_GOES_ON, ENTITIES_GO_ON,
    HIERARCHY_INTACT, LEVELS_ADD_UP, BREAKDOWNS_ADD_UP, VOLUME_AS_USUAL, SETTLED_DAYS_STAY,
    CONVERSIONS_GO_ON,
)  # fmt: skip
ACCOUNT_RULES = (ACCOUNTS_PRESENT, PLATFORMS_AGREE)


def relation_rules(table: Table) -> tuple[Rule, ...]:
    """One rule per law between columns of the table."""
    return tuple(
        _row(
            relation.name, Dimension.CONSISTENCY, Severity(relation.severity),
            f"No row has {relation.doc}.",
            "Compare the day with the platform's own interface; late events can cause it.",
        )
        for relation in table.relations
    )  # fmt: skip


def catalogue(
    table: Table = PERFORMANCE,
    severities: Mapping[str, str] | None = None,
    thresholds: Mapping[str, float] | None = None,
    own: Iterable[Rule] = (),
) -> dict[str, Rule]:
    """Every rule by name, a user's ``own`` among them.

    ``severities`` regrades some of them, ``thresholds`` says what some tolerate. Raises
    ConfigurationError on a rule, a severity or a threshold that does not exist, and on an own rule
    that takes the name of another.
    """
    rules = (*ROW_RULES, *relation_rules(table), *SLICE_RULES, *ACCOUNT_RULES)
    named = {rule.name: rule for rule in rules}
    # A change may name a law of another table; only names known nowhere are mistakes.
    known = named.keys() | {rule.name for rule in relation_rules(PERFORMANCE)}
    for rule in own:
        if rule.name in known:
            raise ConfigurationError(
                f"your own rule {rule.name!r} has the name of another rule",
                hint="Give its expectation another meta.rule, or the schema another name.",
            )
        named[rule.name] = rule
        known = known | {rule.name}
    for name in (*(severities or {}), *(thresholds or {})):
        if name not in known:
            raise ConfigurationError(f"no rule {name!r}; rules are {', '.join(sorted(known))}")
    for name, severity in (severities or {}).items():
        if severity not in set(Severity):
            raise ConfigurationError(
                f"rule {name!r} has no severity {severity!r}; severities are {', '.join(Severity)}"
            )
        if name in named:
            named[name] = replace(named[name], severity=Severity(severity))
    for name, threshold in (thresholds or {}).items():
        if name in named:
            named[name] = replace(named[name], threshold=_threshold(named[name], threshold))
    return named


def _threshold(rule: Rule, given: object) -> float:
    """A number at least 0, of rules over rows a share below 1."""
    high = 1.0 if rule.judges is Judges.ROW else float("inf")
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < high:
        what = "a share of rows from 0 to below 1" if high == 1 else "a number from 0"
        raise ConfigurationError(f"the threshold of rule {rule.name!r} is {given!r}; it is {what}")
    return float(given)
