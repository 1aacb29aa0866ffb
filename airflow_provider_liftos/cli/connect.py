"""``airflow liftos connect``: consent in a browser of this machine, kept in a connection."""

from __future__ import annotations

import getpass
import socket
import sys
import time
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_liftos.hooks import consent, registry
from airflow_provider_liftos.hooks.consent import Connected, Person
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError, NotAuthorized

HOST = "127.0.0.1"
_PATH = "/callback"
_LOOK_SECONDS = 1.0


def connect(args: Any) -> None:
    """Send a person to the platform's page, wait for the answer, write and describe it."""
    try:
        conn_id = args.conn_id or registry.default_conn_id(args.platform)
        person = Person(name=getpass.getuser(), where=socket.gethostname())
        with _Door(args.port) as door:
            asked = consent.start(
                conn_id, person, redirect_uri=door.address, platform=args.platform
            )
            _invite(asked.url, door, browser=not args.no_browser)
            answer = door.wait(asked.state, asked.expires_at)
        _describe(consent.finish(answer, person))
    except LiftosError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\nNothing was changed.")


def _invite(url: str, door: _Door, *, browser: bool) -> None:
    if browser and webbrowser.open(url):
        print(f"Your browser shows the platform's page. If it does not, open\n\n{url}\n")
        return
    print(f"Open this address:\n\n{url}\n")
    print(
        f"The answer comes to {door.address}. If the browser is on another machine, first run"
        f" there: ssh -L {door.port}:{HOST}:{door.port} {socket.gethostname()}"
    )


def _describe(found: Connected) -> None:
    print(f"connected {found.conn_id}: {found.title}, {found.count} accounts; {found.token}")
    for account_id, name in found.accounts:
        print(f"  {account_id:<20} {name}")
    if more := found.count - len(found.accounts):
        print(f"  and {more} more")
    for note in found.notes:
        print(f"note: {note}")


class _Door(HTTPServer):
    """Waits on loopback for one answer with the right state; whatever else comes is turned away."""

    def __init__(self, port: int) -> None:
        try:
            super().__init__((HOST, port), _Knock)
        except OSError as error:
            raise ConfigurationError(
                f"port {port} of {HOST} cannot be used: {error.strerror}",
                hint="Choose another with --port; it is part of the address that is registered"
                " with the platform.",
            ) from None
        self.port = int(self.server_address[1])
        self.address = f"http://{HOST}:{self.port}{_PATH}"
        self.state = ""
        self.answer: dict[str, str] | None = None

    def wait(self, state: str, until: float) -> dict[str, str]:
        """The answer's parameters; NotAuthorized when none came until then (epoch seconds)."""
        self.state = state
        while self.answer is None:
            self.timeout = min(until - time.time(), _LOOK_SECONDS)
            if self.timeout <= 0:
                raise NotAuthorized("no answer came in time", hint="Nothing was changed.")
            self.handle_request()
        return self.answer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up does no harm."""


class _Knock(BaseHTTPRequestHandler):
    server: _Door
    timeout = 5  # a connection that says nothing does not keep the answer out

    def do_GET(self) -> None:
        """Take the answer, or turn the caller away."""
        parts = urlsplit(self.path)
        given = dict(parse_qsl(parts.query))
        if parts.path != _PATH:
            self._say(404, "There is nothing here.")
        elif not self.server.state or given.get("state") != self.server.state:
            self._say(400, "This answer is not the one that is waited for.")
        else:
            self.server.answer = given
            self._say(200, "The answer has arrived. You can close this page.")

    def _say(self, status: int, words: str) -> None:
        page = f"<!doctype html><meta charset=utf-8><title>liftos</title><p>{words}</p>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the address holds the code."""
