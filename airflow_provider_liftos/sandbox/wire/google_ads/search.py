"""The rows of a plan: gathered from the data set day by day, filtered, ordered, cut."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from datetime import date, datetime
from itertools import groupby, islice
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Account, Dataset, Entity, Fact
from airflow_provider_liftos.sandbox.dataset.google_ads import (
    ACTIONS,
    AGES,
    GENDERS,
    ORDER,
    cells,
    channel,
    clicked,
    keywords,
    location_type,
)
from airflow_provider_liftos.sandbox.dataset.metrics import NOTHING

from .catalogue import CORE_DATES
from .checks import Plan
from .conditions import Test, test_of
from .hierarchy import Customer, Hierarchy
from .listed import LISTS
from .numbers import METRICS, OF_DAY, OF_PART, OF_SUBJECT, Found
from .schema import METRICS as METRIC
from .schema import SEGMENTS, Field
from .subjects import ATTRIBUTES, Subject

Owners = tuple[Entity | None, Entity | None, Entity | None]
_OWNERS: dict[str, Callable[[Entity], Owners]] = {
    "account": lambda _: (None, None, None),
    "campaign": lambda ad: (ad.campaign, None, None),
    "ad_group": lambda ad: (ad.campaign, ad.group, None),
    "ad": lambda ad: (ad.campaign, ad.group, ad),
}
# How a value that divides makes a subject: something to tell subjects apart, and its values.
_MADE: dict[str, Callable[[Any, Entity], dict[str, Any]]] = {
    "keyword": lambda word, _: {"keyword": word},
    "age": lambda age, _: {"age": age},
    "gender": lambda gender, _: {"gender": gender},
    "search_term": lambda pair, _: {"keyword": pair[0], "search_term": pair[1]},
    "place": lambda place, ad: {
        "country_id": place.country_id,
        "location_type": location_type(ad),
    },
    "headline": lambda text, _: {"asset": text},
    "description": lambda text, _: {"asset": text},
    "conversion_action": lambda action, _: {"conversion_action": action},
}


class Search:
    """One query to one customer, as the platform knew the world at ``now``."""

    def __init__(
        self,
        plan: Plan,
        customer: Customer,
        dataset: Dataset,
        hierarchy: Hierarchy,
        now: datetime,
    ) -> None:
        self.plan = plan
        self.customer = customer
        self._dataset = dataset
        self._hierarchy = hierarchy
        self._now = now
        account = customer.account
        self.today = now.astimezone(account.zone).date() if account else now.date()
        self.segments = plan.segments
        self._of_day = [name for name in self.segments if name in OF_DAY]
        self.part_dimensions = self._part_dimensions()
        self._subjects: dict[Hashable, Subject | None] = {}
        self._tests = self._sorted_tests()
        self._late = (*self._tests[SEGMENTS], *self._tests[METRIC])
        asked = [field.path[1] for field in plan.selected(METRIC)]
        # None: no metric is asked for, so any number makes a row count.
        self._measures = [METRICS[one] for one in asked if one in METRICS] if asked else None

    def _part_dimensions(self) -> list[str]:
        """Return the dimensions that segments are about, in the order in which they divide."""
        named = {OF_PART[name][0] for name in self.segments if name in OF_PART}
        return sorted(named, key=ORDER.index)

    def _sorted_tests(self) -> dict[str, list[tuple[Field, Test]]]:
        found: dict[str, list[tuple[Field, Test]]] = {METRIC: [], SEGMENTS: [], "": []}
        for one in self.plan.query.conditions:
            field = self.plan.fields[one.field]
            word = field.name.split(".", 1)[1]
            if field.resource == SEGMENTS and word in CORE_DATES:
                continue
            part = field.resource if field.resource in (METRIC, SEGMENTS) else ""
            if part == SEGMENTS and word in OF_SUBJECT:
                part = ""
            if one.operator == "DURING":
                continue  # of changes: their days were cut already
            found[part].append((field, test_of(one, field)))
        return found

    def rows(self) -> Iterator[Found]:
        """Yield what meets every condition, in order, within the limit."""
        found: Iterator[Found] = (row for row in self._all() if self._meets(row))
        order = self.plan.query.order
        if order:
            listed = list(found)
            for name, descending in reversed(order):
                field = self.plan.fields[name]
                listed.sort(key=lambda row, f=field: _sortable(self.value(row, f)),  # type: ignore[misc]
                            reverse=descending)  # fmt: skip
            found = iter(listed)
        return islice(found, self.plan.query.limit)

    def value(self, row: Found, field: Field) -> Any:
        """Return the value of any field for a row."""
        word = field.name.split(".", 1)[1]
        if field.resource == METRIC:
            getter = METRICS.get(word)
            return getter(row) if getter else 0
        if field.resource == SEGMENTS:
            return self.segment(row, word)
        attribute = ATTRIBUTES.get(field.resource, {}).get(word)
        return attribute(row.subject) if attribute else None

    def segment(self, row: Found, word: str) -> Any:
        """Return the value of a segment; None for one that the sandbox does not know."""
        if word in OF_DAY:
            return OF_DAY[word](row.day) if row.day else None
        if word in OF_SUBJECT:
            return OF_SUBJECT[word](row.subject)
        if word in OF_PART:
            dimension, getter = OF_PART[word]
            return getter(row.parts[self.part_dimensions.index(dimension)], row.subject)
        return None

    def _meets(self, row: Found) -> bool:
        if self.segments and not self._counts(row):
            return False
        return all(test(self.value(row, field)) for field, test in self._late)

    def _counts(self, row: Found) -> bool:
        """Say whether a segmented row has a selected metric that is not zero."""
        if self._measures is None:
            return any(row.tally)
        return any(measure(row) for measure in self._measures)

    def _admit(self, subject: Subject) -> bool:
        tests = self._tests[""]
        row = Found(subject)
        return not tests or all(test(self.value(row, field)) for field, test in tests)

    def _all(self) -> Iterator[Found]:
        resource, account = self.plan.query.resource, self.customer.account
        if resource in LISTS:
            listed = LISTS[resource](
                self.customer, self._dataset, self._hierarchy, self._now, self.today
            )
            return (Found(one) for one in listed if self._within(one) and self._admit(one))
        if account is None:
            alone = Subject(self.customer, self.today)
            return iter([Found(alone)] if resource == "customer" and self._admit(alone) else [])
        if resource == "click_view":
            return self._clicks(account)
        if not self.plan.source.level:
            return iter(())
        return self._performance(account)

    def _within(self, subject: Subject) -> bool:
        """Say whether a change lies in the days that the query leaves (others have none)."""
        moment = subject.values.get("moment")
        return moment is None or self.plan.changed_within(moment.date())

    def _level(self) -> str:
        """Return the grain; geographic rows are as fine as what is selected beside them."""
        if self.plan.query.resource != "geographic_view":
            return self.plan.source.level
        beside = {field.resource for field in self.plan.fields.values()}
        return next((one for one in ("ad_group", "campaign") if one in beside), "account")

    def _days(self, account: Account) -> list[date]:
        first = self._dataset.first_day(account)
        span = self.plan.span.cut(first, self.today)
        since, until = span.since or first, span.until or self.today
        return [date.fromordinal(one) for one in range(since.toordinal(), until.toordinal() + 1)]

    def _performance(self, account: Account) -> Iterator[Found]:
        fields = self.plan.fields.values()
        if not self.segments:
            rows: dict[Hashable, Found] = {}
            if self.plan.source.listed:
                rows = {key: Found(one) for key, one in self._universe(account)}
            if any(field.resource == METRIC for field in fields) or not self.plan.source.listed:
                self._gather(account, self._days(account), rows)
            yield from rows.values()
            return
        for days in self._periods(account):
            rows = {}
            self._gather(account, days, rows)
            yield from rows.values()

    def _periods(self, account: Account) -> Iterator[list[date]]:
        """Yield days that may share rows: a day, a week … or all of them."""
        days = self._days(account)
        running = [name for name in self._of_day if name in CORE_DATES]
        if len(running) < len(self._of_day) and "date" not in running:
            running = []  # the Mondays of a month share a row, and do not follow one another
        for _, some in groupby(days, key=lambda day: [OF_DAY[name](day) for name in running]):
            yield list(some)

    def _gather(self, account: Account, days: list[date], rows: dict[Hashable, Found]) -> None:
        moment = self._dataset.moment(account, self._now)
        divisions = [self._division(names) for names in self.plan.source.divided]
        owners_of = _OWNERS[self._level()]
        words = self._of_day
        for day in days:
            stamp = tuple(OF_DAY[name](day) for name in words)
            for fact in self._dataset.day(account, day, moment):
                owners = owners_of(fact.ad)
                for names, made, parts in divisions:
                    for cell in cells(fact, names):
                        values = _MADE[names[made]](cell.values[made], fact.ad) if made >= 0 else {}
                        identity = (_finest(owners), *values.values())
                        subject = self._subject(identity, owners, values)
                        if subject is None:
                            continue
                        chosen = tuple(cell.values[at] for at in parts)
                        key = (stamp, identity, chosen) if words or chosen else identity
                        row = rows.get(key)
                        if row is None:
                            rows[key] = Found(subject, day, chosen, cell.metrics)
                        else:
                            row.add(cell.metrics)

    def _division(self, own: tuple[str, ...]) -> tuple[list[str], int, list[int]]:
        """Return the dimensions that divide, where the row's own is, where the segments' are."""
        names = sorted({*own, *self.part_dimensions}, key=ORDER.index)
        return (
            names,
            names.index(own[0]) if own else -1,
            [names.index(one) for one in self.part_dimensions],
        )

    def _subject(
        self, identity: Hashable, owners: Owners, values: dict[str, Any]
    ) -> Subject | None:
        """Return the subject with an identity; None if conditions exclude it."""
        if identity not in self._subjects:
            made = Subject(self.customer, self.today, *owners, values)
            self._subjects[identity] = made if self._admit(made) else None
        return self._subjects[identity]

    def _universe(self, account: Account) -> Iterator[tuple[Hashable, Subject]]:
        """Yield everything that has a row even without numbers."""
        book = self._dataset.book(account)
        own = self.plan.source.divided[0]
        listed: dict[str, list[Owners]] = {
            "account": [(None, None, None)],
            "campaign": [(one, None, None) for one in book.campaigns],
            "ad_group": [(one.campaign, one, None) for one in book.groups],
            "ad": [(one.campaign, one.group, one) for one in book.ads],
        }
        for owners in listed[self.plan.source.level]:
            for values in _possible(own[0], owners) if own else [{}]:
                identity = (_finest(owners), *values.values())
                subject = self._subject(identity, owners, values)
                if subject is not None:
                    yield identity, subject

    def _clicks(self, account: Account) -> Iterator[Found]:
        moment = self._dataset.moment(account, self._now)
        for day in self._days(account):
            for fact in self._dataset.day(account, day, moment):
                yield from self._clicks_of(fact, day)

    def _clicks_of(self, fact: Fact, day: date) -> Iterator[Found]:
        ad = fact.ad
        words = keywords(ad.group) if ad.group else ()
        one_click = NOTHING._replace(clicks=1)
        devices = ("MOBILE", "DESKTOP", "TABLET")
        for gclid, at in clicked(fact):
            values = {
                "gclid": gclid,
                "day": day,
                "keyword": words[at % len(words)] if words else None,
            }
            subject = Subject(self.customer, self.today, ad.campaign, ad.group, ad, values)
            parts = {"device": devices[at % 3], "network": "SEARCH" if words else "CONTENT"}
            if self._admit(subject):
                chosen = tuple(parts[name] for name in self.part_dimensions)
                yield Found(subject, day, chosen, one_click)


def _finest(owners: Owners) -> str:
    return next((one.id for one in reversed(owners) if one is not None), "")


def _possible(name: str, owners: Owners) -> list[dict[str, Any]]:
    campaign, group, _ = owners
    if name == "keyword":
        return [{"keyword": word} for word in (keywords(group) if group else ())]
    if name == "conversion_action":
        return [{"conversion_action": action} for action in ACTIONS]
    if channel(campaign) == "SHOPPING":
        return []
    return [{name: value} for value in (AGES if name == "age" else GENDERS)]


def _sortable(value: Any) -> tuple[bool, Any]:
    return value is not None, value if value is not None else 0
