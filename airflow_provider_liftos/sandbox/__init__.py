"""A loopback server that speaks the platforms' wire, with data whose truth is known.

Start it with ``liftos-sandbox serve`` or, inside a test::

    with Sandbox(seed=7, profile="small", report_seconds=0.0) as sandbox:
        base = sandbox.url + "/meta"        # any client of the platform works from here
        sandbox.clock.advance(86_400)       # a day passes, yesterday's conversions grow
        sandbox.faults.add(kind="http_500", platform="meta", times=2)
        sandbox.truth(platform="meta", level="ad", since="2026-11-01", until="2026-11-07")

Written from the vendors' facts, never from this package's own declarations: it imports
nothing of ours, so that a mistake in a declaration cannot agree with itself here.

Parts: ``clock`` (sandbox time), ``dataset`` (what happened, by hashing alone), ``truth`` (what
a client must arrive at, straight from the dataset), ``faults``, ``journal`` (every request
served), ``wire/<platform>`` (found by walking the folder), ``server`` (all of it as one ASGI
application), ``grpc_door`` (the wires that speak gRPC), ``embedded`` (all that in a thread),
``cli``.

Default credentials: app ``1001`` with secret ``sandbox-secret``, token ``sandbox-token``;
where consent ends in a code, ``sandbox-auth-code`` and whatever begins so, each good for once.
``GET /_sandbox/connections`` tells the credentials of every platform. gRPC platforms (Google
Ads, which needs the extra ``google-ads``) listen at ``sandbox.grpc_target``, or with TLS for
``localhost`` at ``sandbox.encrypted_target(roots_file)``; as a process at ``--grpc`` (8651).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .embedded import Sandbox

__all__ = ["Sandbox"]


def __getattr__(name: str) -> Any:
    """Import the server only for those who start one."""
    if name == "Sandbox":
        from .embedded import Sandbox

        return Sandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
