"""Errors nobody foresaw in the work on one slice, such as a reader that stumbles over an answer."""

from __future__ import annotations

import logging
import traceback

from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_liftos.model.errors import Unforeseen
from airflow_provider_liftos.model.report import Slice
from airflow_provider_liftos.transport.redact import redact
from airflow_provider_liftos.transport.session import Session

log = logging.getLogger(__name__)

NOT_OF_A_SLICE = (MemoryError, OSError, SQLAlchemyError)
"""What says nothing of the slice: the machine's troubles and the store's end the whole task."""


def unforeseen(session: Session, cut: Slice, error: Exception) -> Unforeseen:
    """What such an error means for its slice, in one line; the log gets the whole story."""
    secrets = list(session.credentials.secrets.values())
    story = "".join(traceback.format_exception(error))
    log.error("%s: not foreseen\n%s", cut.label, redact(story, secrets, longest=None))
    said = redact(" ".join(str(error).split()), secrets)
    return Unforeseen(
        f"{type(error).__name__}: {said}" if said else type(error).__name__,
        platform=cut.platform,
        account=cut.account_id,
        hint="This is a bug; the task's log holds its traceback. The other slices went on.",
    )
