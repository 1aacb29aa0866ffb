"""``airflow liftos connect``: a browser beside it, and strangers who knock at its door."""

from __future__ import annotations

import re
import threading
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace

import httpx2
import pytest

from airflow_provider_liftos.cli import connect as command
from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.keyring import new_key
from tests.airflow_metadata import APPS, Connections, add_unconnected

SCOPES = {
    "meta": ("ads_read",),
    "google_ads": ("https://www.googleapis.com/auth/adwords",),
    "tiktok": ("1", "2", "4", "6", "15"),
}


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    monkeypatch.setenv("AIRFLOW__LIFTOS__CREDENTIAL_KEYS", new_key())
    with Sandbox() as sandbox:
        connections = Connections(tmp_path, monkeypatch)
        for platform in APPS:
            add_unconnected(connections, platform, sandbox.url)
        yield SimpleNamespace(sandbox=sandbox, connections=connections, patch=monkeypatch)


def browse(scene, visit: Callable[[str], object]) -> None:
    """Have ``visit`` called with the page's address, as a browser would be, beside the command."""

    def opened(url: str) -> bool:
        threading.Thread(target=visit, args=(url,), daemon=True).start()
        return True

    scene.patch.setattr(command.webbrowser, "open", opened)


def consenting(platform: str, seen: list[httpx2.Response]) -> Callable[[str], None]:
    def visit(url: str) -> None:
        form = {"decision": "allow", **{f"scope:{one}": "on" for one in SCOPES[platform]}}
        reply = httpx2.post(url, data=form, trust_env=False)
        seen.append(httpx2.get(reply.headers["location"], trust_env=False))

    return visit


def run(platform: str = "meta", *, port: int = 0, no_browser: bool = False) -> None:
    command.connect(Namespace(platform=platform, conn_id=None, port=port, no_browser=no_browser))


@pytest.mark.parametrize("platform", sorted(APPS))
def test_consenting_writes_the_connection_and_says_what_was_found(scene, platform, capsys):
    seen: list[httpx2.Response] = []
    browse(scene, consenting(platform, seen))
    run(platform)
    said = capsys.readouterr().out
    assert f"connected liftos_{platform}_default" in said
    assert re.search(r"\d accounts; ", said)
    account = scene.sandbox.world.dataset(platform).accounts[0]
    assert account.id in said
    assert "You can close this page" in seen[0].text
    stored = scene.connections.extra(f"liftos_{platform}_default")
    secrets = [*scene.sandbox.secrets(), *stored.values()]
    tokens = [one for one in secrets if len(str(one)) > 12 and not str(one).startswith("http")]
    assert len(tokens) > 3
    addressless = re.sub(r"http://\S+", "", said)
    assert not [one for one in tokens if str(one) in addressless and one != "sandbox-client"]
    log = AuditLog(config.state_store(), "default")
    for step in ("asked_consent", "connected"):
        assert [one.subject for one in log.entries(action=step)] == [f"liftos_{platform}_default"]


def test_strangers_are_turned_away_and_the_answer_still_comes(scene, capsys):
    codes: list[int] = []

    def visit(url: str) -> None:
        door = re.search(r"redirect_uri=http%3A%2F%2F127.0.0.1%3A(\d+)", url)[1]
        here = f"http://127.0.0.1:{door}"
        for path in ("/", "/callback", "/callback?state=guessed&code=theirs", "/callback?code=x"):
            codes.append(httpx2.get(here + path, trust_env=False).status_code)
        codes.append(httpx2.post(f"{here}/callback", trust_env=False).status_code)
        consenting("meta", [])(url)

    browse(scene, visit)
    run()
    assert codes == [404, 400, 400, 400, 501]
    assert "connected liftos_meta_default" in capsys.readouterr().out


def test_nothing_is_served_after_the_answer(scene):
    seen: list[httpx2.Response] = []
    browse(scene, consenting("meta", seen))
    run()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(str(seen[0].url), trust_env=False)


def test_without_a_browser_the_address_is_printed_and_the_way_from_another_machine(scene, capsys):
    def read_and_visit() -> None:
        for _ in range(3000):
            said = capsys.readouterr().out
            if found := re.search(r"^(http\S+/dialog/oauth\S+)$", said, re.MULTILINE):
                printed.append(said)
                consenting("meta", [])(found[1])
                return
            time.sleep(0.02)

    printed: list[str] = []
    scene.patch.setattr(command.webbrowser, "open", lambda _url: pytest.fail("a browser"))
    reader = threading.Thread(target=read_and_visit)
    reader.start()
    run(no_browser=True)
    reader.join()
    assert re.search(r"ssh -L (\d+):127\.0\.0\.1:\1 ", printed[0])


def test_no_answer_ends_in_time(scene):
    scene.patch.setattr("airflow_provider_liftos.state.oauth_states.LIFETIME", 0.2)
    browse(scene, lambda _url: None)
    with pytest.raises(SystemExit, match="no answer came in time"):
        run()


def test_who_declines_is_told_that_nothing_changed(scene):
    def visit(url: str) -> None:
        reply = httpx2.post(url, data={"decision": "deny"}, trust_env=False)
        with suppress(httpx2.HTTPError):
            httpx2.get(reply.headers["location"], trust_env=False)

    browse(scene, visit)
    with pytest.raises(SystemExit, match=r"declined: Permissions error.*Nothing was changed"):
        run()
    assert "access_token" not in scene.connections.extra("liftos_meta_default")


def test_a_port_in_use_is_said(scene):
    with command._Door(0) as other, pytest.raises(SystemExit, match=r"cannot be used.*--port"):
        run(port=other.port)


@pytest.mark.parametrize(("platform", "says"), [("nobody", "unknown platform 'nobody'")])
def test_a_platform_we_do_not_know_is_named(scene, platform, says):
    with pytest.raises(SystemExit, match=says):
        run(platform)


def test_a_connection_defined_elsewhere_is_said(scene):
    scene.patch.setenv("AIRFLOW_CONN_LIFTOS_META_DEFAULT", "{}")
    with pytest.raises(SystemExit, match="environment variable AIRFLOW_CONN_LIFTOS_META_DEFAULT"):
        run()
