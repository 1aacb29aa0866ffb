"""``airflow liftos import-credentials``: connections made of files or variables of older tools."""

from __future__ import annotations

import os
import sys
from typing import Any

from airflow_provider_liftos.cli.table import actor, host
from airflow_provider_liftos.hooks import config, credential_files, stored
from airflow_provider_liftos.hooks.credential_files import Found
from airflow_provider_liftos.model.errors import LiftosError


def import_credentials(args: Any) -> None:
    """Make a connection of each; what is there stays as it is, unless it is to be replaced."""
    try:
        if args.folder:
            found = credential_files.in_folder(args.folder)
        else:
            found = credential_files.in_environment(os.environ)
        if not found:
            sys.exit(f"no credentials in {args.folder or 'the environment'}")
        for one in found:
            print(_import(one, dry=args.dry_run, replace=args.replace))
    except LiftosError as error:
        sys.exit(str(error))


def _import(found: Found, *, dry: bool, replace: bool) -> str:
    """What was done, or would be; names of fields, never what is in them."""
    there = stored.exists(found.conn_id)
    notes = list(found.notes)
    if source := stored.shadow(found.conn_id):
        notes.append(f"also defined by {source}, which Airflow reads first")
    if there and not replace:
        outcome = "is there, and stays (--replace changes it)"
    elif not found.fields:
        outcome = "not made: there is nothing to put into it"
    elif dry:
        outcome = "would be changed" if there else "would be made"
    else:
        stored.put(found.conn_id, found.parts())
        outcome = "changed" if there else "made"
        _note(found, outcome)
    names = ", ".join(sorted(found.fields))
    lines = [f"{found.conn_id} ({found.conn_type}) {outcome}: {names}; from {found.source}"]
    return "\n".join((*lines, *(f"    {note}" for note in notes)))


def _note(found: Found, outcome: str) -> None:
    from airflow_provider_liftos.state.audit_log import AuditLog

    detail = {"from": host(), "source": found.source, "fields": sorted(found.fields),
              "outcome": outcome}  # fmt: skip
    audit = AuditLog(config.state_store(), found.org_id)
    audit.note(actor(), "imported credentials", found.conn_id, detail)
