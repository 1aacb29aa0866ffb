"""What a client must arrive at, computed from the dataset and never through a wire handler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from .dataset import Account, Dataset, Entity
from .dataset.dimensions import DIMENSIONS, withholds_conversions
from .dataset.division import Cell, describe, divide
from .dataset.facts import Fact
from .dataset.metrics import DEFAULT_WINDOW, WINDOWS, joint_reach, purchases

LEVELS = ("account", "campaign", "ad_group", "ad")
STREAMS = {
    "campaigns": "campaign",
    "ad_groups": "ad_group",
    "ads": "ad",
    "creatives": "creative",
    "audiences": "audience",
}
_ADDITIVE = ("impressions", "clicks", "spend", "conversions", "conversions_value")


class UnknownTruthError(ValueError):
    """The question cannot be answered: an unknown account, level, breakdown or date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: days are dates in each account's zone, both ends included."""

    level: str
    since: date
    until: date
    account: str | None = None
    breakdowns: tuple[str, ...] = ()
    window: str = DEFAULT_WINDOW
    as_of: datetime


def parse_moment(text: str | datetime | None, now: datetime) -> datetime:
    """Read ``as_of``: a date means the end of that day in UTC, nothing means now."""
    if text is None or text == "":
        return now
    try:
        if isinstance(text, str) and len(text) == len("2026-11-01"):
            return datetime.combine(date.fromisoformat(text), time(23, 59, 59), UTC)
        # An unescaped plus sign arrives as a space.
        moment = datetime.fromisoformat(str(text).replace(" ", "+"))
    except ValueError as error:
        raise UnknownTruthError(f"as_of={text!r} is neither a date nor a moment") from error
    return moment.replace(tzinfo=moment.tzinfo or UTC)


Ids = Callable[[Entity], dict[str, str]]


def ask(
    question: Question, dataset: Dataset, levels: Mapping[str, Ids] | None = None
) -> dict[str, Any]:
    """Return ``{"rows": [...], "sums": {...}}`` for ``question``.

    ``levels`` says which ids a row of each level has, where a platform's are its own.
    Reach is absent from the sums because it does not add up. Conversions of a breakdown for
    which the platform keeps them back are null in the rows and named in ``withheld``.
    """
    levels = levels or IDS
    _check(question, levels)
    rows = [
        row
        for account in accounts_of(question.account, dataset)
        for row in _account_rows(question, account, dataset, levels[question.level])
    ]
    withheld = withholds_conversions(question.breakdowns)
    for row in rows:
        _dress(row, withheld=withheld)
    sums = {name: _sum(rows, name) for name in _ADDITIVE}
    names = ["conversions", "conversions_value"] if withheld else []
    return {"rows": rows, "sums": {**sums, "rows": len(rows)}, "withheld": names}


def entities(stream: str, account: str | None, dataset: Dataset, now: datetime) -> dict[str, Any]:
    """Return the entity truth of a stream: ids, names, status, whether deleted or archived."""
    accounts = accounts_of(account, dataset)
    if stream == "accounts":
        rows = [_account_entity(one) for one in accounts]
    elif stream in STREAMS:
        rows = [
            _entity_row(entity, now)
            for one in accounts
            for entity in dataset.book(one).of(STREAMS[stream])
        ]
    else:
        known = ", ".join(["accounts", *STREAMS])
        raise UnknownTruthError(f"stream={stream!r} is none of {known}")
    gone = sum(row["deleted"] for row in rows)
    return {"rows": rows, "sums": {"rows": len(rows), "deleted": gone, "listed": len(rows) - gone}}


def _check(question: Question, levels: Mapping[str, Ids]) -> None:
    if question.level not in levels:
        raise UnknownTruthError(f"level={question.level!r} is none of {', '.join(levels)}")
    for name in question.breakdowns:
        if name not in DIMENSIONS:
            raise UnknownTruthError(f"breakdown={name!r} is none of {', '.join(DIMENSIONS)}")
    if "platform_position" in question.breakdowns and (
        "publisher_platform" not in question.breakdowns
    ):
        raise UnknownTruthError("platform_position only exists beside publisher_platform")
    if question.window not in (DEFAULT_WINDOW, *WINDOWS):
        raise UnknownTruthError(f"window={question.window!r} is none of default, {WINDOWS}")


def accounts_of(identity: str | None, dataset: Dataset) -> Sequence[Account]:
    """Return the account meant, or all; raises UnknownTruthError."""
    if not identity:
        return dataset.accounts
    account = dataset.account(identity.removeprefix("act_"))
    if account is None:
        raise UnknownTruthError(f"account={identity!r} does not exist")
    return (account,)


def _account_rows(
    question: Question, account: Account, dataset: Dataset, ids_of: Ids
) -> Iterator[dict[str, Any]]:
    at = dataset.moment(account, question.as_of)
    first = max(question.since, dataset.first_day(account))
    last = min(question.until, at.today)
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        day = date.fromordinal(ordinal)
        groups: dict[tuple[Any, ...], dict[str, Any]] = {}
        for fact in dataset.day(account, day, at):
            ids = ids_of(fact.ad)
            for cell in divide(fact, question.breakdowns):
                key = (*ids.values(), *map(describe, cell.values))
                row = groups.get(key)
                if row is None:
                    row = groups[key] = _open(fact, ids, question.breakdowns, cell)
                _add(row, cell, question.window)
        yield from groups.values()


IDS: Mapping[str, Ids] = {
    "account": lambda _: {},
    "campaign": lambda ad: {"campaign_id": _id(ad.campaign)},
    "ad_group": lambda ad: {"campaign_id": _id(ad.campaign), "ad_group_id": _id(ad.group)},
    "ad": lambda ad: {
        "campaign_id": _id(ad.campaign),
        "ad_group_id": _id(ad.group),
        "ad_id": ad.id,
    },
}


def _id(entity: Entity | None) -> str:
    return entity.id if entity else ""


def _open(fact: Fact, ids: dict[str, str], breakdowns: Sequence[str], cell: Cell) -> dict[str, Any]:
    account = fact.ad.account
    return {
        "date": fact.day.isoformat(),
        "account_id": account.id,
        **ids,
        **{
            name.rpartition(".")[2]: value
            for name, value in zip(breakdowns, cell.values, strict=True)
        },
        **dict.fromkeys(("impressions", "clicks", "spend", "reach"), 0),
        **dict.fromkeys(("conversions", "conversions_value"), 0),
        "currency": account.currency,
        "timezone": account.timezone,
        "_reach": [],
        "_minor": account.minor,
    }


def _add(row: dict[str, Any], cell: Cell, window: str) -> None:
    number, value = purchases(cell.metrics, window)
    row["impressions"] += cell.metrics.impressions
    row["clicks"] += cell.metrics.clicks
    row["spend"] += cell.metrics.spend
    row["conversions"] += number
    row["conversions_value"] += value
    row["_reach"].append(cell.reach)


def _dress(row: dict[str, Any], *, withheld: bool) -> None:
    """Turn counters into what a reader expects: people once, money in major units."""
    people, minor = row.pop("_reach"), row.pop("_minor")
    row["reach"] = joint_reach(sum(people), max(people))
    row["spend"] = major(row["spend"], minor)
    row["conversions_value"] = major(row["conversions_value"], minor)
    if withheld:
        row["conversions"] = row["conversions_value"] = None


def major(amount: int, minor: int) -> str:
    """Write minor units as a decimal text in major units: cents to ``12.34``, yen to ``12``."""
    if minor == 1:
        return str(amount)
    return f"{amount // 100}.{amount % 100:02d}"


def _sum(rows: Sequence[dict[str, Any]], name: str) -> Any:
    """Add up; money is added across currencies, which only means something for one account."""
    from decimal import Decimal

    if name in ("spend", "conversions_value"):
        return str(sum((Decimal(row[name] or 0) for row in rows), Decimal(0)))
    return sum(row[name] or 0 for row in rows)


def _account_entity(account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "name": account.name,
        "status": "ACTIVE",
        "deleted": False,
        "currency": account.currency,
        "timezone": account.timezone,
    }


def _entity_row(entity: Entity, now: datetime) -> dict[str, Any]:
    today = now.astimezone(UTC).date()
    status = entity.status(today)
    return {
        "account_id": entity.account.id,
        "id": entity.id,
        "name": entity.name(today),
        "status": status,
        "deleted": status in ("DELETED", "ARCHIVED"),
        "updated_at": entity.updated_at(today).isoformat(),
    }


def default_range(dataset: Dataset, now: datetime) -> tuple[date, date]:
    """Return a range that holds every day of every account."""
    firsts = [dataset.first_day(account) for account in dataset.accounts]
    return min(firsts), (now + timedelta(days=1)).date()
