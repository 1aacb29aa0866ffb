"""People connect platforms: a real browser, a real Airflow, and a sandbox on another site."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.airflow_live.live import Live
from tests.airflow_metadata import APPS, TYPES
from tests.browser import Browser, Page

pytestmark = pytest.mark.airflow

CODES = ("AQB", "4/", "ac-")
"""How codes of the sandbox begin, by platform."""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with Browser(tmp_path) as browser:
        yield browser.page


def elsewhere(live: Live) -> str:
    """The sandbox by a name that makes it another site to browsers: Airflow's is a number."""
    return live.sandbox.url.replace("127.0.0.1", "localhost")


def unconnected(live: Live, platform: str, conn_id: str) -> str:
    base = f"{elsewhere(live)}/{platform}"
    extra = dict(APPS[platform])
    if platform == "google_ads":
        extra["token_uri"] = f"{base}/token"
    live.api.create_connection(conn_id, TYPES[platform], host=base, extra=extra)
    return conn_id


def log_in(page: Page, user: str = "admin") -> None:
    page.write("input[name=username]", user)
    page.write("input[name=password]", user)
    page.click("button[type=submit]")


def press(page: Page, conn_id: str) -> None:
    page.click(f"form:has(input[value='{conn_id}']) button")


def audit(live: Live, conn_id: str) -> list[tuple[str, str, str]]:
    """Steps of connecting, oldest first: who, what, and its detail."""
    sql = "SELECT actor, action, detail FROM audit_log WHERE subject = ? ORDER BY created_at"
    steps = ("asked_consent", "connected", "failed_consent")
    return [(row[0], row[1], row[2]) for row in live.state(sql, conn_id) if row[1] in steps]


@pytest.mark.parametrize("platform", sorted(APPS))
def test_a_person_connects_a_platform(live: Live, page: Page, platform: str) -> None:
    conn_id = unconnected(live, platform, f"consented_{platform}")
    page.go(f"{live.stack.base_url}/liftos/connect")
    log_in(page)
    press(page, conn_id)
    page.until("location.hostname === 'localhost'")
    page.click("button[value=allow]")
    page.until("document.title.startsWith('Connected')")
    assert page.address.startswith(f"{live.stack.base_url}/liftos/oauth/result/")
    accounts = live.sandbox.world.dataset(platform).accounts
    assert accounts[0].id in page.text

    stored = live.api.get(f"connections/{conn_id}")
    body = {key: stored[key] for key in ("connection_id", "conn_type", "host", "extra")}
    works, said = live.api.test_connection({**body, "extra": json.loads(stored["extra"])})
    assert works, said
    asked, connected = audit(live, conn_id)
    assert (asked[:2], connected[:2]) == (("admin", "asked_consent"), ("admin", "connected"))
    assert json.loads(connected[2])["from"] == "127.0.0.1"


def test_a_person_declines(live: Live, page: Page) -> None:
    conn_id = unconnected(live, "meta", "declined_meta")
    page.go(f"{live.stack.base_url}/liftos/connect")
    log_in(page)
    press(page, conn_id)
    page.click("button[value=deny]")
    page.until("document.title === 'Not connected'")
    assert "declined: Permissions error" in page.text
    assert "access_token" not in live.api.get(f"connections/{conn_id}")["extra"]
    assert [entry[1] for entry in audit(live, conn_id)] == ["asked_consent", "failed_consent"]


def test_the_page_is_in_airflows_menu_and_opens_a_tab_of_its_own(live: Live, page: Page) -> None:
    page.go(live.stack.base_url)
    log_in(page)
    button = "[...document.querySelectorAll('button')].find(b => b.innerText.includes('Admin'))"
    page.until(f"!!{button}")
    page.evaluate(f"{button}.click()")
    link = (
        "[...document.querySelectorAll('a')].find(a => a.innerText.includes('Connect platforms'))"
    )
    page.until(f"!!{link}")
    assert page.evaluate(f"{link}.href") == f"{live.stack.base_url}/liftos/connect"
    assert page.evaluate(f"{link}.target") == "_blank"


def test_who_may_not_edit_connections_is_told_so(live: Live) -> None:
    reply = live.page("/liftos/connect", "viewer")
    assert (reply.status_code, "right to edit connections" in reply.text) == (403, True)
    nobody = live.page("/liftos/connect", None)
    assert (nobody.status_code, "/api/v2/auth/login?next=" in nobody.headers["location"]) == (
        303, True,
    )  # fmt: skip


def test_codes_are_not_in_the_access_log(live: Live) -> None:
    lines = live.stack.log("api-server").read_text().splitlines()
    callbacks = [line for line in lines if "/liftos/oauth/callback" in line]
    assert callbacks
    assert all("hidden" in line for line in callbacks)
    issued = [one for one in live.sandbox.secrets() if one.startswith(CODES)]
    assert issued
    assert not [line for line in lines for code in issued if code in line]
