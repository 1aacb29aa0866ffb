"""Chance without state: every number is a hash of what it is about."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def digest(*parts: object, size: int = 16) -> bytes:
    """Return ``size`` bytes (at most 64) that depend on nothing but ``parts``."""
    text = "\x1f".join(map(str, parts))
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


def number(below: int, *parts: object) -> int:
    """Return an integer in ``[0, below)`` that depends on nothing but ``parts``."""
    return int.from_bytes(digest(*parts, size=8), "big") % below


def pick(options: Sequence[T], *parts: object) -> T:
    """Return one of ``options``, chosen by ``parts``."""
    return options[number(len(options), *parts)]


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """Divide ``total`` by ``weights`` into whole numbers that add up to it exactly.

    Largest remainder; ties go to the earlier weight. ``weights`` are positive.
    """
    if total <= 0:
        return [0] * len(weights)
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    missing = total - sum(parts)
    if missing:
        order = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
        for i in order[:missing]:
            parts[i] += 1
    return parts
