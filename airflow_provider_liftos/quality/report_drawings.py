"""Drawings of a report page, as SVG: they hold numbers and our own words, never anybody's text."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, pi

from airflow_provider_liftos.quality.score import LEVELS

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 220, 52, 12, 14, 28
_RADIUS = 52


def shown(score: float) -> str:
    """A score with one digit, rounded down: what is not all right is never shown as 100."""
    return f"{floor(score * 10 + 1e-9) / 10:.1f}"


def gauge(score: float | None, level: str) -> str:
    """A ring that is full at 100."""
    whole = 2 * pi * _RADIUS
    part = whole * (score or 0.0) / 100
    text = "—" if score is None else shown(score)
    words = "No score" if score is None else f"Score {shown(score)} of 100"
    ring = f'cx="64" cy="64" r="{_RADIUS}" fill="none" stroke-width="12"'
    return (
        f'<svg viewBox="0 0 128 128" class="gauge {_word(level)}" role="img" aria-label="{words}">'
        f'<circle {ring} class="track"/>'
        f'<circle {ring} class="value" stroke-dasharray="{part:.1f} {whole:.1f}"'
        ' transform="rotate(-90 64 64)"/>'
        f'<text x="64" y="74" text-anchor="middle">{text}</text></svg>'
    )


def bar(score: float | None) -> str:
    """A bar that is full at 100; the number stands beside it."""
    width = max(0.0, min(100.0, score or 0.0))
    level = next(word for least, word in LEVELS if width >= least)
    return (
        '<svg viewBox="0 0 100 8" class="bar" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="100" height="8" class="track"/>'
        f'<rect width="{width:.1f}" height="8" class="value {level}"/></svg>'
    )


def trend(scores: Sequence[float | None]) -> str:
    """A line of scores, oldest first, over the bands of the levels; the last one is marked."""
    known = [(place, score) for place, score in enumerate(scores) if score is not None]
    if not known:
        return '<p class="quiet">None of these runs has a score.</p>'
    low = _floor([score for _, score in known])
    points = [(_x(place, len(scores)), _y(score, low)) for place, score in known]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points)
    end_x, end_y = points[-1]
    values = [score for _, score in known]
    words = (
        f"Scores of {len(scores)} runs: from {shown(min(values))} to {shown(max(values))},"
        f" the last {shown(values[-1])}"
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" class="trend" role="img" aria-label="{words}">'
        f"{_bands(low)}"
        f'<polyline points="{line}" fill="none"/>{dots}'
        f'<circle cx="{end_x:.1f}" cy="{end_y:.1f}" r="5" class="last"/>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">{_ago(len(scores) - 1)}</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">this run</text></svg>'
    )


def _ago(runs: int) -> str:
    return "this run" if not runs else "a run ago" if runs == 1 else f"{runs} runs ago"


def _floor(scores: Sequence[float]) -> float:
    """Where the scale begins: the bound of a level, so that small changes can be seen."""
    return next((least for least, _ in LEVELS[1:] if min(scores) >= least), 0.0)


def _bands(low: float) -> str:
    """The levels as areas with their names, and the scale."""
    drawn, top = "", 100.0
    for least, word in LEVELS:
        if top <= low:
            break
        ground = max(least, low)
        upper, lower = _y(top, low), _y(ground, low)
        drawn += (
            f'<rect x="{_LEFT}" y="{upper:.1f}" width="{_WIDTH - _LEFT - _RIGHT}"'
            f' height="{lower - upper:.1f}" class="band {word}"/>'
            f'<text x="{_LEFT + 6}" y="{lower - 6:.1f}" class="word">{word}</text>'
            f'<text x="{_LEFT - 6}" y="{lower + 4:.1f}" text-anchor="end">{ground:.0f}</text>'
        )
        top = ground
    return drawn + f'<text x="{_LEFT - 6}" y="{_TOP + 6}" text-anchor="end">100</text>'


def _x(place: int, count: int) -> float:
    return _LEFT + 8 + (_WIDTH - _LEFT - _RIGHT - 16) * (place / max(1, count - 1))


def _y(score: float, low: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (100.0 - score) / (100.0 - low)


def _word(level: str) -> str:
    """A level as the name of a style; what is none has none."""
    return level if level in {word for _, word in LEVELS} else "unknown"
