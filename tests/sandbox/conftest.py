from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from airflow_provider_liftos.sandbox import Sandbox
from tests.sandbox.client import Wire
from tests.sandbox.google_client import GoogleWire
from tests.sandbox.tiktok_client import TikTok

# Noon in Berlin, four in the morning in Los Angeles; both changed their clocks within the data.
NOON = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def shared() -> Iterator[Sandbox]:
    """One sandbox whose clock stands still, for tests that only read or clean up after them."""
    with Sandbox(start=NOON, frozen=True) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared: Sandbox) -> Iterator[Sandbox]:
    shared.faults.clear()
    shared.journal.clear()
    yield shared
    shared.faults.clear()


@pytest.fixture
def wire(sandbox: Sandbox) -> Iterator[Wire]:
    wire = Wire(sandbox)
    yield wire
    wire.http.close()


@pytest.fixture
def google(sandbox: Sandbox) -> Iterator[GoogleWire]:
    wire = GoogleWire(sandbox)
    yield wire
    wire.close()


@pytest.fixture
def own_google(own: Sandbox) -> Iterator[GoogleWire]:
    wire = GoogleWire(own)
    yield wire
    wire.close()


@pytest.fixture
def own() -> Iterator[Sandbox]:
    """A sandbox of one's own, whose time a test may move; reports take a minute."""
    with Sandbox(start=NOON, frozen=True, report_seconds=60) as sandbox:
        yield sandbox


@pytest.fixture
def own_wire(own: Sandbox) -> Iterator[Wire]:
    wire = Wire(own)
    yield wire
    wire.http.close()


@pytest.fixture
def tiktok(sandbox: Sandbox) -> Iterator[TikTok]:
    client = TikTok(sandbox)
    yield client
    client.http.close()


@pytest.fixture
def own_tiktok(own: Sandbox) -> Iterator[TikTok]:
    client = TikTok(own)
    yield client
    client.http.close()
