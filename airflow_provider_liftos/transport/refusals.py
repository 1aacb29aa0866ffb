"""From a platform's answer to the error it stands for."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_liftos.model.errors import (
    FieldGone,
    LiftosError,
    Missing,
    NotAuthorized,
    NotPrepared,
    NotReady,
    Rejected,
    ReportFailed,
    Throttled,
    TooManyIds,
    TooMuchData,
    Unavailable,
    VersionGone,
)
from airflow_provider_liftos.model.platform import Credentials, Platform
from airflow_provider_liftos.model.wire import Judgement, Verdict
from airflow_provider_liftos.transport.redact import redact


def refuse(
    platform: Platform,
    credentials: Credentials,
    judgement: Judgement,
    account: str | None,
    status: int | None,
    retry_at: float = 0.0,
) -> LiftosError:
    """The error that a judgement stands for, free of the connection's secrets."""
    error = judgement.error
    code = None
    if error.code is not None:
        code = f"{error.code}/{error.subcode}" if error.subcode else str(error.code)
    facts: dict[str, object] = {
        "platform": platform.name,
        "account": account,
        "status": status,
        "vendor_code": code,
        "request_id": error.request_id,
    }
    said = " ".join(redact(error.message, credentials.secrets.values()).split())
    text = f"{judgement.why}: {said}" if said else judgement.why
    if judgement.verdict is Verdict.REAUTHORIZE:
        facts["one_account"] = judgement.one_account
        facts["renewable"] = not judgement.one_account
    if judgement.verdict is Verdict.VERSION_DEAD:
        facts["version"] = credentials.version
    return _REFUSALS[judgement.verdict](text, error.field or "", retry_at, facts)


Facts = dict[str, object]
_Build = Callable[[str, str, float, Facts], LiftosError]


def _plain(kind: type[LiftosError], hint: str | None = None) -> _Build:
    return lambda text, _field, _at, facts: kind(text, **facts, hint=hint)  # type: ignore[arg-type]


_REFUSALS: dict[Verdict, _Build] = {
    Verdict.RETRY: _plain(Unavailable),
    Verdict.THROTTLED: lambda text, _field, at, facts: Throttled(text, retry_at=at, **facts),
    Verdict.REAUTHORIZE: _plain(
        NotAuthorized, "Renew the token or its permissions in the connection."
    ),
    Verdict.SHRINK: _plain(TooMuchData),
    Verdict.TOO_MANY_IDS: _plain(TooManyIds),
    Verdict.FIELD_GONE: lambda text, field, _at, facts: FieldGone(text, field=field, **facts),
    Verdict.NOT_READY: _plain(NotReady),
    Verdict.NOT_PREPARED: _plain(NotPrepared),
    Verdict.REPORT_FAILED: _plain(ReportFailed),
    Verdict.SKIP: _plain(Missing),
    Verdict.VERSION_DEAD: _plain(
        VersionGone, "Set another api_version in the connection, or update this provider."
    ),
    Verdict.REJECTED: _plain(Rejected),
    Verdict.FATAL: _plain(
        NotAuthorized, "The account or the app must be changed in the connection."
    ),
}
