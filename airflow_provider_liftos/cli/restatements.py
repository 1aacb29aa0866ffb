"""``airflow liftos restatements``: how much past days moved after they were published."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.model.errors import LiftosError

if TYPE_CHECKING:
    from airflow_provider_liftos.state.restatements import Age, Move

_DAY = "{:10}  {:12} {:18} {:32} {:18} {:>16} {:>16} {:>9}  {}"
_AGE = "{:12} {:32} {:18} {:>10} {:>12} {:>9}"


def restatements(args: Any) -> None:
    """By age: what a restatement window would have missed. With ``--days``, each day's moves."""
    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.state.restatements import ages, moves

    try:
        found = moves(
            config.state_store(), args.org, platform=args.platform, account_id=args.account,
            since=_day(args.since),
        )  # fmt: skip
    except LiftosError as error:
        sys.exit(str(error))
    if args.json:
        print(json.dumps([_plain(one) for one in found], ensure_ascii=False, indent=2))
    elif args.days:
        _print_days(found)
    else:
        _print_ages(ages(found))


def _print_days(found: Iterable[Move]) -> None:
    print(_DAY.format("day", "platform", "account", "report", "metric", "first", "now", "moved",
                      "last moved at the age of"))  # fmt: skip
    for one in found:
        print(_DAY.format(
            str(one.date), one.platform, one.account_id, f"{one.report}:{one.level}", one.metric,
            _amount(one.first), _amount(one.now), _share(one.share), f"{one.age_days} days",
        ))  # fmt: skip


def _print_ages(found: Iterable[Age]) -> None:
    print(_AGE.format("platform", "report", "metric", "age", "days moved", "by"))
    for one in found:
        print(_AGE.format(
            one.platform, f"{one.report}:{one.level}", one.metric, one.label, one.days,
            _share(one.share),
        ))  # fmt: skip


def _plain(one: Move) -> dict[str, Any]:
    texts = {name: None if value is None else str(value) for name, value in asdict(one).items()}
    return {**texts, "moves": one.moves, "age_days": one.age_days, "share": one.share}


def _amount(value: Any) -> str:
    return "none" if value is None else f"{value:,f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:+.2%}"


def _day(value: str | None) -> date | None:
    from airflow_provider_liftos.model.errors import ConfigurationError

    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        raise ConfigurationError(f"--since is {value!r}; write it as YYYY-MM-DD") from None
