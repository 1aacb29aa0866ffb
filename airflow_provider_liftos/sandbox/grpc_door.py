"""The way in for gRPC: one server over the wires that speak it, beside the HTTP server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .wire import Wire
from .world import World

_THREADS = 16
_MAX_MESSAGE = 64 * 2**20
_OPTIONS = (
    # Two sandboxes on one port would share its calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_send_message_length", _MAX_MESSAGE),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class DoorError(RuntimeError):
    """The door could not be opened; the message says why."""


class GrpcDoor:
    """A gRPC server; plain, or with TLS for ``localhost`` by a certificate of its own."""

    def __init__(self, world: World, wires: Mapping[str, Wire]) -> None:
        self._world = world
        speaking: list[Any] = [wire for wire in wires.values() if hasattr(wire, "procedures")]
        self._handlers = [wire.procedures() for wire in speaking]
        self._server: Any = None

    def open(self, address: str, *, roots_file: Path | None = None) -> str:
        """Listen on ``host:port`` (0: any free one) and return where.

        With ``roots_file`` the line is encrypted, and the file receives the certificate that
        clients must trust. Raises DoorError if the port is taken.
        """
        try:
            import grpc
        except ModuleNotFoundError as error:
            raise DoorError("gRPC needs the library grpcio, which is not installed") from error
        host = address.rpartition(":")[0]
        self._server = grpc.server(ThreadPoolExecutor(_THREADS), options=_OPTIONS)
        self._server.add_generic_rpc_handlers(self._handlers)
        try:
            if roots_file is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, _certified(roots_file))
        except RuntimeError as error:
            raise DoorError(
                f"{address} cannot be listened on: is another sandbox there?"
            ) from error
        self._server.start()
        if roots_file is None:
            where = f"{host}:{port}"
            self._world.grpc_address = f"grpc://{where}"
            return where
        where = f"localhost:{port}"
        self._world.grpc_address = f"grpcs://{where}"
        return where

    def close(self) -> None:
        """End every call."""
        if self._server is not None:
            self._server.stop(grace=0).wait(timeout=5)


def _certified(roots_file: Path) -> Any:
    import grpc

    key, certificate = _make_certificate()
    roots_file.write_bytes(certificate)
    return grpc.ssl_server_credentials([(key, certificate)])


def _make_certificate() -> tuple[bytes, bytes]:
    """Return key and self-signed certificate of ``localhost``, both as PEM."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import IPv4Address

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names: Iterable[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(IPv4Address("127.0.0.1")),
    ]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    raw = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return raw, certificate.public_bytes(Encoding.PEM)
