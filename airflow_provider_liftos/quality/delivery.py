"""What accounts and campaigns delivered day by day, and what of it came from ads that changed.

Days under audit stand in for published ones. An ad that ended, or began a little while ago, makes
its campaign jump or drop lawfully: its part is kept apart, so that days can be compared without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.quality.days import Reader, key_of
from airflow_provider_liftos.quality.seasons import MIN_LIKE_DAYS, WEEKS
from airflow_provider_liftos.quality.settled import Standing

REPORT, LEVEL = "basic", "campaign"
METRICS = ("impressions", "clicks", "spend", "conversions")
YOUNG = timedelta(weeks=MIN_LIKE_DAYS)
"""So long nothing can be expected of an ad that is new."""
HISTORY = timedelta(weeks=WEEKS + 1)

Totals = tuple[float, ...]
"""Of ``METRICS``; what a report does not know is 0."""
Days = dict[date, Totals]
NOTHING: Totals = (0.0,) * len(METRICS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Ads of one campaign that began, or ended, on the same days; None: long ago, or not at all."""

    campaign_id: str
    began: date | None
    ended: date | None

    def differs(self, day: date) -> bool:
        """Whether the day and those before it cannot be compared while these ads count."""
        young = self.began is not None and day - YOUNG < self.began
        return young or (self.ended is not None and self.ended < day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Of one account. ``days`` are known; those that a campaign is not in, it delivered nothing.

    ``stopped`` are campaigns that are paused, ended or deleted as last seen.
    """

    account_id: str
    days: frozenset[date]
    campaigns: Mapping[str, Days]
    cohorts: Mapping[Cohort, Days] = field(default_factory=dict)
    stopped: frozenset[str] = frozenset()


def read(
    warehouse: Reader,
    manifest: Manifest,
    standing: Mapping[str, Standing] | None,
    days: Collection[date],
) -> Iterator[Delivery]:
    """Deliveries of the accounts whose campaigns' report came, up to the newest of ``days``.

    ``standing`` are slices that are published already; None says that all are. Raises
    WarehouseError as the warehouse does.
    """
    slices = [r for r in manifest.slices if is_ours(r)]
    if not slices or not days:
        return
    since, until = min(days) - HISTORY, max(days)
    emptied = _under_audit(slices, standing)
    statements = _Statements(warehouse, manifest, since, until)
    known = statements.known_days()
    campaigns = statements.campaigns()
    cohorts = statements.cohorts()
    stopped = statements.stopped()
    for account in dict.fromkeys(r.slice.account_id for r in slices):
        judged = emptied.get(account, set())
        of_account: dict[str, Days] = {}
        for campaign, day, mine, totals in campaigns.get(account, ()):
            if mine or day not in judged:
                of_account.setdefault(campaign, {})[day] = totals
        there = {day for of_campaign in of_account.values() for day in of_campaign}
        yield Delivery(
            account_id=account,
            days=frozenset(known.get(account, set()) | judged | there),
            campaigns=of_account,
            cohorts=cohorts.get(account, {}),
            stopped=frozenset(stopped.get(account, ())),
        )


def is_ours(result: SliceResult) -> bool:
    """Whether a slice is of the report whose days are compared, and came in full."""
    _, report, level = key_of(result)
    return (report, level) == (REPORT, LEVEL) and result.status == "complete"


def _under_audit(
    slices: Iterable[SliceResult], standing: Mapping[str, Standing] | None
) -> dict[str, set[date]]:
    """Days by account of which only what is under audit counts, and be it nothing."""
    found: dict[str, set[date]] = {}
    if standing is None:
        return found
    for result in slices:
        if result.slice.fingerprint() not in standing:
            found.setdefault(result.slice.account_id, set()).update(result.slice.window.dates())
    return found


class _Statements:
    """SQL of one audit; all parameters in the order of the text."""

    def __init__(self, warehouse: Reader, manifest: Manifest, since: date, until: date) -> None:
        self._warehouse = warehouse
        self._ident = warehouse.layout.capabilities.ident
        self._manifest = manifest
        self._since, self._until = since, until
        self._scope = f"{self._ident('org_id')} = ? AND {self._ident('platform')} = ?"
        self._mine = (manifest.org_id, manifest.platform, manifest.load_id)

    def known_days(self) -> dict[str, set[date]]:
        """Published days, by account, with rows or without."""
        i = self._ident
        found = self._warehouse.query(
            f"SELECT {i('account_id')}, {i('date')} FROM {self._published('loads')}"
            f" WHERE {self._scope} AND {i('report')} = ? AND {i('level')} = ?"
            f" AND {i('date')} BETWEEN ? AND ?",
            (*self._mine[:2], REPORT, LEVEL, self._since, self._until),
        )
        known: dict[str, set[date]] = {}
        for account, day in found:
            known.setdefault(account, set()).add(day)
        return known

    def campaigns(self) -> dict[str, list[tuple[str, date, bool, Totals]]]:
        """By account: campaign, day, whether it is under audit, totals."""
        i, (rows, params) = self._ident, self._rows(LEVEL)
        # Attribution windows repeat what was delivered.
        outer = ", ".join(f"MAX(d.{i(metric)})" for metric in METRICS)
        keys = ", ".join(f"d.{i(name)}" for name in ("account_id", "campaign_id", "date", "mine"))
        found = self._warehouse.query(
            f"SELECT {keys}, {outer} FROM ({rows}) AS d GROUP BY {keys}", params
        )
        result: dict[str, list[tuple[str, date, bool, Totals]]] = {}
        for account, campaign, day, mine, *totals in found:
            result.setdefault(account, []).append((campaign, day, bool(mine), _totals(totals)))
        return result

    def cohorts(self) -> dict[str, dict[Cohort, Days]]:
        """Days of ads that ended or are young, by account."""
        i, (rows, row_params) = self._ident, self._rows("ad")
        changed, params = self._changed_ads()
        account, campaign, ad, day = (
            i(n) for n in ("account_id", "campaign_id", "ad_id", "date")
        )  # fmt: skip
        sums = ", ".join(f"SUM(d.{i(metric)})" for metric in METRICS)
        keys = (
            f"d.{account}, d.{campaign}, c.began, CASE WHEN c.has_ended THEN last.{day} END,"
            f" d.{day}"
        )
        found = self._warehouse.query(
            f"WITH c AS ({changed}), d AS ({rows}), last AS ("
            f"SELECT d.{account} AS {account}, d.{ad} AS {ad}, MAX(CASE WHEN d.{i('impressions')}"
            f" > 0 THEN d.{day} END) AS {day} FROM d GROUP BY d.{account}, d.{ad})"
            f" SELECT {keys}, {sums} FROM d"
            f" JOIN c ON c.{account} = d.{account} AND c.{ad} = d.{ad}"
            f" JOIN last ON last.{account} = d.{account} AND last.{ad} = d.{ad}"
            f" GROUP BY {keys}",
            (*params, *row_params),
        )
        result: dict[str, dict[Cohort, Days]] = {}
        for account_id, campaign_id, began, ended, on, *totals in found:
            cohort = Cohort(campaign_id=campaign_id, began=began, ended=ended)
            result.setdefault(account_id, {}).setdefault(cohort, {})[on] = _totals(totals)
        return result

    def stopped(self) -> dict[str, list[str]]:
        """Campaigns that do not deliver any more, by account."""
        i, (seen, params) = self._ident, self._seen("campaigns", "campaign_id")
        found = self._warehouse.query(
            f"SELECT {i('account_id')}, {i('campaign_id')} FROM ({seen}) AS s WHERE s.has_ended",
            params,
        )
        result: dict[str, list[str]] = {}
        for account, campaign in found:
            result.setdefault(account, []).append(campaign)
        return result

    def _rows(self, level: str) -> tuple[str, tuple[object, ...]]:
        """Un-broken rows, summed per attribution window: under audit, or else as published."""
        i = self._ident
        ids = ("account_id", "campaign_id", *(("ad_id",) if level == "ad" else ()))
        names = [i(n) for n in (*ids, "date", "attribution_window")]
        sums = ", ".join(f"COALESCE(SUM({i(m)}), 0) AS {i(m)}" for m in METRICS)
        where = f"{self._scope} AND {i('report')} = ? AND {i('level')} = ?"
        audit, load = self._audit("performance"), f"{i('load_id')} = ?"
        days = f"SELECT {i('account_id')}, {i('date')} FROM {audit} WHERE {where} AND {load}"
        keys = ", ".join(names)
        text = (
            f"SELECT {keys}, 1 AS mine, {sums} FROM {audit} WHERE {where} AND {load}"
            f" GROUP BY {keys} UNION ALL"
            f" SELECT {keys}, 0 AS mine, {sums} FROM {self._published('performance')}"
            f" WHERE {where} AND {i('date')} BETWEEN ? AND ?"
            f" AND ({i('account_id')}, {i('date')}) NOT IN ({days}) GROUP BY {keys}"
        )
        org, platform, load_id = self._mine
        mine = (org, platform, REPORT, level)
        return text, (*mine, load_id, *mine, self._since, self._until, *mine, load_id)

    def _changed_ads(self) -> tuple[str, tuple[object, ...]]:
        """Ads that ended, by themselves or with what they belong to, and young ones."""
        i = self._ident
        ads, params = self._seen("ads", "ad_id", "ad_group_id", "campaign_id")
        groups, more = self._seen("ad_groups", "ad_group_id")
        campaigns, rest = self._seen("campaigns", "campaign_id")
        account, ad = i("account_id"), i("ad_id")
        ended = "(a.has_ended OR COALESCE(g.has_ended, FALSE) OR COALESCE(k.has_ended, FALSE))"
        oldest = datetime.combine(self._since - YOUNG, time(), UTC)
        text = (
            f"SELECT a.{account}, a.{ad}, {ended} AS has_ended, CASE WHEN a.created_at >= ?"
            f" THEN CAST(a.created_at AS DATE) END AS began FROM ({ads}) AS a"
            f" LEFT JOIN ({groups}) AS g ON g.{account} = a.{account}"
            f" AND g.{i('ad_group_id')} = a.{i('ad_group_id')}"
            f" LEFT JOIN ({campaigns}) AS k ON k.{account} = a.{account}"
            f" AND k.{i('campaign_id')} = a.{i('campaign_id')}"
            f" WHERE {ended} OR a.created_at >= ?"
        )
        return text, (oldest, *params, *more, *rest, oldest)

    def _seen(self, table: str, *ids: str) -> tuple[str, tuple[object, ...]]:
        """Entities as they are under audit, or else published, and whether they have ended.

        What is published and not in a whole snapshot under audit is gone.
        """
        i = self._ident
        columns = ", ".join((i("account_id"), *map(i, ids), f"{i('created_at')} AS created_at"))
        stopped = f"COALESCE(LOWER({i('effective_status')}), 'active') NOT IN ('active', 'enabled')"
        whole = [
            r.slice.account_id
            for r in self._manifest.slices
            if r.table == table and r.slice.report is None and r.slice.ids is None
            and r.status == "complete" and r.staged_rows
        ] or [""]  # fmt: skip
        gone = f"{i('account_id')} IN ({', '.join('?' * len(whole))})"
        staged = f"FROM {self._audit(table)} WHERE {self._scope} AND {i('load_id')} = ?"
        text = (
            f"SELECT {columns}, {stopped} AS has_ended {staged} UNION ALL"
            f" SELECT {columns}, ({stopped} OR {i('is_deleted')} OR {gone}) AS has_ended"
            f" FROM {self._published(table)} WHERE {self._scope} AND {i('valid_to')} IS NULL"
            f" AND ({i('account_id')}, {i(ids[0])}) NOT IN"
            f" (SELECT {i('account_id')}, {i(ids[0])} {staged})"
        )
        return text, (*self._mine, *whole, *self._mine[:2], *self._mine)

    def _published(self, table: str) -> str:
        return self._warehouse.layout.published(table)

    def _audit(self, table: str) -> str:
        return self._warehouse.layout.audit(table)


def _totals(values: Sequence[Any]) -> Totals:
    return tuple(float(value or 0) for value in values)
