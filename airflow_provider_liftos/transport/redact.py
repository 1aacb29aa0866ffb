"""Keeps secrets out of texts that people read: errors of vendors may quote what we sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from airflow_provider_liftos.model.secret import Secret

_NAMED = re.compile(
    r"(?i)((?:access_token|input_token|fb_exchange_token|appsecret_proof|client_secret"
    r"|refresh_token|authorization|bearer)[\"']?\s*[=:\s]\s*[\"']?(?:bearer\s+)?)[^\s&\"',}]+"
)
SHORTEST = 5
"""Characters below which a secret is not looked for: it would be found in every text."""

_MOST = 2000
_LONGEST_LINE = 500


def redact(
    text: str, secrets: Iterable[Secret] = (), *, longest: int | None = _LONGEST_LINE
) -> str:
    """The text without the given secrets and without values of parameters named like secrets.

    What is longer than ``longest`` characters is cut; None for text that is not a line.
    """
    values = {secret.reveal() for secret in secrets}
    # URLs hold them quoted; longer ones first, for one may begin like another.
    forms = {form for value in {*values, *_seen} for form in (value, quote(value, safe=""))}
    for form in sorted(forms, key=len, reverse=True):
        if len(form) >= SHORTEST:
            text = text.replace(form, "***")
    text = _NAMED.sub(r"\1***", text)
    return text if longest is None or len(text) <= longest else text[:longest] + "…"


_seen: dict[str, None] = {}


def remember(secret: Secret) -> None:
    """Leave this out of all texts of this process from now on; the oldest of very many is let go.

    Which secrets are a connection's is known where a text is made; which tokens were made of them
    meanwhile, by whichever thread, is not.
    """
    _seen[secret.reveal()] = None
    if len(_seen) > _MOST:
        _seen.pop(next(iter(_seen)), None)
