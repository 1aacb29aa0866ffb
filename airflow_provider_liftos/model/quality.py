"""What a platform declares about good data: fields, ranges, lawful oddities, likely causes.

Names of metrics are the platform's own. SQL is over one staged row of ``performance``, beside the
columns ``slice_*`` of its slice, as ``quality.suites`` gives it to DuckDB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Sign(StrEnum):
    """What else is known where a rule fails, and tells one cause from another."""

    UNSETTLED = "unsettled"  # the platform still restates the days
    SETTLED = "settled"
    ACCESS_LOST = "access_lost"  # the platform refuses the token, or a permission
    ACCOUNT_GONE = "account_gone"
    ACCOUNT_STOPPED = "account_stopped"  # the account cannot deliver
    FIELD_GONE = "field_gone"
    VERSION_GONE = "version_gone"
    GAVE_UP = "gave_up"  # the platform began, and did not end
    ZONE_CHANGED = "zone_changed"
    CURRENCY_CHANGED = "currency_changed"
    ATTRIBUTION_CHANGED = "attribution_changed"
    ONLY_CONVERSIONS = "only_conversions"  # what was shown and spent is as it was
    ENTITIES_GONE = "entities_gone"
    LATE = "late"  # only the newest day is missing
    NOT_LOADED = "not_loaded"  # no run has published later days
    MINOR_UNITS = "minor_units"  # about a hundred, or a million, times as much


@dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    """A column that holds a value wherever the report asks for ``metric``."""

    column: str
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Bounds of a column, or of a metric among ``extra_metrics``.

    ``rule`` is the rule that judges it, ``why`` where the bounds are from.
    """

    name: str
    low: float | None = None
    high: float | None = None
    rule: str = "value_ranges"
    extra: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotient:
    """A ratio that the platform gives, in a column or among ``extra_metrics``, computed anew.

    ``formula`` is SQL over the columns ``needs``, in the platform's unit and in doubles; null where
    it does not apply. ``rounding`` is by how much the platform's may differ besides one percent.
    ``path`` leads to the number inside a metric that is no plain value, as ``[0].value``.
    """

    metric: str
    formula: str
    needs: tuple[str, ...]
    rounding: float = 0.01
    path: str = ""


def ratio(top: str, bottom: str, times: float = 1.0) -> str:
    """SQL of ``times`` one column over another, null for none of the other.

    In doubles, because DuckDB multiplies decimals of 18 digits within 18 digits.
    """
    return f"{times:e} * {top} / nullif({bottom}, 0)"


def quotient(
    metric: str, top: str, bottom: str, times: float = 1.0, *, rounding: float = 0.01
) -> Quotient:
    """The plain case: a metric that is ``times`` one column over another."""
    return Quotient(
        metric=metric, formula=ratio(top, bottom, times), needs=(top, bottom), rounding=rounding
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lawful:
    """Rows that a rule does not apply to, because the platform means them so."""

    rule: str
    when: str
    needs: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Entities of ``table`` name their owner in ``column``, which is a key of ``owners``."""

    table: str
    column: str
    owners: str


AD_HIERARCHY = (
    Owner(table="ads", column="ad_group_id", owners="ad_groups"),
    Owner(table="ads", column="campaign_id", owners="campaigns"),
    Owner(table="ad_groups", column="campaign_id", owners="campaigns"),
)
"""Of the unified tables, for platforms that list all three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """Why ``rules`` (none: any) fail where all of ``signs`` are seen, and what to do next."""

    cause: str
    step: str
    rules: tuple[str, ...] = ()
    signs: frozenset[Sign] = frozenset()

    @property
    def text(self) -> str:
        """One line for people."""
        return f"Likely cause: {self.cause} Next: {self.step}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """A platform's part of the rules.

    ``hierarchy`` leads from a kind of entity to what owns it. ``words`` are patterns of the words
    of an error of the platform, and the sign that each of them is. Of ``remedies`` the first one
    that fits is told; where none does, what is known of all platforms.
    """

    required: tuple[Required, ...] = ()
    bounds: tuple[Bound, ...] = ()
    quotients: tuple[Quotient, ...] = ()
    lawful: tuple[Lawful, ...] = ()
    hierarchy: tuple[Owner, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    words: Mapping[str, Sign] = field(default_factory=dict)
