"""Addresses to which nothing is ever sent, whatever a connection says.

The machines of a cloud learn their own credentials from an address that answers nobody else, so a
connection that names it would have our workers fetch them. Loopback and private networks are not
refused: that is where sandboxes and proxies are. A name is judged when it is written, and what it
leads to once a connection is made, before anything goes through it.
"""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow_provider_liftos.model.errors import ConfigurationError

_NETWORKS = {
    # RFC 3927 and 4291. AWS, Google Cloud, Azure, Oracle and most others answer at 169.254.169.254.
    "a link-local address": ("169.254.0.0/16", "fe80::/10"),
    "no address of anybody": ("0.0.0.0/8", "::/128", "255.255.255.255/32"),
    "an address of many": ("224.0.0.0/4", "ff00::/8"),
    # AWS and Google over IPv6; Alibaba Cloud; Azure's host agent; Oracle Cloud's older address.
    "where a cloud keeps the credentials of its machines": (
        "fd00:ec2::/32", "fd20:ce::/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
    ),
}  # fmt: skip
_NEVER = [(ipaddress.ip_network(n), why) for why, ns in _NETWORKS.items() for n in ns]
_NAMES = frozenset(
    "metadata metadata.google.internal metadata.goog instance-data instance-data.ec2.internal"
    " metadata.tencentyun.com".split()
)
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # IPv4 behind NAT64, RFC 6052
_HINT = "Correct the address in the connection, or leave it empty for the platform's own."


@lru_cache(maxsize=256)
def refuse(url: str, whose: str = "") -> None:
    """Do nothing, unless something in the address says that it is none to talk to.

    Raises:
        ConfigurationError: one line; ``whose`` is what to look at, such as "connection 'x': host".
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        raise ConfigurationError(f"{whose} is no address".strip(), hint=_HINT) from None
    if why := _why_not(host):
        raise _refusal(host, why, whose)


def loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refused_peer(stream: Any) -> ConfigurationError | None:
    """What there is to say against an open connection, by the address that it led to."""
    address = stream.get_extra_info("server_addr")
    host = str(address[0]) if address else ""
    why = _why_not(host)
    return _refusal(host, why, "the name of the host leads elsewhere") if why else None


def refuse_resolved(host: str, port: int) -> None:
    """Do nothing, unless the name leads to an address that is none to talk to.

    For clients that make connections out of our sight. A name that nobody knows is for them to say:
    a proxy may know it.

    Raises:
        ConfigurationError: one line.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    for *_, address in found:
        if why := _why_not(str(address[0])):
            raise _refusal(str(address[0]), why, f"the name {host} leads elsewhere")


def _refusal(host: str, why: str, whose: str) -> ConfigurationError:
    return ConfigurationError(
        f"{whose + ': ' if whose else ''}{host} is {why}; nothing is sent there", hint=_HINT
    )


def _why_not(host: str) -> str:
    """Why nothing may be sent to a host; empty when there is no reason."""
    plain = unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".").lower()
    plain = plain.strip().rstrip(".")
    if plain in _NAMES:
        return "where a cloud keeps the credentials of its machines"
    address = _address(plain)
    if address is None:
        return ""
    return next((why for network, why in _NEVER if address in network), "")


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(host: str) -> Address | None:
    """The address that is written there, in whichever spelling; None for a name."""
    try:
        found: Address = ipaddress.ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        try:
            # As resolvers read it: 2852039166, 0xa9fea9fe, 0251.0376.0251.0376, 169.254.43518.
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, UnicodeError):
            return None
    return found if found.version == 4 else _within(found)


def _within(address: ipaddress.IPv6Address) -> Address:
    """The IPv4 address that one of IPv6 stands for, or itself."""
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour or address
    low = int(address) & 0xFFFFFFFF
    if address in _TRANSLATED or (int(address) >> 32 == 0 and low > 1):
        return ipaddress.IPv4Address(low)
    return address
