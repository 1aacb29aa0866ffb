"""Ad groups and ads of Google Ads are read where something changed since they were listed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from shutil import copy

import pytest

from airflow_provider_liftos.engine import plan
from airflow_provider_liftos.engine.manifest import Manifest
from airflow_provider_liftos.model.report import Ids, Slice
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.platforms.google_ads import changes
from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.warehouses.progress import listed
from tests.engine.harness import Harness, last

pytest.importorskip("google.ads.googleads")

GOOGLE = get("google_ads")
STREAMS = ("ad_groups", "ads")
DAY = 86_400
HOURS = 3600
TOLD = ["change_status", "change_status"]
LISTED = ["ad_group", "ad_group_ad"]


class Shop(Harness):
    """An account whose entities are brought again and again."""

    runs = 0

    def cuts(self, *, full: bool = False) -> list[Slice]:
        known = {} if full else listed(self.warehouse, "default", "google_ads")
        account = self.accounts[1]
        since = {stream: at for (owner, stream), at in known.items() if owner == account.account_id}
        return plan.slices(
            GOOGLE, [(account, last(1))], [], STREAMS, 30, listed={account.account_id: since}
        )

    def bring(self, *, full: bool = False) -> Manifest:
        self.runs += 1
        self.scope = f"dag/run{self.runs}/extract/-1"
        self.sandbox.journal.clear()
        done = self.extract(self.cuts(full=full), load_id=f"load{self.runs}")
        assert not done.failed, done.failed
        return self.publish(done)

    def asked(self) -> list[str]:
        """The resources of the last run's queries, by name."""
        queries = [entry.get("query", "") for entry in self.sandbox.journal.entries()]
        return sorted(query.partition(" FROM ")[2].split()[0] for query in queries if query)

    def current(self, table: str) -> dict[str, tuple[str, str, bool]]:
        """What is published of each entity: digest, status, whether it is gone."""
        key = table.removesuffix("s") + "_id"
        rows = self.warehouse.query(
            f"SELECT {key}, row_hash, status, is_deleted FROM liftos.{table}"
            " WHERE valid_to IS NULL AND account_id = ?", (self.accounts[1].account_id,)
        )  # fmt: skip
        assert len({row[0] for row in rows}) == len(rows)
        return {row[0]: row[1:] for row in rows}


@pytest.fixture
def shop(tmp_path: Path, own_sandbox: Sandbox, prepared: Path) -> Iterator[Shop]:
    copy(prepared, tmp_path)
    made = Shop(sandbox=own_sandbox, folder=tmp_path, platform=GOOGLE)
    yield made
    made.close()


class Killed(BaseException):
    """What a test takes a task's life with."""


def test_an_account_without_changes_costs_one_request_per_stream(shop: Shop) -> None:
    shop.bring()
    assert shop.asked() == LISTED
    before = {table: shop.warehouse.checksum(table) for table in STREAMS}
    shop.pass_time(8 * HOURS)
    done = shop.bring()
    assert shop.asked() == TOLD
    assert [cut.slice.ids for cut in done.slices] == [Ids(values=())] * 2
    assert {table: shop.warehouse.checksum(table) for table in STREAMS} == before


def test_changes_make_the_versions_that_a_listing_would_have_made(shop: Shop) -> None:
    shop.bring()
    first = {table: shop.current(table) for table in STREAMS}
    total = sum(map(len, first.values()))
    for _ in range(6):
        shop.pass_time(DAY)
        done = shop.bring()
        assert shop.asked() == sorted(TOLD + LISTED)
        assert 0 < done.rows < total, "only some of them are read"
    told = {table: shop.current(table) for table in STREAMS}
    changed = [key for key, was in first["ads"].items() if told["ads"][key] != was]
    ended = [key for key in changed if told["ads"][key][1] == "REMOVED"]
    assert len(changed) < len(first["ads"])
    assert len(ended) > 3
    versions = {table: shop.warehouse.checksum(table) for table in STREAMS}
    shop.bring(full=True)
    assert shop.asked() == LISTED
    assert {table: shop.current(table) for table in STREAMS} == told
    assert {table: shop.warehouse.checksum(table) for table in STREAMS} == versions


def test_what_was_told_is_no_listing_to_begin_from(shop: Shop) -> None:
    shop.bring()
    known = listed(shop.warehouse, "default", "google_ads")
    shop.pass_time(DAY)
    shop.bring()
    assert listed(shop.warehouse, "default", "google_ads") == known
    shop.bring(full=True)
    assert set(listed(shop.warehouse, "default", "google_ads").values()) == {shop.clock.now()}


@pytest.mark.parametrize("limit", ["_MOST_CHANGES", "_MOST_CAMPAIGNS"])
def test_too_many_changes_mean_a_listing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    shop.bring()
    shop.pass_time(DAY)
    monkeypatch.setattr(changes, limit, 1)
    done = shop.bring()
    assert shop.asked() == sorted(TOLD + LISTED)
    assert [(cut.slice.ids, cut.rows) for cut in done.slices] == [(None, 10), (None, 40)]
    assert set(listed(shop.warehouse, "default", "google_ads").values()) == {shop.clock.now()}


def test_changes_that_cannot_be_told_mean_a_listing(shop: Shop) -> None:
    long_ago = shop.clock.now() - 100 * DAY
    cuts = [replace(cut, changed_since=_utc(long_ago)) for cut in shop.cuts()]
    done = shop.extract(cuts)
    assert [(cut.slice.ids, cut.status) for cut in done.slices] == [(None, "complete")] * 2


def test_a_change_without_a_campaign_tells_nothing() -> None:
    rows = [{"change_status.campaign": f"customers/1/campaigns/{n}"} for n in (7, 8, 7)]
    assert changes.CHANGES.campaigns(rows) == {"7", "8"}
    assert changes.CHANGES.campaigns([]) == set()
    assert changes.CHANGES.campaigns([*rows, {"change_status.campaign": ""}]) is None


@pytest.mark.parametrize("moment", ["_put_in_place", "_fetching"])
def test_a_killed_task_goes_on_and_arrives_at_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    shop.bring()
    shop.pass_time(5 * DAY)
    cuts, extraction = shop.cuts(), shop.extraction("killed")
    kind = type(extraction)
    work = getattr(kind, moment)

    def die(self, point, *rest):
        if point.slice.ids or moment == "_put_in_place":
            raise Killed
        return work(self, point, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(kind, moment, die)
        with pytest.raises(Killed):
            extraction.advance(cuts)
    shop.publish(shop.extract(cuts, load_id="killed"))
    told = {table: shop.current(table) for table in STREAMS}
    shop.bring(full=True)
    assert {table: shop.current(table) for table in STREAMS} == told


def test_changes_are_asked_for_by_the_accounts_clock_with_an_hour_and_more_to_spare(
    shop: Shop,
) -> None:
    shop.bring()
    shop.bring()
    [query, _] = [e["query"] for e in shop.sandbox.journal.entries() if "query" in e]
    assert "last_change_date_time >= '2026-11-21 01:55:00'" in query  # 11:00 UTC is 3:00 there
    assert "LIMIT 10000" in query


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
