"""``liftos-sandbox serve``: the sandbox as a process."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="liftos-sandbox", description=__doc__)
    serve = parser.add_subparsers(dest="command", required=True).add_parser(
        "serve", help="serve every platform on loopback"
    )
    serve.add_argument("--http", default="127.0.0.1:8650", help="address of the HTTP platforms")
    serve.add_argument("--grpc", default="127.0.0.1:8651", help="address of the gRPC platforms")
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
    _split(options.grpc, anywhere=options.any_address)

    import uvicorn

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
    server = Server(world)
    sys.stdout.write(
        f"sandbox on http://{host}:{port} speaks {', '.join(platforms())}; "
        f"seed {world.seed}, profile {world.profile}, control under /_sandbox\n"
        f"no gRPC platform yet: {options.grpc} stays closed until Google Ads arrives\n"
    )
    sys.stdout.flush()
    uvicorn.run(server, host=host, port=port, log_level="warning", access_log=False, lifespan="off")
    return 0
