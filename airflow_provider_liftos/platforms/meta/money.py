"""Meta's minor units: budgets, bids and caps are whole numbers of ``1 / offset`` currency units."""

from __future__ import annotations

_WHOLE = frozenset({"CLP", "COP", "CRC", "HUF", "ISK", "IDR", "JPY", "KRW", "PYG", "TWD", "VND"})


def offset(currency: str) -> int:
    """Minor units per unit, by Meta's own table, which is not ISO 4217: COP and HUF are 1, BHD 100.

    Source: Meta's "Currencies" page, 2024-04.
    """
    return 1 if currency.upper() in _WHOLE else 100
