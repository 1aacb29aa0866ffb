"""The audit of a run: all its slices at once, one decision each.

Rows are judged where they are staged, sums where they were loaded (the audit schema). Nothing here
publishes, deletes or discards: a quarantined slice leaves published days as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import Any

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.platform import Coverage
from airflow_provider_liftos.model.quality import Owner, Quality
from airflow_provider_liftos.model.report import Account, Report
from airflow_provider_liftos.model.unified import PERFORMANCE, TABLES, Table
from airflow_provider_liftos.quality import (
    anomalies,
    days,
    facts,
    frames,
    gx,
    hierarchy,
    own_rows,
    peers,
    settled,
    suites,
)
from airflow_provider_liftos.quality.evidence import Evidence
from airflow_provider_liftos.quality.findings import Decision, Finding, Status, Verdict
from airflow_provider_liftos.quality.history import History
from airflow_provider_liftos.quality.own import OwnSuite
from airflow_provider_liftos.quality.policy import Policy, by_account, decide
from airflow_provider_liftos.quality.remedies import advice
from airflow_provider_liftos.quality.rows import NOT_JUDGED, RowVerdict, judge_rows, verdict
from airflow_provider_liftos.quality.rules import ROW_RULES, Rule, catalogue, relation_rules
from airflow_provider_liftos.quality.score import Score, score
from airflow_provider_liftos.quality.snapshots import Snapshots

TableOf = Callable[[SliceResult], str]
_OF_EXTRACTION = frozenset({"slice_complete", "rows_kept", "rows_loaded", "values_readable"})
"""Rules that nothing can be said of any more, once rows are published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOutcome:
    """Findings, decisions in the order of the manifest's slices, and scores.

    ``missing`` are expected accounts of which the manifest has no slice at all, with the reason.
    ``settled`` are fingerprints of slices that were published before, with what became of them.
    """

    platform: str
    findings: tuple[Finding, ...]
    decisions: tuple[Decision, ...]
    score: Score
    accounts: Mapping[str, Score]
    missing: Mapping[str, str]
    settled: Mapping[str, settled.Standing]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """Findings that someone should read."""
        bad = {Status.FAILED, Status.NOT_EVALUATED}
        return tuple(f for f in self.findings if f.status in bad)

    @property
    def quarantined(self) -> tuple[Decision, ...]:
        """Decisions against publishing."""
        return tuple(d for d in self.decisions if d.verdict in {Verdict.QUARANTINE, Verdict.FAIL})

    def to_json(self) -> dict[str, Any]:
        """Scores and decisions, small enough to travel between tasks."""
        return {
            "platform": self.platform,
            "score": self.score.value,
            "level": self.score.level,
            "accounts": {a: {"score": s.value, "level": s.level} for a, s in self.accounts.items()},
            "decisions": [d.to_json() for d in self.decisions],
            "missing": dict(self.missing),
        }


def audit(
    manifest: Manifest,
    *,
    warehouse: days.Reader,
    expected_accounts: Collection[str | Account],
    unplanned: Mapping[str, str] | None = None,
    today: date | datetime,
    previous: Sequence[days.PublishedDay] | None = None,
    policy: Policy | None = None,
    delay_days: int = 1,
    exact: Collection[str] = (),
    coverage: Callable[[Report], Coverage] = lambda _report: Coverage(),
    quality: Quality = suites.PLAIN,
    restatement_days: int = 28,
    severities: Mapping[str, str] | None = None,
    thresholds: Mapping[str, float] | None = None,
    own: Sequence[OwnSuite] = (),
    baseline: str = anomalies.MEDIAN,
    seen: days.LoadedDays | None = None,
    expected_days: Mapping[days.Key, date] | None = None,
    table_of: TableOf | None = None,
    staging: Staging | None = None,
) -> AuditOutcome:
    """Judge a loaded manifest; slices that are published already, by what people see of them.

    ``unplanned`` are further expected accounts that nothing could be asked for, with the reason.
    ``today`` is a moment, read in each account's zone, or one day for all. ``previous`` are days
    published before; None asks the warehouse. ``delay_days`` is how late the platform is by nature.
    ``exact`` names reports whose breakdown values partition every row; ``coverage`` says what rows
    of a report may lack by the platform's own rules. ``quality`` is what the platform declares of
    good data, ``restatement_days`` for how long it restates a day. ``severities`` regrades rules by
    name, ``thresholds`` says what some tolerate (see ``Rule``), ``own`` are a user's suites,
    ``baseline`` says what unusual days are held against (see ``anomalies``).
    With ``seen``, days as people see them, nothing is under audit: the manifest is of what is
    published, its entities included, and nothing is asked of how it came; ``expected_days`` are the
    newest days that its reports should have by now. ``staging`` is where the manifest's files are;
    without it they are taken to be paths of this host, as they were when they were loaded.

    Raises:
        ConfigurationError: a rule that is to be changed, or its severity, does not exist.
        StagingUnavailable: the store of the files does not answer; nothing is decided then.
        WarehouseError: the warehouse cannot be asked; nothing is decided then.
    """
    table_of = table_of or (lambda result: result.table)
    evidence = Evidence(
        manifest=manifest, warehouse=warehouse, quality=quality, today=today,
        restatement_days=restatement_days,
    )  # fmt: skip
    run = _Run(
        evidence, table_of, staging, Terms(severities=severities, thresholds=thresholds, own=own)
    )
    known = days.published_days(warehouse, manifest) if previous is None else previous
    accounts = [a.account_id if isinstance(a, Account) else a for a in expected_accounts]
    reasons = {**dict.fromkeys(accounts, facts.NO_SLICE), **(unplanned or {})}
    # Published entities are no sign that an account's reports came, nor a snapshot under audit.
    asked = manifest if seen is None else replace(
        manifest, slices=tuple(result for result in manifest.slices if result.slice.report)
    )  # fmt: skip
    missing = facts.missing(asked, reasons)
    loaded, standing = run.sums(seen)
    same: dict[str, Any] = {
        "manifest": manifest, "loaded": loaded, "published": known, "standing": standing,
        "today": today, "delay_days": delay_days, "coverage": coverage,
    }  # fmt: skip
    findings = (
        *run.row_findings(),
        *run.slice_findings(
            facts.Facts(
                **same, exact=exact, able=_able(warehouse, manifest), expected=expected_days or {}
            ),
            History(**same, restatement_days=restatement_days, seen=seen is not None),
        ),
        *run.account_findings(
            accounts_present=facts.accounts_present(asked, reasons),
            platforms_agree=peers.agreement(manifest, loaded, peers.others(warehouse, manifest)),
        ),
        *anomalies.find(
            warehouse,
            asked,
            standing=standing if seen is None else None,
            severities=severities,
            thresholds=thresholds,
            baseline=baseline,
        ),
    )
    scores = {account: score(found) for account, found in sorted(by_account(findings).items())}
    return AuditOutcome(
        platform=manifest.platform,
        findings=findings,
        decisions=_decisions(manifest, findings, scores, policy or Policy()),
        score=score(findings),
        accounts=scores,
        missing=missing,
        settled=standing,
    )


def _able(warehouse: days.Reader, manifest: Manifest) -> Collection[str]:
    """Accounts that could deliver; asked only where there is a silence to explain."""
    silent = any(r.slice.report and not r.staged_rows for r in manifest.slices)
    return days.able_accounts(warehouse, manifest) if silent else ()


def _decisions(
    manifest: Manifest, findings: Sequence[Finding], scores: Mapping[str, Score], policy: Policy
) -> tuple[Decision, ...]:
    own: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        own.setdefault((finding.account_id, finding.fingerprint), []).append(finding)
    decisions = []
    for result in manifest.slices:
        account = result.slice.account_id
        of_slice = own.get((account, result.slice.fingerprint()), [])
        decisions.append(
            decide(result, [*of_slice, *own.get((account, ""), [])], scores[account], policy)
        )
    return tuple(decisions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a user has changed of the rules, or added to them."""

    severities: Mapping[str, str] | None = None
    thresholds: Mapping[str, float] | None = None
    own: Sequence[OwnSuite] = ()

    def rules(self, table: Table = PERFORMANCE) -> dict[str, Rule]:
        """The catalogue by these terms."""
        own = [*anomalies.RULES, *(rule for suite in self.own for rule in suite.rules)]
        return catalogue(table, self.severities, self.thresholds, own)


class _Run:
    """What every finding of one audit shares."""

    def __init__(
        self, evidence: Evidence, table_of: TableOf, staging: Staging | None, terms: Terms
    ) -> None:
        manifest = evidence.manifest
        self._manifest = manifest
        self._staging = staging
        self._warehouse = evidence.warehouse
        self._evidence = evidence
        self._quality = evidence.quality
        self._terms = terms
        self._rules = terms.rules()
        self._table_of = table_of
        self._orphans: dict[Owner, hierarchy.Orphans] = {}
        self._extracted = True
        self._tables = [table_of(result) for result in manifest.slices]
        self._snapshots: dict[str, tuple[dict[str, tuple[int, int]], dict[str, int]]] = {}

    def sums(
        self, seen: days.LoadedDays | None
    ) -> tuple[days.LoadedDays, Mapping[str, settled.Standing]]:
        """Days under audit, or as they are published; and slices that are published already."""
        if seen is not None:
            self._extracted = False
            return seen, {}
        loaded = days.loaded_days(self._warehouse, self._manifest)
        waits = partial(self.waits, loaded)
        standing = settled.standings(self._warehouse, self._manifest, waits)
        settled.add_published(self._warehouse, self._manifest, loaded, standing)
        return loaded, standing

    def row_findings(self) -> Iterator[Finding]:
        """Rules over rows, for each slice that was extracted in full."""
        for name in dict.fromkeys(self._tables):
            complete = {
                number: result
                for number, result in enumerate(self._manifest.slices)
                if self._tables[number] == name and result.status == "complete"
            }
            yield from (
                self._of_table(name, complete)
                if name in TABLES
                else self._of_nothing(name, complete)
            )

    def _of_table(self, name: str, results: Mapping[int, SliceResult]) -> Iterator[Finding]:
        table = TABLES[name]
        rules = self._terms.rules(table)
        own = [suite for suite in self._terms.own if suite.table == name]
        tallies = judge_rows(
            self._manifest, table, results, rules, self._staging, self._quality,
            [check for suite in own for check in suite.checks],
        )  # fmt: skip
        checks = suites.row_checks(table, self._quality)
        for number, result in results.items():
            for rule in (*ROW_RULES, *relation_rules(table)):
                mine = [check for check in checks if check.rule == rule.name]
                if mine:
                    said = (
                        verdict(rules[rule.name], mine, number, tallies)
                        if self._told_of(rule.name)
                        else NOT_JUDGED
                    )
                    yield self._of_rows(rules[rule.name], said, result)
            for suite in own:
                if not suite.concerns(self._manifest.platform, name, result):
                    continue
                if suite.checks:
                    schema = rules[suite.checks[0].rule]
                    yield self._of_rows(
                        schema, verdict(schema, suite.checks, number, tallies), result
                    )
                for said_of in own_rows.judge(
                    self._manifest, table, result, suite, rules, self._staging
                ):
                    yield self._of_rows(rules[said_of[0]], said_of[1], result)

    def _of_rows(self, rule: Rule, said: RowVerdict, result: SliceResult) -> Finding:
        return self._finding(
            rule, said.status, result, observed=said.observed, failing_share=said.share,
            sample=said.sample,
        )  # fmt: skip

    def _of_nothing(self, name: str, results: Mapping[int, SliceResult]) -> Iterator[Finding]:
        for result in results.values():
            yield self._finding(
                self._rules["required_fields"], Status.NOT_EVALUATED, result,
                observed=f"the unified schema has no table {name!r}",
            )  # fmt: skip

    def slice_findings(self, known: facts.Facts, past: History) -> Iterator[Finding]:
        """Rules over whole slices."""
        numbers = list(self._slice_numbers(known, past))
        found = _judge_numbers(numbers, "slices", suites.SLICE_LIMITS, self._rules)
        for row, rule, status, note in found:
            yield self._finding(
                self._rules[rule], status, self._manifest.slices[row], observed=note,
                failing_share=float(status is Status.FAILED),
            )  # fmt: skip

    def _slice_numbers(
        self, known: facts.Facts, past: History
    ) -> Iterator[dict[str, facts.Number]]:
        of_streams = Snapshots(manifest=self._manifest, delivered=known.loaded)
        for name, result in zip(self._tables, self._manifest.slices, strict=True):
            if result.slice.report:
                yield self._told(known.numbers(result) | past.numbers(result))
                continue
            if name not in TABLES:
                yield {}
                continue
            (loaded, living), account = self._entities(name), result.slice.account_id
            standing = known.standing.get(result.slice.fingerprint())
            rows = loaded.get(account)
            numbers = of_streams.numbers(result, rows, living.get(account, 0), standing)
            if rows and result.status == "complete":
                numbers["hierarchy_intact"] = self._hierarchy(result)
            yield self._told(numbers)

    def _told(self, numbers: dict[str, facts.Number]) -> dict[str, facts.Number]:
        return {rule: number for rule, number in numbers.items() if self._told_of(rule)}

    def _told_of(self, rule: str) -> bool:
        """Whether anything can be said by the rule."""
        return self._extracted or rule not in _OF_EXTRACTION

    def _hierarchy(self, result: SliceResult) -> facts.Number:
        account = result.slice.account_id

        def known(table: str) -> bool:
            loaded, living = self._entities(table)
            return account in loaded or account in living

        def orphans(owner: Owner) -> hierarchy.Orphans:
            if owner not in self._orphans:
                self._orphans[owner] = hierarchy.orphans(
                    self._warehouse, self._manifest, owner, seen=not self._extracted
                )
            return self._orphans[owner]

        return hierarchy.number(result, self._quality.hierarchy, known, orphans)

    def _entities(self, name: str) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
        """By account, rows and rows too many under audit, and how many live as published."""
        if name not in self._snapshots:
            judged = days.loaded_entities if self._extracted else days.seen_entities
            self._snapshots[name] = (
                judged(self._warehouse, self._manifest, TABLES[name]),
                days.current_entities(self._warehouse, self._manifest, TABLES[name]),
            )
        return self._snapshots[name]

    def waits(self, loaded: days.LoadedDays, result: SliceResult) -> bool:
        """Whether the slice has rows under audit; ``loaded`` are those of reports."""
        if result.slice.report:
            of_key = loaded.get(days.key_of(result), {})
            return any(day in of_key for day in result.slice.window.dates())
        name = self._table_of(result)
        return name not in TABLES or result.slice.account_id in self._entities(name)[0]

    def account_findings(self, **numbers: Mapping[str, facts.Number]) -> Iterator[Finding]:
        """Rules over accounts, expected or seen; ``numbers`` are by rule and account."""
        accounts = list(dict.fromkeys(name for of_rule in numbers.values() for name in of_rule))
        rows = [
            {rule: of_rule[name] for rule, of_rule in numbers.items() if name in of_rule}
            for name in accounts
        ]
        found = _judge_numbers(rows, "accounts", suites.ACCOUNT_LIMITS, self._rules)
        for row, rule, status, note in found:
            yield self._finding(
                self._rules[rule], status, accounts[row], observed=note,
                number=rows[row].get(rule, facts.NOTHING)[0],
                failing_share=float(status is Status.FAILED),
            )  # fmt: skip

    def _finding(
        self,
        rule: Rule,
        status: Status,
        subject: SliceResult | str,
        *,
        number: float = 0.0,
        **said: Any,
    ) -> Finding:
        whose: dict[str, Any] = {"account_id": subject} if isinstance(subject, str) else {
            "account_id": subject.slice.account_id,
            "fingerprint": subject.slice.fingerprint(),
            "report": subject.slice.report.name if subject.slice.report else subject.table,
            "level": str(subject.slice.report.level) if subject.slice.report else "",
        }  # fmt: skip
        told = {Status.NOT_EVALUATED: rule.advice}.get(status, "")
        if status is Status.FAILED:
            signs = self._evidence.signs(rule.name, subject, said.get("observed", ""), number)
            told = advice(rule, self._quality, signs)
        return Finding(
            platform=self._manifest.platform, rule=rule.name, dimension=rule.dimension.value,
            severity=rule.severity.value, status=status, expected=rule.doc,
            advice=told, **whose, **said,
        )  # fmt: skip


def _judge_numbers(
    numbers: Sequence[Mapping[str, facts.Number]],
    name: str,
    limits: Mapping[str, float],
    rules: Mapping[str, Rule],
) -> Iterator[tuple[int, str, Status, str]]:
    """Row, rule, status and note for each number; what is no number does not apply.

    Rules without any number are not asked about: every expectation has a price of its own.
    """
    if not numbers:
        return
    frame = frames.numbers_frame(facts.columns(numbers, limits))
    applies = {rule: frame[rule].notna() for rule in limits}
    asked = {rule: limit for rule, limit in limits.items() if applies[rule].any()}
    judgements = gx.judge(frame, suites.number_suite(name, asked, rules))
    for rule in limits:
        judgement = judgements.get(rule, gx.Judgement(id=rule))
        broken = set(judgement.broken)
        for row, of_row in enumerate(numbers):
            value, note = of_row.get(rule, facts.NOTHING)
            if not applies[rule][row]:
                yield row, rule, Status.NOT_APPLICABLE, ""
            elif judgement.raised:
                yield row, rule, Status.NOT_EVALUATED, judgement.raised
            else:
                failed = row in broken
                status = Status.FAILED if failed else Status.PASSED
                yield row, rule, status, note if failed else f"{value:g}"
