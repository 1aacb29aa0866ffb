"""Pages of connecting: plain, without scripts, and with nothing secret in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from fastapi.responses import HTMLResponse

from airflow_provider_liftos.engine.consent import missing
from airflow_provider_liftos.hooks.consent import Connected
from airflow_provider_liftos.hooks.stored import Stored

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2rem auto;max-width:52rem;padding:0 1rem;"
    "color:#1a202c;background:#fff}h1{font-size:1.2rem}table{border-collapse:collapse;width:100%}"
    "th,td{padding:.4rem .6rem;border-bottom:1px solid #e2e8f0;text-align:left}"
    "button{font:inherit;padding:.3rem .9rem}form{margin:0}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}th,td{border-color:#333}"
    "a{color:#9cf}}"
)


def page(
    title: str, body: str, *, status: int = 200, referrer: str = "no-referrer"
) -> HTMLResponse:
    """A page that nobody may frame or keep."""
    name = escape(title)
    text = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{name}</title><style>{_STYLE}</style><h1>{name}</h1>{body}</html>"
    )
    headers = {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Referrer-Policy": referrer,
    }
    return HTMLResponse(text, status_code=status, headers=headers)


def problem(words: str, root: str, *, status: int) -> HTMLResponse:
    """What went wrong, and the way back."""
    return page("Not connected", f"<p>{escape(words)}</p>{_back(root)}", status=status)


def connections(found: Sequence[Stored], root: str) -> HTMLResponse:
    """Every connection with its button."""
    rows = "".join(_row(one, root) for one in found)
    empty = (
        ""
        if found
        else "<p>No connection yet. Create one under Admin, Connections, with your app's id and"
        " secret, and come back.</p>"
    )
    table = (
        "<table><thead><tr><th>Connection<th>Platform<th>State<th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )
    # Browsers name the origin of a form only where the page may name itself.
    return page("Connect platforms", empty or table, referrer="same-origin")


def _row(one: Stored, root: str) -> str:
    state, ready = _state(one)
    button = (
        f"<form method=post action='{escape(root)}/oauth/start'>"
        f"<input type=hidden name=connection_id value='{escape(one.conn_id)}'>"
        f"<button {'' if ready else 'disabled'}>Connect</button></form>"
    )
    cells = (escape(one.conn_id), escape(one.platform.title), escape(state), button)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _state(one: Stored) -> tuple[str, bool]:
    """Words about a connection, and whether its button works."""
    if one.credentials is None:
        return one.problem, False
    if one.platform.consent is None:
        return "the platform has no consent: enter its credentials", False
    if lacks := missing(one.platform.consent, one.credentials):
        return f"first fill in {' and '.join(lacks)}", False
    held = one.credentials.secrets
    has_token = any(held.get(name) for name in ("access_token", "refresh_token"))
    return ("has a token" if has_token else "not connected yet"), True


def connected(found: Connected, root: str) -> HTMLResponse:
    """What came of a consent."""
    items = "".join(
        f"<tr><td>{escape(number)}</td><td>{escape(name)}</td></tr>"
        for number, name in found.accounts
    )
    more = found.count - len(found.accounts)
    return page(
        f"Connected: {found.conn_id}",
        f"<p>{escape(found.title)}; {escape(found.token)}.</p>{_notes(found.notes)}"
        f"<p>{found.count} accounts{':' if found.count else '.'}</p>"
        f"<table><tbody>{items}</tbody></table>"
        f"{f'<p>and {more} more.</p>' if more > 0 else ''}{_back(root)}",
    )


def _notes(notes: Iterable[str]) -> str:
    return "".join(f"<p><strong>Note:</strong> {escape(note)}</p>" for note in notes)


def _back(root: str) -> str:
    return f"<p><a href='{escape(root)}/connect'>All connections</a></p>"
