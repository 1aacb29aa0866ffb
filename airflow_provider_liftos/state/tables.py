"""The tables of the state store.

Every key starts with ``org_id``: organizations never see or throttle one another. Moments are
epoch seconds, report days are ISO dates (``2026-11-20``), JSON travels as text, money and metrics
as decimal text, so that SQLite and Postgres hold the same values.

A change here goes with a step in ``migrations.py``.
"""

from __future__ import annotations

import uuid

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, Table, Text

metadata = MetaData()


def _key(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True)


def _text(name: str, *, required: bool = False) -> Column[str]:
    return Column(name, Text, nullable=not required)


def _moment(name: str, *, required: bool = False) -> Column[float]:
    return Column(name, Double, nullable=not required)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _total(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _seconds(name: str) -> Column[float]:
    return Column(name, Double, nullable=False, server_default="0")


limiter = Table(
    "limiter",
    metadata,
    _key("org_id"),
    _key("key"),
    _seconds("tat"),  # theoretical arrival time of the next request (GCRA)
    _seconds("paused_until"),  # the platform's own word: nothing before this moment
    _seconds("told_rate"),  # requests per second that the platform says it allows; 0: not told
    _text("counts"),  # JSON: what was sent in each part of the last window
    _seconds("interactive_until"),  # until then, that lane is taken to be at work
    _seconds("fresh_until"),
    _seconds("fresh_turn"),  # when the lane may next take a place while a higher one is at work
    _seconds("bulk_turn"),
)

leases = Table(
    "leases",
    metadata,
    _key("org_id"),
    _key("name"),
    _text("holder", required=True),
    _moment("expires_at", required=True),
    _count("token"),  # fencing: grows with every acquisition, never reused
)

flights = Table(
    "flights",  # requests in flight, and those that wait to be
    metadata,
    _key("org_id"),
    _key("key"),
    _key("id"),
    _count("most"),
    _count("aboard"),  # 0: waits
    _moment("since", required=True),  # when it came; later for lower lanes
    _moment("expires_at", required=True),
)

breakers = Table(
    "breakers",
    metadata,
    _key("org_id"),
    _key("key"),
    _count("failures"),
    _seconds("opened_until"),  # 0 while closed
    _count("probes"),  # taken since the circuit became half-open
    _moment("updated_at", required=True),
)

slices = Table(
    "slices",
    metadata,
    _key("org_id"),
    _key("scope"),  # dag run and task
    _key("fingerprint"),
    _text("parent"),  # fingerprint of the slice this one was split from
    _count("position"),
    _text("platform", required=True),
    _text("account_id", required=True),
    _text("kind", required=True),  # report, stream
    _text("spec", required=True),  # JSON
    _text("since"),
    _text("until"),
    # planned, intent, submitted, ready, failed, fetched, split, consumed
    _text("state", required=True),
    _text("report_id"),
    _count("attempts"),
    _count("wasted"),  # remote reports that were asked for and never read
    _moment("as_of"),
    _moment("deadline"),
    _text("manifest"),  # JSON
    _text("error"),  # JSON
    _text("dropped"),  # JSON: fields the platform no longer knows
    _moment("updated_at", required=True),
)

statements = Table(
    "statements",  # what a warehouse runs by itself for a task
    metadata,
    _key("org_id"),
    _key("scope"),  # dag run and task
    _key("digest"),  # of text and values, which may be anybody's and are not kept
    _text("request_id", required=True),  # under which it is submitted, before it has an id
    _text("statement_id"),
    _count("try_number"),  # the task's, when it was submitted
    _text("max_tries"),  # a Clear raises it
    _moment("as_of", required=True),  # before it was submitted
    _text("answer"),  # where its rows are kept, if they are few
)

run_ledger = Table(
    "run_ledger",
    metadata,
    _key("org_id"),
    _key("id"),
    _text("dag_id", required=True),
    _text("run_id", required=True),
    _text("task_id", required=True),
    Column("map_index", Integer, nullable=False, server_default="-1"),
    Column("try_number", Integer, nullable=False, server_default="1"),
    _text("platform"),
    _text("phase", required=True),
    _text("status", required=True),  # running, success, failed, interrupted, skipped ...
    _moment("started_at", required=True),
    _moment("finished_at"),
    _total("rows"),
    _total("bytes"),
    _count("requests"),
    _count("retries"),
    _seconds("throttled_seconds"),
    _count("reports_submitted"),
    _count("reports_wasted"),
    _text("api_version"),
    _text("window_since"),
    _text("window_until"),
    _text("warnings"),  # JSON list
    _text("error"),
    _text("detail"),  # JSON object
    Index("run_ledger_started", "org_id", "started_at"),
    Index("run_ledger_run", "org_id", "run_id"),
)

quality_results = Table(
    "quality_results",
    metadata,
    _key("org_id"),
    _key("id"),
    _text("dag_id"),
    _text("run_id"),
    _text("platform", required=True),
    _text("account_id"),
    _text("report"),
    _text("level"),
    _text("rule", required=True),
    _text("dimension"),
    _text("severity", required=True),
    _text("status", required=True),  # passed, failed, not_evaluated, not_applicable
    _text("observed"),
    _text("expected"),
    Column("failing_share", Double),  # 0 to 1
    _text("sample"),  # JSON
    _text("advice"),
    _moment("created_at", required=True),
    Index("quality_results_created", "org_id", "created_at"),
    Index("quality_results_run", "org_id", "run_id"),
)

quality_scores = Table(
    "quality_scores",
    metadata,
    _key("org_id"),
    _key("id"),
    _text("dag_id"),
    _text("run_id"),
    _text("platform"),
    _text("account_id"),
    Column("score", Double),  # 0 to 100; null when nothing could be evaluated
    _text("level"),
    _moment("created_at", required=True),
    Index("quality_scores_created", "org_id", "created_at"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    _key("org_id"),
    _key("id"),
    _text("platform", required=True),
    _text("account_id"),
    _text("kind", required=True),  # slice, row, request
    _text("reason", required=True),
    _text("payload"),
    _count("attempts"),
    _text("state", required=True),  # open, replaying, replayed, superseded, discarded
    _moment("created_at", required=True),  # first seen
    _moment("updated_at", required=True),  # last seen
    _text("name"),  # report and level, stream, or kind of request
    _text("since"),
    _text("until"),
    _text("spec"),  # JSON: what a replay needs to know
    _text("form"),  # of the payload: plain, cut, sealed, left_out
    _text("days"),  # JSON: days (UTC) on which it was seen
    _text("load_id"),  # the load that saw it last
    _text("dag_id"),
    _text("run_id"),
    _moment("closed_at"),
    _text("closed_by"),
    _text("claimed_by"),
    _moment("claimed_until"),
    Index("dead_letters_state", "org_id", "state", "created_at"),
)

restatements = Table(
    "restatements",
    metadata,
    _key("org_id"),
    Column("id", Text, primary_key=True, default=lambda: uuid.uuid4().hex),
    _text("platform", required=True),
    _text("account_id", required=True),
    _text("report", required=True),
    _text("level", required=True),
    _text("date", required=True),
    _text("metric", required=True),
    _text("old_value"),
    _text("new_value"),
    _text("load_id", required=True),
    _moment("created_at", required=True),
    Index("restatements_day", "org_id", "platform", "account_id", "date"),
    Index("restatements_created", "org_id", "created_at"),
)

tokens = Table(
    "tokens",
    metadata,
    _key("org_id"),
    _key("conn_id"),
    _key("kind"),
    _key("root"),  # fingerprint of the credential that it all began with
    _count("generation"),  # grows with every change of what is sealed
    _text("trail", required=True),  # fingerprints of the credential since, newest first
    _text("sealed"),  # JSON of the secrets that lie over those of the connection
    _moment("expires_at"),  # of the access token; null: never
    _moment("intent_at"),  # an exchange began and has not come back yet
    _text("refused"),  # why a person has to consent again
    _text("refused_for"),  # digest of the connection that this was said of
    _moment("updated_at", required=True),
)

audit_log = Table(
    "audit_log",
    metadata,
    _key("org_id"),
    _key("id"),
    _text("actor", required=True),
    _text("action", required=True),
    _text("subject"),
    _text("detail"),  # JSON
    _moment("created_at", required=True),
    Index("audit_log_created", "org_id", "created_at"),
)

alerts = Table(
    "alerts",
    metadata,
    _key("org_id"),
    _key("key"),  # what it is about; the same trouble is one alert
    _text("kind", required=True),  # freshness
    _text("platform"),
    _text("account_id"),
    _text("severity", required=True),
    _text("text", required=True),
    _text("advice"),
    _text("state", required=True),  # open, resolved
    _count("episodes"),  # how often it was opened
    _moment("opened_at", required=True),
    _moment("seen_at", required=True),
    _moment("resolved_at"),
    _moment("told_at"),  # when people were last told of this episode; null: not yet
    _text("told_severity"),
    _count("resolution_told"),
    _text("told_to"),  # of several ways, those that have told the news which others have not
    Index("alerts_state", "org_id", "state", "opened_at"),
)

oauth_states = Table(
    "oauth_states",
    metadata,
    _key("org_id"),
    _key("digest"),  # of the state: who reads this table cannot answer for anybody
    _text("platform", required=True),
    _text("conn_id", required=True),
    _text("actor", required=True),  # the user who may bring the answer back
    _text("redirect_uri", required=True),
    _text("verifier"),  # PKCE, sealed
    _moment("expires_at", required=True),
    _moment("used_at"),
    _text("outcome"),  # JSON, without secrets
    _moment("created_at", required=True),
    Index("oauth_states_created", "org_id", "created_at"),
)

# The only table without an organization: it is about the store itself.
schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    _moment("applied_at", required=True),
)
