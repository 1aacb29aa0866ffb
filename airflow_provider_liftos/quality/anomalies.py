"""Days that are lawful row by row and still not as they should be: jumps, drops, gaps, oddities.

Each day of an account and of its campaigns is held against the same weekdays before. Known changes
explain themselves: what ads that ended or began delivered is left out on both sides, and a stopped
campaign may be silent. One finding per rule and account names the worst; nothing here is critical,
because a day may be unusual and true. Who wants such days held back says so in ``block_on``.

Besides what was shown and spent, what showing cost is compared: a price moves far less from day to
day than either, so that spend which is wrong by itself stands out of it.

The constants were fixed before they were measured (see ``seasons``). ``BASELINES`` are two ways to
say what is usual; the weekdays' medians are taken unless somebody asks for the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from airflow_provider_liftos.engine.manifest import Manifest
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.quality import delivery, seasons, stl
from airflow_provider_liftos.quality.compared import IN_SEASON, PRICE, Compared
from airflow_provider_liftos.quality.days import Reader
from airflow_provider_liftos.quality.delivery import METRICS, NOTHING, Delivery
from airflow_provider_liftos.quality.findings import Finding, Status
from airflow_provider_liftos.quality.rules import Dimension, Judges, Rule, Severity
from airflow_provider_liftos.quality.seasons import DAY, Baseline, Departure, LikeWeekdays, Way
from airflow_provider_liftos.quality.settled import Standing

MATERIAL = 0.20
"""A campaign is told of if it moves the account's day by this share at the limit; what departs
twice as far, by a quarter of it, and so on. Silence of one that was never silent needs no share."""
FEW_CLICKS = 10
"""Clicks of a campaign's day that may come late, to what was shown before."""
LONGEST = 31
"""Days of a run that are judged, the newest first."""
BEFORE = 7
"""Days before them, on which an episode may have begun; then it has been told."""
MEDIUM, HIGH = 8.0, 12.0
"""From how many MADs on a departure is of that severity; below, it is low."""
SHOWN = 5


def _rule(name: str, dimension: Dimension, doc: str, advice: str) -> Rule:
    return Rule(
        name=name, dimension=dimension, severity=Severity.LOW, judges=Judges.AGGREGATE,
        doc=doc, advice=advice,
    )  # fmt: skip


NO_SUDDEN_JUMP = _rule(
    "no_sudden_jump", Dimension.ACCURACY,
    f"No day lies {seasons.LIMIT} MADs or more above the same weekdays before.",
    "See who raised budgets or bids on that day; if nobody did, compare it with the platform's own"
    " interface, and look for rows that came twice.",
)  # fmt: skip
NO_SUDDEN_DROP = _rule(
    "no_sudden_drop", Dimension.COMPLETENESS,
    f"No day lies {seasons.LIMIT} MADs or more below the same weekdays before.",
    "See whether budgets ran out, ads were disapproved or a payment failed; if nothing of it,"
    " load the day again: the platform may not have had all of it yet.",
)  # fmt: skip
NO_GAP = _rule(
    "no_gap_in_delivery", Dimension.COMPLETENESS,
    "What delivers on nearly every day, and is active, delivers.",
    "Load the day again. If it stays empty, see whether it was paused, and whether the connection"
    " still reaches all of the account.",
)  # fmt: skip
CLICKS_WERE_SHOWN = _rule(
    "clicks_have_impressions", Dimension.CONSISTENCY,
    f"No campaign has more clicks than impressions on a day, but for {FEW_CLICKS} late ones.",
    "Compare the day with the platform's own interface; invalid clicks are taken back later.",
)  # fmt: skip
OF_PRICES = (
    "A thousand impressions cost more or less than usual: see whether bids, placements or audiences"
    " were changed. If nobody did, compare spend with the platform's own interface: it may be in"
    " another unit or currency."
)
"""What to do about a departure of ``PRICE``; budgets and pauses do not explain it."""
RULES = (NO_SUDDEN_JUMP, NO_SUDDEN_DROP, NO_GAP, CLICKS_WERE_SHOWN)
MEDIAN, STL = "median", "stl"
BASELINES: Mapping[str, Baseline] = {MEDIAN: LikeWeekdays, STL: stl.Stl}
_OF_WAY = {Way.JUMP: NO_SUDDEN_JUMP, Way.DROP: NO_SUDDEN_DROP, Way.GAP: NO_GAP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """One episode of an account, or of its campaign where ``campaign_id`` is not empty.

    ``through`` is the campaign that most of an account's departure comes from, if one does.
    """

    rule: Rule
    metric: str
    severity: Severity
    episode: Departure
    campaign_id: str = ""
    through: str = ""

    @property
    def line(self) -> str:
        """What a person reads."""
        whose = f"campaign {self.campaign_id}" if self.campaign_id else "the account"
        one = self.episode
        days = f"{one.since}" if one.since == one.until else f"{one.since} to {one.until}"
        digits = 2 if self.metric == PRICE else 0
        usual = (
            f", usually {one.expected:,.{digits}f} ({one.size:.1f} MADs)" if one.expected else ""
        )
        through = f", mostly campaign {self.through}" if self.through else ""
        return f"{whose} on {days}: {self.metric} {one.observed:,.{digits}f}{usual}{through}"

    def sample(self) -> Mapping[str, str]:
        """The same for a table."""
        one = self.episode
        return {
            "campaign_id": self.campaign_id or self.through, "metric": self.metric,
            "since": str(one.since), "until": str(one.until),
            "observed": f"{one.observed:g}", "expected": f"{one.expected:g}",
            "mads": f"{one.size:.1f}",
        }  # fmt: skip


def find(
    warehouse: Reader,
    manifest: Manifest,
    *,
    standing: Mapping[str, Standing] | None = None,
    severities: Mapping[str, str] | None = None,
    thresholds: Mapping[str, float] | None = None,
    baseline: str = MEDIAN,
) -> tuple[Finding, ...]:
    """A finding per rule and account whose campaigns' report came in full.

    ``standing`` are slices that are published already; None says that all are. ``severities`` are
    taken instead of those by size, ``thresholds`` (in MADs) tolerate more than the limit.
    ``baseline`` is one of ``BASELINES``. Raises WarehouseError as the warehouse does.
    """
    asked: dict[str, set[date]] = {}
    for result in filter(delivery.is_ours, manifest.slices):
        asked.setdefault(result.slice.account_id, set()).update(result.slice.window.dates())
    days = {day for of_account in asked.values() for day in of_account}
    terms = _Terms(
        severities=severities or {}, thresholds=thresholds or {}, baseline=BASELINES[baseline]
    )
    return tuple(
        finding
        for one in delivery.read(warehouse, manifest, standing, days)
        for finding in _findings(manifest.platform, one, _newest(asked[one.account_id]), terms)
    )


def check_baseline(name: str) -> str:
    """The name; ConfigurationError if there is no such baseline, or it is not installed."""
    if name not in BASELINES:
        raise ConfigurationError(f"no baseline {name!r}; baselines are {', '.join(BASELINES)}")
    if name == STL:
        stl.prepare()
    return name


def anomalies(
    one: Delivery, judged: Collection[date], baseline: Baseline = LikeWeekdays
) -> list[Anomaly]:
    """What is odd about the ``judged`` days of an account, the gravest first."""
    known = sorted(day for day in judged if day in one.days)
    if not known:
        return []
    found = [*_out_of_season(one, known, baseline), *_unlawful(one, known)]
    return sorted(found, key=lambda a: (-a.severity.weight, -a.episode.size))


def _newest(days: Iterable[date]) -> list[date]:
    return sorted(days)[-LONGEST:]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What a user has changed of these rules."""

    severities: Mapping[str, str]
    thresholds: Mapping[str, float]
    baseline: Baseline

    def tolerates(self, anomaly: Anomaly) -> bool:
        return anomaly.episode.size < self.thresholds.get(anomaly.rule.name, 0.0)

    def severity(self, rule: Rule, own: Sequence[Anomaly]) -> str:
        return self.severities.get(rule.name) or (own[0].severity if own else rule.severity).value


def _findings(
    platform: str, one: Delivery, judged: Sequence[date], terms: _Terms
) -> Iterator[Finding]:
    odd = anomalies(one, judged, terms.baseline)
    found = [anomaly for anomaly in odd if not terms.tolerates(anomaly)]
    compared = Compared(one, "", terms.baseline).any_expected(judged)
    subject_days = max(1, len(judged) * (1 + len(one.campaigns)))
    for rule in RULES:
        own = [anomaly for anomaly in found if anomaly.rule is rule]
        applies = bool(judged) if rule is CLICKS_WERE_SHOWN else compared
        status = Status.FAILED if own else Status.PASSED if applies else Status.NOT_APPLICABLE
        more = f"; and {len(own) - SHOWN} more" if len(own) > SHOWN else ""
        days = sum((a.episode.until - a.episode.since).days + 1 for a in own)
        yield Finding(
            platform=platform, account_id=one.account_id, rule=rule.name,
            dimension=rule.dimension.value, report=delivery.REPORT, level=delivery.LEVEL,
            severity=terms.severity(rule, own), status=status,
            observed="; ".join(a.line for a in own[:SHOWN]) + more, expected=rule.doc,
            failing_share=min(1.0, days / subject_days), advice=_advice(rule, own),
            sample=tuple(a.sample() for a in own[:SHOWN]),
        )  # fmt: skip


def _advice(rule: Rule, own: Sequence[Anomaly]) -> str:
    """By what departed: the rule's, that for prices, or both."""
    steps = (OF_PRICES if anomaly.metric == PRICE else rule.advice for anomaly in own)
    return " ".join(dict.fromkeys(steps))


def _out_of_season(one: Delivery, judged: Sequence[date], baseline: Baseline) -> Iterator[Anomaly]:
    """Episodes of the account, and of campaigns on days on which the account is not odd itself."""
    first = judged[0]
    days = [first - DAY * n for n in range(BEFORE, 0, -1) if first - DAY * n in one.days]
    days += judged
    account = Compared(one, "", baseline)
    of_account = {day: worst for day in days if (worst := _worst(account, day))}
    through: dict[date, str] = {}
    for campaign_id in one.campaigns:
        campaign = Compared(one, campaign_id, baseline)
        odd = {}
        for day in days:
            worst, whole = _worst(campaign, day), of_account.get(day)
            if worst is None:
                continue
            if whole and whole[1].way.upwards == worst[1].way.upwards:
                total, part = _moved(*worst, campaign, day)
                of_total, excess = _moved(*whole, account, day)
                if total == of_total and part > excess / 2:
                    through[day] = campaign_id
            elif _matters(*worst, campaign, account, day):
                odd[day] = worst
        yield from _told(odd, first, campaign_id)
    yield from _told(of_account, first, through=through)


def _worst(compared: Compared, day: date) -> tuple[str, Departure] | None:
    """The metric that departs the furthest on a day."""
    worst: tuple[str, Departure] | None = None
    for metric in IN_SEASON:
        found = compared.series(metric, day).departure(day)
        if found and (worst is None or found.size > worst[1].size):
            worst = metric, found
    return worst


def _matters(
    metric: str, found: Departure, campaign: Compared, account: Compared, day: date
) -> bool:
    usually = campaign.series(metric, day).spread
    if found.way is Way.GAP and usually is not None and usually.always:
        return True
    total, excess = _moved(metric, found, campaign, day)
    usual = account.series(total, day).usual.expected(day)
    needed = MATERIAL * (seasons.LIMIT / max(found.size, seasons.LIMIT)) ** 2
    return usual is not None and excess >= needed * usual


def _moved(metric: str, found: Departure, compared: Compared, day: date) -> tuple[str, float]:
    """Which total a departure moves, and by how much; a price moves what was spent."""
    if metric != PRICE:
        return metric, abs(found.excess)
    shown = compared.series("impressions", day).values.get(day, 0.0)
    return "spend", abs(found.excess) * shown / 1000


def _told(
    odd: Mapping[date, tuple[str, Departure]],
    first: date,
    campaign_id: str = "",
    through: Mapping[date, str] | None = None,
) -> Iterator[Anomaly]:
    """One anomaly for each episode that begins on ``first`` or later."""
    for episode in seasons.episodes(odd[day][1] for day in sorted(odd)):
        if episode.since < first:
            continue
        worst = next(day for day, (_, found) in odd.items() if found.like(episode))
        yield Anomaly(
            rule=_OF_WAY[episode.way], metric=odd[worst][0], campaign_id=campaign_id,
            severity=_severity(episode, of_account=not campaign_id), episode=episode,
            through=(through or {}).get(worst, ""),
        )  # fmt: skip


def _severity(episode: Departure, *, of_account: bool) -> Severity:
    """By size; a gap is at least medium, of a whole account high."""
    if episode.size >= HIGH or (episode.way is Way.GAP and of_account):
        return Severity.HIGH
    if episode.size >= MEDIUM or episode.way is Way.GAP:
        return Severity.MEDIUM
    return Severity.LOW


def _unlawful(one: Delivery, judged: Sequence[date]) -> Iterator[Anomaly]:
    """Campaign-days that no season makes lawful; negative spend is for a rule over rows to tell."""
    impressions, clicks = METRICS.index("impressions"), METRICS.index("clicks")
    for campaign_id, days in one.campaigns.items():
        for day in judged:
            totals = days.get(day, NOTHING)
            if totals[clicks] <= totals[impressions] + FEW_CLICKS:
                continue
            episode = Departure(
                way=Way.JUMP, since=day, until=day, size=0.0, observed=totals[clicks], expected=0.0
            )
            yield Anomaly(
                rule=CLICKS_WERE_SHOWN, metric="clicks", severity=Severity.HIGH, episode=episode,
                campaign_id=campaign_id,
            )  # fmt: skip
