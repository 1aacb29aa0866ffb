"""What happened on a platform: accounts, entities and daily facts, by hashing alone."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from .accounts import PROFILES, Account, Profile, build_account
from .entities import Book, Entity, Registrar
from .facts import QUARTERS, SETTLED, Fact, Facts, ripen

__all__ = ["PROFILES", "Account", "Book", "Dataset", "Entity", "Fact", "Moment", "Profile"]

_CACHED_ENTITIES = 60_000


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment as an account's calendar sees it; delivery arrives by quarters of an hour."""

    today: date
    quarter: int


class Dataset:
    """Everything about one platform; the same for the same seed, profile and first day."""

    def __init__(self, *, seed: int, platform: str, profile: str, started_at: datetime) -> None:
        self.profile = PROFILES[profile]
        self.accounts = tuple(
            build_account(seed=seed, platform=platform, index=index)
            for index in range(self.profile.accounts)
        )
        self.seed = seed
        self._started_at = started_at
        self._by_id = {account.id: account for account in self.accounts}
        self._registrar = Registrar(
            seed=seed, platform=platform, profile=self.profile, anchor=started_at.date()
        )
        self._facts = Facts(seed, platform)
        self._books: OrderedDict[str, Book] = OrderedDict()
        self._lock = threading.Lock()

    def account(self, identity: str) -> Account | None:
        """Return the account with this id."""
        return self._by_id.get(identity)

    def book(self, account: Account) -> Book:
        """Return the entities of ``account``."""
        with self._lock:
            book = self._books.get(account.id)
            if book is None:
                book = self._books[account.id] = self._registrar.write(account)
                while len(self._books) * self.profile.ads > _CACHED_ENTITIES:
                    self._books.popitem(last=False)
            self._books.move_to_end(account.id)
            return book

    def find(self, identity: str) -> Entity | None:
        """Return the entity with this id."""
        place = self._registrar.locate(identity)
        if place is None or place[0] >= len(self.accounts):
            return None
        entities = self.book(self.accounts[place[0]]).of(place[1])
        return entities[place[2]] if place[2] < len(entities) else None

    def moment(self, account: Account, at: datetime) -> Moment:
        """Return ``at`` on the account's calendar."""
        local = at.astimezone(account.zone)
        return Moment(local.date(), min(QUARTERS, (local.hour * 60 + local.minute) // 15))

    def first_day(self, account: Account) -> date:
        """Return the first day with data."""
        today = self._started_at.astimezone(account.zone).date()
        return today - timedelta(days=self.profile.days)

    def day(
        self, account: Account, day: date, at: Moment, ads: Sequence[Entity] | None = None
    ) -> list[Fact]:
        """Return what is known at ``at`` of ``day``: one fact per ad that did anything."""
        age = (at.today - day).days
        if age < 0 or day < self.first_day(account):
            return []
        if ads is None:
            finals = self._facts.of_day(account, self.book(account).ads, day)
        else:
            finals = self._facts.some_of_day(account, ads, day)
        facts = [ripen(final, day, min(age, SETTLED), at.quarter) for final in finals]
        return facts if age else [fact for fact in facts if any(fact.metrics)]
