from __future__ import annotations

import ast
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

import airflow_provider_liftos.sandbox as package
from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.sandbox.cli import main
from tests.ports import free_port
from tests.sandbox.client import Wire

ROOT = Path(package.__file__).parent


def test_health_names_the_platforms(wire: Wire) -> None:
    body = wire.http.get("/_sandbox/health").json()
    assert body["status"] == "ok"
    assert "meta" in body["platforms"]
    assert (body["seed"], body["profile"]) == (7, "small")


def test_truth_over_http_is_the_truth(wire: Wire, sandbox: Sandbox) -> None:
    act = wire.accounts()["EUR"]
    ask = {"account": act, "level": "campaign", "breakdown": "age"}
    days = {"from": "2026-11-01", "to": "2026-11-03"}
    body = wire.http.get("/_sandbox/truth", params={"platform": "meta", **ask, **days}).json()
    assert body == sandbox.truth(since=days["from"], until=days["to"], **ask)
    assert body["rows"][0].keys() >= {"date", "account_id", "campaign_id", "age", "reach", "spend"}
    bad = wire.http.get("/_sandbox/truth", params={"platform": "meta", "level": "planet"})
    assert bad.status_code == 400
    assert "planet" in bad.json()["error"]


def test_as_of_may_carry_an_unescaped_plus(wire: Wire) -> None:
    url = "/_sandbox/truth?platform=meta&level=account&as_of=2026-11-20T10:00:00+00:00"
    rows = wire.http.get(url).json()["rows"]
    assert max(row["date"] for row in rows) == "2026-11-20"


def test_faults_journal_and_clock_over_http() -> None:
    with Sandbox() as sandbox:
        wire = Wire(sandbox)
        order = {"platform": "meta", "kind": "http_500", "times": 1}
        made = wire.http.post("/_sandbox/faults", json=order).json()
        assert made["ids"] == [1]
        assert wire.http.get("/_sandbox/faults").json()["faults"][0]["kind"] == "http_500"
        assert wire.http.post("/_sandbox/faults", json={"kind": "?"}).status_code == 400
        assert wire.http.post("/_sandbox/faults", content=b"rubbish").status_code == 400
        assert wire.send("GET", "me").status_code == 500
        wire.http.post("/_sandbox/faults", json=[order, order])
        assert wire.http.delete("/_sandbox/faults").json() == {"cleared": 2}
        body = wire.http.get("/_sandbox/journal", params={"platform": "meta"}).json()
        assert body["count"] == 1
        assert body["requests"][0]["status"] == 500
        assert wire.http.get("/_sandbox/journal", params={"platform": "other"}).json()["count"] == 0
        assert wire.http.delete("/_sandbox/journal").json() == {"cleared": 1}
        before = sandbox.clock.now()
        wire.http.post("/_sandbox/clock", json={"advance": 3600})
        assert (sandbox.clock.now() - before).total_seconds() >= 3600
        assert wire.http.post("/_sandbox/clock", json={"advance": -1}).status_code == 400
        assert wire.http.post("/_sandbox/clock", json={}).status_code == 400
        wire.http.close()


def test_the_journal_keeps_no_secret(wire: Wire, sandbox: Sandbox) -> None:
    act = wire.accounts()["EUR"]
    wire.get(act, token=None, access_token="sandbox-token", appsecret_proof="0" * 64)
    wire.get(
        "debug_token", token=None, access_token="1001|sandbox-secret", input_token="sandbox-token"
    )
    items = [{"method": "GET", "relative_url": f"{act}?access_token=sandbox-token-some"}]
    wire.send("POST", "", token=None, access_token="sandbox-token", batch=items)
    text = json.dumps(sandbox.journal.entries())
    assert not [secret for secret in sandbox.secrets() if secret in text]
    assert "***" in text


def test_the_journal_counts_rows_and_bytes(wire: Wire, sandbox: Sandbox) -> None:
    act = wire.accounts()["EUR"]
    sandbox.journal.clear()
    reply = wire.send("GET", f"{act}/ads", limit="7")
    run = wire.submit(act)
    wire.get(f"{run}/insights")
    first, second, third = sandbox.journal.entries("meta")
    assert (first["rows"], first["bytes"], first["status"]) == (7, len(reply.content), 200)
    assert first["params"] == {"limit": "7"}
    assert second["report_run_id"] == third["report_run_id"] == run


def test_an_unknown_platform_is_not_found(wire: Wire) -> None:
    assert wire.http.get("/nowhere/v1").status_code == 404
    assert wire.http.get("/_sandbox/nothing").status_code == 404
    assert wire.http.get("/").status_code == 404


def test_the_sandbox_imports_nothing_of_ours() -> None:
    own = "airflow_provider_liftos.sandbox"
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name.startswith("airflow"):
                    assert name.startswith(own), f"{path.name} imports {name}"


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys; import airflow_provider_liftos.sandbox, airflow_provider_liftos.sandbox.cli;"
        "print([m for m in ('starlette', 'uvicorn', 'msgspec', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_modules_stay_small() -> None:
    for path in ROOT.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, path


def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    port, secrets = free_port(), tmp_path / "secrets"
    command = [
        sys.executable,
        "-c",
        "import sys; from airflow_provider_liftos.sandbox.cli import main; sys.exit(main())",
    ]
    options = ["serve", "--http", f"127.0.0.1:{port}", "--grpc", "127.0.0.1:0", "--seed", "3"]
    process = subprocess.Popen(
        [*command, *options, "--report-seconds", "0", "--secrets-file", str(secrets)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        transport = httpx2.HTTPTransport(retries=8)
        with httpx2.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=60, transport=transport
        ) as http:
            assert http.get("/_sandbox/health").json()["seed"] == 3
            ask = {
                "grant_type": "fb_exchange_token",
                "client_id": "1001",
                "client_secret": "sandbox-secret",
            }
            body = http.get(
                "/meta/v26.0/oauth/access_token",
                params={**ask, "fb_exchange_token": "sandbox-token"},
            )
            lines = secrets.read_text(encoding="utf-8").splitlines()
        assert {"sandbox-token", "sandbox-secret", body.json()["access_token"]} <= set(lines)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@pytest.mark.parametrize("address", ["0.0.0.0:8650", "example.com:80", "127.0.0.1"])
def test_the_command_stays_on_loopback(address: str) -> None:
    with pytest.raises(SystemExit, match="liftos-sandbox"):
        main(["serve", "--http", address])


def test_times_in_the_journal_are_the_sandboxs(own: Sandbox, own_wire: Wire) -> None:
    own.clock.advance(86_400)
    own_wire.get("me")
    assert re.match("2026-11-22T11:00:00", own.journal.entries()[-1]["time"])
