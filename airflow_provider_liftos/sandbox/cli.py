"""``liftos-sandbox serve``: the sandbox as a process."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .grpc_door import GrpcDoor


_GRPC = "127.0.0.1:8651"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="liftos-sandbox", description=__doc__)
    serve = parser.add_subparsers(dest="command", required=True).add_parser(
        "serve", help="serve every platform on loopback"
    )
    serve.add_argument("--http", default="127.0.0.1:8650", help="address of the HTTP platforms")
    serve.add_argument(
        "--grpc",
        help=f"address of the gRPC platforms; {_GRPC}, or a free port where that is taken",
    )
    serve.add_argument(
        "--grpc-roots",
        type=Path,
        help="speak gRPC with TLS for localhost; the file receives the certificate to trust",
    )
    serve.add_argument("--seed", type=int, default=7, help="another seed, other data")
    serve.add_argument("--profile", choices=("small", "medium", "large"), default="small")
    serve.add_argument("--report-seconds", type=float, default=2.0, help="how long a report takes")
    serve.add_argument("--start", type=_moment, help="let the sandbox clock begin at this moment")
    serve.add_argument("--require-proof", action="store_true", help="refuse unsigned calls")
    serve.add_argument(
        "--any-address",
        action="store_true",
        help="listen where --http says, even if others reach it: for containers",
    )
    serve.add_argument(
        "--secrets-file", type=Path, help="write the credentials of the sandbox here, one per line"
    )
    return parser


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _split(address: str, *, anywhere: bool) -> tuple[str, int]:
    """Split ``host:port``; the sandbox knows no access control, so it stays on loopback.

    ``anywhere`` lifts that for a container, whose port is published on loopback.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    name = "127.0.0.1" if host == "localhost" else host
    try:
        local, number = ipaddress.ip_address(name).is_loopback, int(port)
    except ValueError:
        raise SystemExit(
            f"liftos-sandbox: {address!r} is not an address like 127.0.0.1:8650"
        ) from None
    if not local and not anywhere:
        raise SystemExit(f"liftos-sandbox: {host} is not a loopback address; use 127.0.0.1")
    return name, number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    host, port = _split(options.http, anywhere=options.any_address)
    _split(options.grpc or _GRPC, anywhere=options.any_address)

    import uvicorn

    from .grpc_door import DoorError, GrpcDoor
    from .server import Server
    from .wire import platforms
    from .world import World

    world = World(
        seed=options.seed,
        profile=options.profile,
        report_seconds=options.report_seconds,
        start=options.start,
        require_proof=options.require_proof,
        secrets_file=options.secrets_file,
    )
    world.http_address = f"http://{host}:{port}"
    server = Server(world)
    door = GrpcDoor(world, server.wires)
    try:
        answering = _open(door, options.grpc, options.grpc_roots)
    except DoorError as error:
        raise SystemExit(f"liftos-sandbox: {error}") from error
    sys.stdout.write(
        f"sandbox on {world.http_address} speaks {', '.join(platforms())}; "
        f"seed {world.seed}, profile {world.profile}, control under /_sandbox\n"
        f"gRPC on {answering}\n"
    )
    sys.stdout.flush()
    uvicorn.run(server, host=host, port=port, log_level="warning", access_log=False, lifespan="off")
    door.close()
    return 0


def _open(door: GrpcDoor, address: str | None, roots_file: Path | None) -> str:
    """Open the door where it was ordered; by default anywhere rather than not at all."""
    if address:
        return door.open(address, roots_file=roots_file)
    from .grpc_door import DoorError

    try:
        return door.open(_GRPC, roots_file=roots_file)
    except DoorError:
        return door.open("127.0.0.1:0", roots_file=roots_file)
