"""How long a Postgres server and we hear nothing of one another before the connection is dead.

One declaration for the state store and the warehouse. Names are libpq's and the server's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}

PATIENCE: Mapping[str, int] = MappingProxyType(
    {"connect_timeout": 10, **_KEEPALIVES, "tcp_user_timeout": 30_000}
)
"""Of libpq, where nothing else is asked for: a server that vanished is noticed within a minute.
Seconds, but for ``tcp_user_timeout``, which is milliseconds."""

SERVERS_PATIENCE: Mapping[str, str] = MappingProxyType(
    {f"tcp_{name}": str(value) for name, value in _KEEPALIVES.items()}
)
"""Settings of a session: a server notices as soon that our host vanished, also amid COPY, where no
other limit binds it; by itself it waits as long as its system does, which is two hours on Linux."""
