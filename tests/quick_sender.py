"""A sender for processes that live for a tenth of a second: reading certificates takes as long."""

from __future__ import annotations

import ssl

from airflow_provider_liftos.transport import client

_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def quick_sender() -> client.HttpSender:
    """For a process of its own, which from now on trusts no https address."""
    client._trust = lambda _pid: _NOBODY
    return client.HttpSender(timeout=60)
