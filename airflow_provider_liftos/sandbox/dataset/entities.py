"""Campaigns, ad groups, ads, creatives and audiences, and how they live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from .accounts import Account, Profile
from .chance import number, pick
from .names import ad_name, campaign_name, group_name

CAMPAIGN, GROUP, AD, CREATIVE, AUDIENCE = "campaign", "ad_group", "ad", "creative", "audience"
KINDS = (CAMPAIGN, GROUP, AD, CREATIVE, AUDIENCE)
GOALS = ("sales", "traffic", "awareness", "leads", "sales")

_ADS_PER_GROUP, _GROUPS_PER_CAMPAIGN = 4, 2
_AUDIENCES = 12
_PREFIX = "1202"
# Platforms whose ids look different: TikTok's have nineteen digits.
_PREFIXES = {"tiktok": "18402"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One thing with an id, a name and a life.

    ``gone_on`` is the day it was (or will be) deleted or archived, ``gone_how`` which of the
    two. Every ``period`` days somebody edits it; if ``renamed``, the name shows the edit.
    """

    kind: str
    account: Account
    index: int
    id: str
    base_name: str
    created_at: datetime
    campaign: Entity | None = None
    group: Entity | None = None
    creative: int | None = None
    goal: str = "sales"
    gone_on: date | None = None
    gone_how: str = "DELETED"
    period: int = 30
    phase: int = 0
    renamed: bool = False
    paused: bool = False

    def revision(self, on: date) -> int:
        """Count the edits up to the day ``on``; nobody edits what is gone."""
        gone = self.end()
        on = min(on, gone[0]) if gone else on
        return max(0, (on.toordinal() + self.phase) // self.period - self._first_edit())

    def _first_edit(self) -> int:
        return (self.created_at.date().toordinal() + self.phase) // self.period

    def name(self, on: date) -> str:
        """Return the name that the platform shows on the day ``on``."""
        revision = self.revision(on) if self.renamed else 0
        return f"{self.base_name} (rev {revision})" if revision else self.base_name

    def updated_at(self, on: date) -> datetime:
        """Return the moment of the last edit, or of the end, up to the day ``on``."""
        gone = self.end()
        if gone and gone[0] <= on:
            return datetime.combine(gone[0], time(9, 30), UTC)
        edits = self.revision(on)
        if not edits:
            return self.created_at
        day = (self._first_edit() + edits) * self.period - self.phase
        return datetime.combine(date.fromordinal(day), time(0, self.index % 60), UTC)

    def end(self) -> tuple[date, str] | None:
        """Return day and manner of its end: its own, or that of whatever it belongs to."""
        ends = [
            (owner.gone_on, owner.gone_how)
            for owner in (self, self.group, self.campaign)
            if owner is not None and owner.gone_on is not None
        ]
        return min(ends) if ends else None

    def status(self, on: date) -> str:
        """Return ACTIVE, PAUSED, DELETED or ARCHIVED as of the day ``on``."""
        gone = self.end()
        if gone and gone[0] <= on:
            return gone[1]
        return "PAUSED" if self.paused else "ACTIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """All entities of one account."""

    campaigns: tuple[Entity, ...]
    groups: tuple[Entity, ...]
    ads: tuple[Entity, ...]
    creatives: tuple[Entity, ...]
    audiences: tuple[Entity, ...]

    def of(self, kind: str) -> tuple[Entity, ...]:
        """Return the entities of one of ``KINDS``."""
        listed = (self.campaigns, self.groups, self.ads, self.creatives, self.audiences)
        return listed[KINDS.index(kind)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """Writes the book of an account; ``anchor`` is the day the sandbox started."""

    seed: int
    platform: str
    profile: Profile
    anchor: date

    def identify(self, account: int, kind: str, index: int) -> str:
        """Return an id above 2**53 (18 digits or more) that tells account and index."""
        check = number(10**4, self.seed, self.platform, account, kind, index)
        prefix = _PREFIXES.get(self.platform, _PREFIX)
        return f"{prefix}{account:04d}{KINDS.index(kind)}{index:05d}{check:04d}"

    def locate(self, identity: str) -> tuple[int, str, int] | None:
        """Return (account, kind, index) of an id made by ``identify``, else None."""
        prefix = _PREFIXES.get(self.platform, _PREFIX)
        digits = identity.removeprefix(prefix)
        if len(digits) != 14 or digits == identity or not (digits.isascii() and digits.isdigit()):
            return None
        account, kind, index = int(digits[:4]), int(digits[4]), int(digits[5:10])
        if kind >= len(KINDS) or self.identify(account, KINDS[kind], index) != identity:
            return None
        return account, KINDS[kind], index

    def write(self, account: Account) -> Book:
        """Return the entities of ``account``; the same every time."""
        ads = self.profile.ads
        groups = max(1, -(-ads // _ADS_PER_GROUP))
        campaigns = [
            self._campaign(account, index) for index in range(-(-groups // _GROUPS_PER_CAMPAIGN))
        ]
        ad_groups = [
            self._group(account, index, campaigns[index // _GROUPS_PER_CAMPAIGN])
            for index in range(groups)
        ]
        return Book(
            campaigns=tuple(campaigns),
            groups=tuple(ad_groups),
            ads=tuple(
                self._ad(account, index, ad_groups[index // _ADS_PER_GROUP]) for index in range(ads)
            ),
            creatives=tuple(self._creative(account, index) for index in range(creatives_of(ads))),
            audiences=tuple(
                self._audience(account, index)
                for index in range(0 if account.empty else _AUDIENCES)
            ),
        )

    def _campaign(self, account: Account, index: int) -> Entity:
        ends = {1: (-10, "DELETED")}
        return self._entity(
            account,
            CAMPAIGN,
            index,
            campaign_name(self.seed, account.id, index),
            ends.get(index),
            goal=GOALS[index % len(GOALS)],
        )

    def _group(self, account: Account, index: int, campaign: Entity) -> Entity:
        ends = {5: (-20, "ARCHIVED"), 9: (4, "DELETED")}
        name = group_name(self.seed, account.id, index)
        return self._entity(
            account, GROUP, index, name, ends.get(index), campaign=campaign, goal=campaign.goal
        )

    def _ad(self, account: Account, index: int, group: Entity) -> Entity:
        ends = {3: (-5, "DELETED"), 6: (-30, "ARCHIVED"), 7: (3, "DELETED"), 17: (-1, "DELETED")}
        return self._entity(
            account,
            AD,
            index,
            ad_name(self.seed, account.id, index),
            ends.get(index),
            campaign=group.campaign,
            group=group,
            creative=index % creatives_of(self.profile.ads),
            goal=group.goal,
        )

    def _creative(self, account: Account, index: int) -> Entity:
        return self._entity(account, CREATIVE, index, f"Creative {index:04d} — 春", None)

    def _audience(self, account: Account, index: int) -> Entity:
        name = pick(("Newsletter", "VIP, 90 days", "Visitors"), self.seed, account.id, index)
        label = f"Lookalike (1%) — {name}" if index % 3 == 2 else name
        ends = {10: (-7, "DELETED")}
        return self._entity(account, AUDIENCE, index, f"{label} {index}", ends.get(index))

    def _entity(
        self,
        account: Account,
        kind: str,
        index: int,
        name: str,
        ends: tuple[int, str] | None,
        *,
        campaign: Entity | None = None,
        group: Entity | None = None,
        creative: int | None = None,
        goal: str = "sales",
    ) -> Entity:
        key = (self.seed, self.platform, account.id, kind, index)
        return Entity(
            kind=kind,
            account=account,
            index=index,
            id=self.identify(account.index, kind, index),
            base_name=name,
            created_at=self._born(key, kind, index),
            campaign=campaign,
            group=group,
            creative=creative,
            goal=goal,
            gone_on=self.anchor + timedelta(days=ends[0]) if ends else None,
            gone_how=ends[1] if ends else "DELETED",
            period=3 + number(60, *key, "period"),
            phase=number(60, *key, "phase"),
            renamed=number(10, *key, "renamed") == 0,
            paused=account.empty or number(8, *key, "paused") == 0,
        )

    def _born(self, key: tuple[object, ...], kind: str, index: int) -> datetime:
        """Most things are older than the data; every tenth ad was born within it."""
        before = self.profile.days + 30 + number(200, *key, "age")
        if kind == AD and index % 10 == 9:
            before = number(self.profile.days * 3 // 4, *key, "age") + 2
        day = self.anchor - timedelta(days=before)
        return datetime.combine(day, time(number(24, *key, "hour"), index % 60), UTC)


def creatives_of(ads: int) -> int:
    """Return how many creatives ``ads`` ads share."""
    return max(1, ads * 3 // 4)
