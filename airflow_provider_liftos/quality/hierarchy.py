"""Whether entities have the owners that they name, among those under audit or ever published.

An owner that was deleted is known, too: its history stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import nan

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.model.quality import Owner
from airflow_provider_liftos.model.unified import TABLES
from airflow_provider_liftos.quality.days import Reader
from airflow_provider_liftos.quality.facts import NOTHING, Number

Orphans = Mapping[str, tuple[int, str]]  # by account: how many, and one of them


def orphans(warehouse: Reader, manifest: Manifest, owner: Owner, *, seen: bool = False) -> Orphans:
    """Entities under audit, or living ones people see, whose owner nobody has heard of.

    Raises WarehouseError as the warehouse does.
    """
    ident = warehouse.layout.capabilities.ident
    own_id = ident(next(n for n in reversed(TABLES[owner.table].key)))
    account, column = ident("account_id"), ident(owner.column)
    scope = f"{ident('org_id')} = ? AND {ident('platform')} = ?"
    mine = (manifest.org_id, manifest.platform)
    under_audit = f"{scope} AND {ident('load_id')} = ?", (*mine, manifest.load_id)
    living = f"{scope} AND {ident('valid_to')} IS NULL AND NOT {ident('is_deleted')}", mine
    table = warehouse.layout.published if seen else warehouse.layout.audit
    where, params = living if seen else under_audit
    known = f"SELECT {account}, {column} FROM {warehouse.layout.published(owner.owners)}"
    # Sets instead of correlated queries: every engine joins them by hash.
    found = warehouse.query(
        f"SELECT s.{account}, COUNT(*), MIN(s.{own_id})"
        f" FROM (SELECT {account}, {own_id}, {column} FROM {table(owner.table)} WHERE {where}) AS s"
        f" LEFT JOIN ({known} WHERE {scope} UNION SELECT {account}, {column}"
        f" FROM {table(owner.owners)} WHERE {where}) AS o"
        f" ON o.{account} = s.{account} AND o.{column} = s.{column}"
        f" WHERE o.{column} IS NULL GROUP BY s.{account}",
        (*params, *mine, *params),
    )
    return {account_id: (int(count), str(one)) for account_id, count, one in found}


def number(
    result: SliceResult,
    owners: Sequence[Owner],
    known: Callable[[str], bool],
    orphans_of: Callable[[Owner], Orphans],
) -> Number:
    """Of entities of one kind, if there are any: those without the owner they name.

    ``known`` says whether anything is known of the owners' table; a run that lists ads alone, for
    the first time, says nothing of their ad groups.
    """
    worst, note = nan, ""
    for owner in owners:
        if owner.table != result.table or not known(owner.owners):
            continue
        count, one = orphans_of(owner).get(result.slice.account_id, (0, ""))
        if not worst >= count:
            worst = count
            note = f"{count} {owner.table} name none of the {owner.owners}, such as {one}"
    return (worst, note) if worst == worst else NOTHING  # noqa: PLR0124  not a number
