"""``airflow liftos rotate-keys``: what the store keeps sealed gets the newest key of the ring."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.cli.table import actor, host
from airflow_provider_liftos.model.errors import LiftosError

if TYPE_CHECKING:
    from airflow_provider_liftos.state.keyring import KeyRing
    from airflow_provider_liftos.state.sealed import Count
    from airflow_provider_liftos.state.store import StateStore

_NEXT = """\
This is a new key. It is kept nowhere but here.
1. Put it in front of the others, on every host, and restart what runs:
   [liftos] credential_keys = <the new key>,<the keys so far>
   (or AIRFLOW__LIFTOS__CREDENTIAL_KEYS, or a secrets backend)
2. airflow liftos rotate-keys
3. Then the former keys can be taken away."""


def rotate_keys(args: Any) -> None:
    """Seal everything again, as often as you like, also while workers run; or print a new key."""
    from airflow_provider_liftos.state.keyring import new_key

    if args.new:
        print(new_key())
        print(_NEXT, file=sys.stderr)
        return
    from airflow_provider_liftos.hooks import config

    try:
        left = _rotate(config.state_store(), config.keyring(), drop=args.drop_unreadable)
    except LiftosError as error:
        sys.exit(str(error))
    if left:
        sys.exit(
            f"{left} secrets do not open with any key of [liftos] credential_keys. Put the missing"
            " key back behind the others and run this again, or give them up with"
            " --drop-unreadable."
        )


def _rotate(store: StateStore, ring: KeyRing, *, drop: bool) -> int:
    """How many secrets no key opens."""
    from airflow_provider_liftos.state.audit_log import AuditLog
    from airflow_provider_liftos.state.sealed import reseal

    newest = ring.newest
    counts = reseal(store, ring, drop=drop)
    for (org_id, table), count in sorted(counts.items()):
        print(f"{org_id:16} {table:14} {_words(count)}")
        for why in sorted(set(count.unreadable)):
            print(f"{'':31} {why}")
        detail = {"key": newest, "resealed": count.resealed, "dropped": count.dropped,
                  "from": host()}  # fmt: skip
        if count.resealed or count.dropped:
            AuditLog(store, org_id).note(actor(), "rotated keys", table, detail)
    print(f"Key {newest} seals; {'nothing' if not counts else 'no more'} had to be done.")
    return sum(len(count.unreadable) for count in counts.values())


def _words(count: Count) -> str:
    named = {
        "sealed again": count.resealed,
        "dropped": count.dropped,
        "unreadable": len(count.unreadable),
    }
    return ", ".join(f"{number} {name}" for name, number in named.items() if number)
