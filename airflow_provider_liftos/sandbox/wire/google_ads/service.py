"""What the platform does for a call, whatever the transport: admit, search, describe itself.

Faults in Google's words, over both transports (``match`` sees the REST line of a call also when
it came by gRPC): rate_limit is RESOURCE_TEMPORARILY_EXHAUSTED with its delay (5 s, or what is
left of ``regain``), lockout the daily RESOURCE_EXHAUSTED, which tells no delay; too_much_data
(conditions ``max_days``, ``field``, ``date``) ends in DEADLINE_EXCEEDED; field_gone, version_dead,
token_expired and token_revoked (which the token endpoint says too) as they are called. A stream
has no pages: empty_page_mid_stream is an empty batch, duplicate_page means Search alone. There
are no jobs, no usage headers and no signatures here, so job_failed, job_skipped, job_stuck,
result_not_ready, utilisation, proof_required and batch_null do not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from airflow_provider_liftos.sandbox.dataset.chance import digest
from airflow_provider_liftos.sandbox.faults import Fault
from airflow_provider_liftos.sandbox.world import World

from . import gaql
from .checks import Plan, check
from .errors import (
    AdsError,
    day_used_up,
    request_error,
    too_fast,
    too_long,
    unrecognized_field,
    unsupported_version,
)
from .hierarchy import Customer, Hierarchy
from .oauth import PLATFORM, Token, Tokens
from .results import Result, Results, page_token, place_of
from .schema import VERSIONS, Schema, load
from .search import Search
from .writer import Batch, batches

_RETRY_SECONDS = 5.0
_REGAIN = ("regain", "regain_seconds", "retry", "retry_seconds", "retry_after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call as both transports bring it; ``line`` is ``METHOD path`` of its REST form."""

    version: str
    line: str
    authorization: str
    login: str = ""
    customer_id: str = ""
    query: str = ""
    page_token: str = ""
    page_size: int = 0
    validate_only: bool = False
    count_rows: bool = False
    summary: bool = False

    @property
    def account(self) -> str | None:
        """Return the customer that faults may name."""
        return self.customer_id or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a search found: all batches of a stream, or the one of a page."""

    schema: Schema
    mask: tuple[str, ...]
    batches: Iterator[Batch]
    next_page_token: str = ""
    total: int | None = None


class Service:
    """Everything that is served by both transports."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dataset = world.dataset(PLATFORM)
        self.hierarchy = Hierarchy(self.dataset)
        self.tokens = Tokens(world, self.hierarchy.roots)
        self._results = Results()
        self._requests = count(1)

    def request_id(self) -> str:
        """Return a new request id."""
        return digest(self.world.seed, "request", next(self._requests), size=11).hex()

    def admit(self, call: Call) -> Token:
        """Raise AdsError for a dead version, a bad token or an exhausted limit."""
        dead = self._fault(
            call,
            "version_dead",
            accept=lambda fault: fault.options.get("version") in (None, call.version),
        )
        if dead or call.version not in VERSIONS:
            raise unsupported_version(call.version).override(dead.options if dead else {})
        token = self.tokens.authenticate(call.authorization, call.line, call.account)
        limit = self._fault(call, "rate_limit", "lockout")
        if limit:
            raise self._limited(limit).override(limit.options)
        return token

    def _limited(self, fault: Fault) -> AdsError:
        if fault.kind == "lockout":
            error = day_used_up()
            error.retry_delay = fault.options.get("retry_delay")
            return error
        asked = next((fault.options[name] for name in _REGAIN if name in fault.options), None)
        left = fault.remaining(self.world.clock.now())
        return too_fast(float(left or asked or _RETRY_SECONDS))

    def _fault(
        self, call: Call, *kinds: str, accept: Callable[[Fault], bool] = lambda _: True
    ) -> Fault | None:
        return self.world.faults.take(
            kinds, platform=PLATFORM, line=call.line, account=call.account, accept=accept
        )

    def stream(self, call: Call) -> Answer:
        """Serve SearchStream."""
        schema, plan, result = self._open(call, self.world.clock.now())
        found = iter(()) if call.validate_only else result.batches()
        if self._fault(call, "empty_page_mid_stream"):
            found = _with_a_gap(found)
        return Answer(schema=schema, mask=plan.query.fields, batches=found)

    def page(self, call: Call) -> Answer:
        """Serve one page of Search."""
        if call.page_size:
            raise request_error(
                "PAGE_SIZE_NOT_SUPPORTED",
                "Setting the page size is not supported. Search Responses will have fixed page "
                "size of '10000' rows.",
            )
        bound = (call.version, call.customer_id, call.query)
        number, since = 0, self.world.clock.now()
        if call.page_token:
            number, since = place_of(call.page_token, bound, since)
        schema, plan, result = self._open(call, since)
        spoil = self._fault(call, "empty_page_mid_stream", "duplicate_page")
        batch, following = self._page(result, number, spoil)
        return Answer(
            schema=schema,
            mask=plan.query.fields,
            batches=iter(() if call.validate_only else (batch,)),
            next_page_token=page_token(bound, following, since) if following is not None else "",
            total=result.total() if call.count_rows else None,
        )

    def _page(self, result: Result, number: int, spoil: Fault | None) -> tuple[Batch, int | None]:
        if spoil:
            batch = result.batch(max(0, number - 1)) or _EMPTY
            if spoil.kind == "empty_page_mid_stream":
                batch = _EMPTY
            return batch, number
        batch = result.batch(number) or _EMPTY
        return batch, None if batch.last else number + 1

    def _open(self, call: Call, at: datetime) -> tuple[Schema, Plan, Result]:
        token = self.admit(call)
        if call.summary:
            raise AdsError("", "", "The sandbox makes no summary rows.", status="UNIMPLEMENTED")
        schema = load(call.version)
        customer = self.hierarchy.require(call.customer_id, call.login, token.roots)
        plan = self._plan(call, schema, customer, at)
        # A result is as old as the moment it saw: delivery arrives by quarters of an hour.
        account = customer.account
        moment = self.dataset.moment(account, at) if account else at.date()
        key = (call.version, customer.id, call.query, moment)
        return (
            schema,
            plan,
            self._results.get(
                key,
                lambda: batches(Search(plan, customer, self.dataset, self.hierarchy, at), schema),
            ),
        )

    def _plan(self, call: Call, schema: Schema, customer: Customer, at: datetime) -> Plan:
        if not call.query.strip():
            raise AdsError("query_error", "UNEXPECTED_END_OF_QUERY", "The query is empty.")
        query = gaql.parse(call.query)
        named = {*query.fields, *(one.field for one in query.conditions)}
        gone = self._fault(
            call, "field_gone", accept=lambda fault: str(fault.options.get("field")) in named
        )
        if gone:
            options = {name: value for name, value in gone.options.items() if name != "field"}
            raise unrecognized_field(str(gone.options["field"])).override(options)
        account = customer.account
        today = at.astimezone(account.zone).date() if account else at.date()
        plan = check(query, schema, customer, today)
        heavy = self._fault(call, "too_much_data", accept=lambda fault: _meets(fault, plan))
        if heavy:
            raise too_long().override(heavy.options)
        return plan

    def accessible(self, call: Call) -> list[str]:
        """Serve ListAccessibleCustomers: what the user has access to directly."""
        return [f"customers/{root}" for root in self.admit(call).roots]


_EMPTY = Batch(b"", 0, last=True)


def _with_a_gap(found: Iterator[Batch]) -> Iterator[Batch]:
    """Insert an empty batch: behind the first one, or before the only one."""
    first = next(found, None)
    if first is None:
        return
    gap = Batch(b"", 0, last=False)
    yield from (gap, first) if first.last else (first, gap)
    yield from found


def _meets(fault: Fault, plan: Plan) -> bool:
    """Say whether a query meets every condition of a fault."""
    options, span = fault.options, plan.span
    if "max_days" in options and span.days <= int(options["max_days"]):
        return False
    if "field" in options and options["field"] not in plan.fields:
        return False
    day = str(options.get("date", ""))
    return not day or str(span.since or "") <= day <= str(span.until or "9999")
