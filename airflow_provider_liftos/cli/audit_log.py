"""``airflow liftos audit-log``: who connected, tested, rotated, replayed what, when, from where.

Whoever may run Airflow's command line on a host with its database and settings may read it.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.cli.table import as_json, as_table, moment
from airflow_provider_liftos.model.errors import LiftosError

if TYPE_CHECKING:
    from airflow_provider_liftos.state.audit_log import AuditEntry


def audit_log(args: Any) -> None:
    """Entries of one organization, newest first."""
    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.state.audit_log import AuditLog

    try:
        found = AuditLog(config.state_store(), args.org).entries(
            action=args.action, subject=args.subject, limit=args.limit
        )
    except LiftosError as error:
        sys.exit(str(error))
    if args.json:
        as_json([_record(entry) for entry in found])
    else:
        as_table([{**_record(e), "detail": json.dumps(e.detail)} for e in found])


def _record(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": moment(entry.created_at),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "detail": dict(entry.detail),
    }
