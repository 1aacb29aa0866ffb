"""Ports of loopback for processes that are told where to listen."""

from __future__ import annotations

import random
import socket
from contextlib import closing

BELOW = range(20_000, 32_000)
"""Below those that Linux gives out by itself (from 32,768): nobody gets one of them by chance before
the process that is told it listens, which may take a minute."""


def free_port() -> int:
    chance = random.SystemRandom()
    for _ in range(100):
        port = chance.choice(BELOW)
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("every port is taken")
