"""Nothing that a run leaves behind holds a secret that the platform ever issued.

The same is looked for after all live tests, in everything that Airflow itself keeps.
"""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
import structlog
from airflow.sdk.exceptions import AirflowException, TaskDeferred

from airflow_provider_liftos.hooks import config, observing
from airflow_provider_liftos.hooks.meta import MetaHook
from airflow_provider_liftos.platforms import get
from tests.engine.harness import served
from tests.operators.test_versions import Connected, Google


class Lines(list[dict[str, Any]]):
    """Airflow's own logger, with debug switched on."""

    def debug(self, event: str, **fields: Any) -> None:
        self.append({"event": event, **fields})


@pytest.fixture
def fields(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """What goes to Airflow's own logger, as fields."""
    captured = Lines()
    get = structlog.get_logger
    monkeypatch.setattr(
        structlog, "get_logger",
        lambda *names, **bound: (
            captured if names == ("airflow_provider_liftos.requests",) else get(*names, **bound)
        ),
    )  # fmt: skip
    return captured


def cells(url: str) -> str:
    """Every value of every table."""
    engine, out = sa.create_engine(url), io.StringIO()
    with engine.connect() as connection:
        for name in sa.inspect(engine).get_table_names():
            for row in connection.execute(sa.text(f'SELECT * FROM "{name}"')):
                out.write(f"{name} {tuple(row)!r}\n")
    engine.dispose()
    return out.getvalue()


def content(path: Path) -> bytes:
    if path.suffix == ".zst":
        import pyarrow as pa

        with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
            return stream.read()
    return path.read_bytes()


def everything(liftos: Any, caplog: Any, fields: Any, told: list[Any]) -> dict[str, bytes]:
    texts = {
        str(path): content(path)
        for path in liftos.folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }
    texts["state store"] = cells(f"sqlite:///{liftos.folder / 'state.db'}").encode()
    texts["log"] = caplog.text.encode()
    texts["fields of logs"] = repr(fields).encode()
    texts["XCom and triggers"] = json.dumps(told, default=repr).encode()
    return texts


def issued(liftos: Any) -> list[bytes]:
    answer = httpx2.get(f"{liftos.sandbox.url}/_sandbox/secrets", trust_env=False)
    return [value.encode() for value in answer.json()["secrets"]]


def test_a_run_leaves_no_secret_anywhere(liftos, caplog, fields):
    pytest.importorskip("google.ads.googleads")
    caplog.set_level(logging.DEBUG)
    liftos.set("wire_log", str(liftos.folder / "wire"))
    liftos.set("credential_keys", "")
    google = served(liftos.sandbox, get("google_ads"))
    host = f"{liftos.sandbox.url}/google_ads"
    for transport in ("grpc", "rest"):
        liftos.connect(
            transport, conn_type="liftosgoogleads", host=host,
            extra={**google, "transport": transport},
        )  # fmt: skip
    liftos.connect("refused", token="sandbox-token-expired")
    told: list[Any] = [MetaHook().test_connection(), MetaHook("refused").test_connection()]
    runs = [
        Connected(liftos, "liftos_meta_default"),
        Google(liftos, "grpc"),
        Google(liftos, "rest"),
    ]
    liftos.sandbox.faults.add(kind="http_500", platform="meta", times=2, match="insights")
    for run in runs:
        [batch] = run.plan()
        try:
            run.extract(batch, deferrable=True).execute(run.context("extract"))
        except TaskDeferred as pause:
            told.append(pause.trigger.serialize())
        told += [batch, run.fetched(batch)]
    with pytest.raises(AirflowException) as caught:
        Connected(liftos, "refused").plan()
    told.append(caught.value)
    texts = everything(liftos, caplog, fields, told)
    secrets = issued(liftos)
    assert len(secrets) > 8
    assert any(b"/wire/" in name.encode() and b"search" in texts[name] for name in texts)
    assert b"liftos.request" in texts["fields of logs"]
    assert b"extract" in texts["state store"]
    account = runs[0].params["accounts"][0].encode()
    assert sum(account in text for text in texts.values()) > 5, "the search finds nothing at all"
    leaks = [(name, secret) for name, text in texts.items() for secret in secrets if secret in text]
    assert leaks == []


def test_lines_of_a_task_are_fields_with_the_id_of_the_run(liftos, caplog, fields):
    caplog.set_level(logging.DEBUG)
    run = Connected(liftos, "liftos_meta_default")
    [batch] = run.plan()
    run.fetched(batch)
    lines = [line for line in fields if line["event"] == "liftos.request"]
    assert {line["platform"] for line in lines} == {"meta"}
    assert {line["run"] for line in lines} == {
        observing.load_id("dag", run.conn_id, "extract", "meta", run.conn_id)
    }
    entry = run.entries("extract")[0]
    http = entry.detail["http"]
    assert http["opened"] + http["reused"] == entry.work.requests
    assert http["bytes"] > 0


def test_metrics_are_airflows(liftos, monkeypatch):
    from airflow.sdk.observability.stats import Stats

    seen: list[tuple[str, dict]] = []
    for kind in ("incr", "timing", "gauge"):
        monkeypatch.setattr(
            Stats, kind, staticmethod(lambda name, *_, tags=None, **__: seen.append((name, tags)))
        )
    liftos.sandbox.faults.add(kind="http_500", platform="meta", times=1, match="insights")
    run = Connected(liftos, "liftos_meta_default")
    [batch] = run.plan()
    run.extract(batch, deferrable=True)
    run.fetched(batch)
    names = {name for name, _ in seen}
    assert {"liftos.requests", "liftos.request", "liftos.retries", "liftos.queue"} <= names
    assert {tags["platform"] for _, tags in seen} == {"meta"}


def test_the_wire_log_is_off_unless_a_folder_is_named(liftos):
    for off in ("", "off", " OFF "):
        liftos.set("wire_log", off)
        assert observing.wire_log() is None
    liftos.set("wire_log", str(liftos.folder / "w"))
    assert observing.wire_log() is not None
    assert config.text("wire_log").endswith("/w")
