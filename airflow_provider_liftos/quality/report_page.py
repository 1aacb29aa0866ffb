"""A run's quality as one HTML page: nothing is fetched, no script runs, everything is escaped.

Names of campaigns and words of platforms are strangers' texts. They pass through ``_t`` alone,
which escapes them; styles and drawings hold numbers only.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterable, Mapping, Sequence

from airflow_provider_liftos.quality.findings import Status
from airflow_provider_liftos.quality.report import (
    CASES,
    Case,
    PlatformReport,
    RuleResult,
    RunReport,
)
from airflow_provider_liftos.quality.report_drawings import bar, gauge, shown, trend
from airflow_provider_liftos.quality.report_style import STYLE

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""What the page is to be served with: even an escape that were forgotten could run nothing."""

_SIGNS = {
    Status.FAILED: ("✕", "does not hold"),
    Status.NOT_EVALUATED: ("?", "not evaluated"),
    Status.PASSED: ("✓", "holds"),
    Status.NOT_APPLICABLE: ("—", "does not apply"),
}
_ACCOUNTS = 30
_DIMENSIONS = ("completeness", "accuracy", "consistency", "timeliness", "uniqueness", "validity")
_TURNING = re.compile(r"[\u202a-\u202e\u2066-\u2069\ud800-\udfff\0]")
"""Marks of writing direction, which make a page read other than it is; halves of characters."""
_LONGEST = 600  # characters of one text of strangers


def render(report: RunReport, *, ledger_url: str = "") -> str:
    """The whole page. ``ledger_url`` leads to what each task of the run did."""
    title = f"Data quality of {report.dag_id}"
    names = ", ".join(p.platform for p in report.platforms)
    moments = [p.whole.at for p in report.platforms if p.whole.at]
    when = f" · judged {_moment(max(moments))}" if moments else ""
    link = f' · <a href="{_t(ledger_url)}">Run ledger</a>' if ledger_url else ""
    body = "".join(map(_platform, report.platforms)) or _NOTHING
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{_t(title)}: {_t(report.run_id)}</title><style>{STYLE}</style></head><body>"
        f"<header><h1>{_t(title)}</h1><p>{_t(names)}{when}{link}</p>"
        f'<p class="quiet">Run <code>{_t(report.run_id)}</code></p></header>'
        f"<main>{body}</main><footer>{_METHOD}</footer></body></html>"
    )


_NOTHING = (
    "<p>Nothing of this run has been judged yet: it has not come to its audit, or it is older than"
    " what is kept.</p>"
)
_METHOD = (
    "<h2>How the score is made</h2><p>Each rule that was judged counts with its severity: critical"
    " 3, high 2, medium 1.5, low 1. A rule over rows counts with the share of rows that obey it."
    " What does not apply, or could not be evaluated, counts neither way. From 90 on a score is"
    " excellent, from 75 good, from 60 fair, from 40 poor, below critical.</p>"
)


def _platform(one: PlatformReport) -> str:
    failed = [rule for rule in one.rules if rule.status is Status.FAILED]
    unknown = [rule for rule in one.rules if rule.status is Status.NOT_EVALUATED]
    passed = [rule for rule in one.rules if rule.status is Status.PASSED]
    idle = [rule for rule in one.rules if rule.status is Status.NOT_APPLICABLE]
    return (
        f'<section aria-labelledby="{_id(one, "title")}">'
        f'<h2 id="{_id(one, "title")}">{_t(one.platform)}{_org(one)}</h2>'
        f"{_summary(one, len(failed), len(unknown), len(passed), len(idle))}"
        f"{_held(one.held)}"
        f"{_broken('What does not hold', failed)}{_broken('What could not be evaluated', unknown)}"
        f"{_over_time(one)}{_accounts(one)}<h3>All other rules</h3>{_kept(passed)}{_idle(idle)}"
        "</section>"
    )


def _summary(one: PlatformReport, failed: int, unknown: int, passed: int, idle: int) -> str:
    level = one.whole.level
    counts = ((passed, "hold", "passed"), (failed, "do not hold", "failed"),
              (unknown, "not evaluated", "unknown"), (idle, "do not apply", "idle"))  # fmt: skip
    facts = "".join(f'<li class="{kind}"><b>{n}</b> {word}</li>' for n, word, kind in counts)
    dimensions = "".join(
        f"<li><span>{name}</span>{bar(one.dimensions.get(name))}"
        f"<b>{_number(one.dimensions.get(name))}</b></li>"
        for name in _DIMENSIONS
    )
    return (
        f'<div class="summary"><div class="score">{gauge(one.whole.score, level)}'
        f'<p class="level {_t(level)}">{_t(level)}</p></div>'
        f'<div><h3>Rules</h3><ul class="facts">{facts}</ul></div>'
        f'<div class="wide"><h3>Dimensions</h3><ul class="bars">{dimensions}</ul></div></div>'
    )


def _held(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    shown = "".join(f"<li>{_t(line)}</li>" for line in lines[:CASES])
    more = f"<li>and {len(lines) - CASES} more</li>" if len(lines) > CASES else ""
    return (
        '<div class="held" role="note"><h3>Held back</h3><p>These were not published; what people'
        f" saw before is as it was.</p><ul>{shown}{more}</ul></div>"
    )


def _broken(title: str, rules: Sequence[RuleResult]) -> str:
    if not rules:
        return ""
    return f"<h3>{title}</h3>{''.join(map(_rule, rules))}"


def _rule(rule: RuleResult) -> str:
    judged = rule.times.get(Status.PASSED, 0) + rule.times.get(Status.FAILED, 0)
    bad = rule.times.get(rule.status, 0)
    of = (
        f"{bad:,} of {judged:,} times"
        if rule.status is Status.FAILED
        else "once"
        if bad == 1
        else f"{bad:,} times"
    )
    total = rule.times.get(Status.FAILED, 0) + rule.times.get(Status.NOT_EVALUATED, 0)
    more = f'<p class="quiet">and {total - CASES:,} more</p>' if total > CASES else ""
    steps = dict.fromkeys(case.advice for case in rule.cases if case.advice)
    advice = "".join(f"<p>{_t(step)}</p>" for step in list(steps)[:5])
    return (
        f'<article class="rule {_t(rule.severity)}"><h4><code>{_t(rule.name)}</code>'
        f"{_badge(rule.severity)}</h4>"
        f'<p class="quiet">{_t(rule.dimension)} · {_sign(rule.status)} {of}'
        f"{_share(rule)}</p>"
        f"<p><b>Expected:</b> {_t(rule.expected)}</p>"
        f"{_cases(rule)}{more}"
        f'{f"""<div class="advice"><b>What to do</b>{advice}</div>""" if advice else ""}</article>'
    )


def _share(rule: RuleResult) -> str:
    return f" · {rule.share:.2%} fails" if rule.status is Status.FAILED else ""


def _cases(rule: RuleResult) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_t(case.account_id or "—")}</th>'
        f'<td data-is="Report">{_t(case.report or "—")}</td>'
        f'<td data-is="Observed">{_t(case.observed)}{_sample(case)}</td>'
        f'<td data-is="Failing" class="number">{_percent(case)}</td></tr>'
        for case in rule.cases
    )
    return _table(f"Cases of {rule.name}", ("Account", "Report", "Observed", "Failing"), rows)


def _sample(case: Case) -> str:
    """Some rows that break the rule, folded up."""
    if not case.sample:
        return ""
    names = list(dict.fromkeys(name for row in case.sample for name in row))
    head = "".join(f'<th scope="col">{_t(name)}</th>' for name in names)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_t(row.get(name, ''))}</td>" for name in names) + "</tr>"
        for row in case.sample
    )
    count = len(case.sample)
    return (
        f"<details><summary>{count} {'example' if count == 1 else 'examples'}</summary>"
        '<div class="scroll" role="region" tabindex="0" aria-label="Examples">'
        '<table class="sample"><caption>Rows that break the rule</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _over_time(one: PlatformReport) -> str:
    if len(one.trend) < 2:
        return '<h3>Over time</h3><p class="quiet">This is the first run that was judged.</p>'
    rows = "".join(
        f'<tr><th scope="row">{_moment(graded.at)}</th><td data-is="Score" class="number">'
        f'{_number(graded.score)}</td><td data-is="Level">{_t(graded.level)}</td></tr>'
        for graded in reversed(one.trend)
    )
    table = _table("Scores, newest first", ("Judged", "Score", "Level"), rows)
    return (
        f"<h3>Over time</h3>{trend([g.score for g in one.trend])}"
        f"<details><summary>The last {len(one.trend)} runs as numbers</summary>{table}</details>"
    )


def _accounts(one: PlatformReport) -> str:
    if not one.accounts:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{_t(graded.name)}</th><td data-is="Score" class="number">'
        f"<span>{bar(graded.score)}{_number(graded.score)}</span></td>"
        f'<td data-is="Level">{_t(graded.level)}</td></tr>'
        for graded in one.accounts[:_ACCOUNTS]
    )
    left = len(one.accounts) - _ACCOUNTS
    more = f'<p class="quiet">and {left:,} more with better scores</p>' if left > 0 else ""
    table = _table("Scores of accounts, the lowest first", ("Account", "Score", "Level"), rows)
    return f"<h3>Accounts</h3>{table}{more}"


def _kept(rules: Sequence[RuleResult]) -> str:
    if not rules:
        return ""
    rows = "".join(
        f'<tr><th scope="row"><code>{_t(rule.name)}</code></th>'
        f'<td data-is="Expected">{_t(rule.expected)}</td>'
        f'<td data-is="Weight">{_badge(rule.severity)} {_t(rule.dimension)}</td>'
        f'<td data-is="Judged" class="number">{rule.times.get(Status.PASSED, 0):,} times</td></tr>'
        for rule in rules
    )
    table = _table("Rules that hold everywhere", ("Rule", "Expected", "Weight", "Judged"), rows)
    return f"<details><summary>{len(rules)} that hold everywhere</summary>{table}</details>"


def _idle(rules: Sequence[RuleResult]) -> str:
    if not rules:
        return ""
    items = "".join(f"<li><code>{_t(rule.name)}</code> {_t(rule.expected)}</li>" for rule in rules)
    told = f"{len(rules)} not applicable to this run"
    return f"<details><summary>{told}</summary><ul>{items}</ul></details>"


def _table(caption: str, heads: Iterable[str], rows: str) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    label = _t(caption)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">'
        f'<table class="stacks"><caption>{label}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _badge(severity: str) -> str:
    return f'<span class="badge {_t(severity)}">{_t(severity)}</span>'


def _sign(status: Status) -> str:
    sign, word = _SIGNS[status]
    return f'<span aria-hidden="true">{sign}</span> {word}'


def _org(one: PlatformReport) -> str:
    return "" if one.org_id == "default" else f" · {_t(one.org_id)}"


def _id(one: PlatformReport, name: str) -> str:
    return _t("".join(c if c.isalnum() else "-" for c in f"{one.org_id}-{one.platform}-{name}"))


def _number(score: float | None) -> str:
    return "—" if score is None else shown(score)


def _percent(case: Case) -> str:
    return f"{case.share:.2%}" if case.evaluated and case.share is not None else "—"


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) + " UTC"


def _t(text: object) -> str:
    """Any text as text: escaped, cut to what fits, without what turns its neighbours around."""
    plain = _TURNING.sub("\N{REPLACEMENT CHARACTER}", str(text))
    cut = plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"
    return html.escape(cut, quote=True)
