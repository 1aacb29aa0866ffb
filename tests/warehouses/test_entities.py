"""Snapshots of entities become versions in time."""

from __future__ import annotations

import pytest

from airflow_provider_liftos.model.errors import ConfigurationError, WarehouseError
from airflow_provider_liftos.model.report import Ids
from airflow_provider_liftos.warehouses.progress import listed
from tests.warehouses.staging import (
    ACCOUNT,
    NOON,
    ORG,
    PLATFORM,
    Lab,
    entity_row,
    manifest,
    result,
    stream_slice,
)

HOUR = 3600.0


def publish(lab: Lab, load: int, *rows: tuple[str, str], hour: float | None = None, **parts):
    as_of = NOON + HOUR * (load if hour is None else hour)
    made = [entity_row(*row) for row in rows]
    return lab.publish(
        stream_slice(), made, load_id=f"load-{load}", as_of=as_of, table="campaigns", **parts
    )


def versions(lab: Lab) -> list[tuple]:
    """Campaign, digest, first and last hour, deleted."""
    return lab.warehouse.query(
        "SELECT campaign_id, row_hash, (extract(epoch FROM valid_from) - CAST(? AS BIGINT)) / 3600,"
        " (extract(epoch FROM valid_to) - CAST(? AS BIGINT)) / 3600, is_deleted FROM liftos.campaigns"
        " ORDER BY campaign_id, valid_from, valid_to",
        [NOON, NOON],
    )


def test_a_first_snapshot_opens_a_version_for_every_id(lab):
    published = publish(lab, 1, ("a", "x"), ("b", "y"))
    assert (published.rows_before, published.rows_after) == (0, 2)
    assert versions(lab) == [("a", "x", 1, None, False), ("b", "y", 1, None, False)]
    assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.campaigns") == [(0,)]


def test_the_same_snapshot_again_changes_nothing(lab):
    publish(lab, 1, ("a", "x"), ("b", "y"))
    before = lab.warehouse.checksum("campaigns")
    publish(lab, 2, ("b", "y"), ("a", "x"))
    publish(lab, 2, ("b", "y"), ("a", "x"))
    assert lab.warehouse.checksum("campaigns") == before


def test_a_change_closes_the_old_version_and_opens_a_new_one(lab):
    publish(lab, 1, ("a", "x"), ("b", "y"))
    publish(lab, 2, ("a", "x2"), ("b", "y"))
    assert versions(lab) == [
        ("a", "x", 1, 2, False),
        ("a", "x2", 2, None, False),
        ("b", "y", 1, None, False),
    ]


def test_what_changes_by_itself_makes_no_version_but_is_up_to_date(lab):
    def budget(load: int, left: str, digest: str = "x") -> None:
        rows = [entity_row("a", digest, daily_budget="20", budget_remaining=left)]
        lab.publish(
            stream_slice(), [*rows, entity_row("b", "y")], load_id=f"load-{load}",
            as_of=NOON + HOUR * load, table="campaigns",
        )  # fmt: skip

    def left() -> list[tuple]:
        return lab.warehouse.query(
            "SELECT row_hash, budget_remaining::INTEGER, load_id,"
            " (extract(epoch FROM as_of) - CAST(? AS BIGINT)) / 3600, valid_to IS NULL FROM liftos.campaigns WHERE campaign_id = 'a' ORDER BY valid_from",
            [NOON],
        )

    budget(1, "20")
    budget(2, "5")
    assert left() == [("x", 5, "load-2", 2, True)]
    assert versions(lab)[0] == ("a", "x", 1, None, False)
    unmoved = lab.warehouse.checksum("campaigns")
    budget(3, "5")
    assert lab.warehouse.checksum("campaigns") == unmoved
    budget(4, "9", digest="x2")
    budget(5, "7", digest="x2")
    assert left() == [("x", 5, "load-2", 2, False), ("x2", 7, "load-5", 5, True)]


def test_a_vanished_id_is_currently_deleted_and_comes_back_as_a_new_version(lab):
    publish(lab, 1, ("a", "x"), ("b", "y"))
    published = publish(lab, 2, ("b", "y"))
    assert (published.rows_before, published.rows_after) == (2, 1)
    gone = [("a", "x", 1, 2, False), ("a", "x", 2, None, True), ("b", "y", 1, None, False)]
    assert versions(lab) == gone
    publish(lab, 3, ("b", "y"))
    assert versions(lab) == gone
    publish(lab, 4, ("a", "x"), ("b", "y"))
    assert versions(lab)[:3] == [
        ("a", "x", 1, 2, False),
        ("a", "x", 2, 4, True),
        ("a", "x", 4, None, False),
    ]


def test_there_is_never_more_than_one_current_version_of_an_id(lab):
    for load, digest in enumerate("xxyxz", start=1):
        publish(lab, load, *([("a", digest)] if load != 3 else []), ("b", digest))
        current = lab.warehouse.query(
            "SELECT campaign_id FROM liftos.campaigns WHERE valid_to IS NULL ORDER BY 1"
        )
        assert current == [("a",), ("b",)]


def test_an_older_snapshot_changes_nothing_even_where_a_newer_one_changed_nothing(lab):
    publish(lab, 1, ("a", "x"))
    publish(lab, 3, ("a", "x"))
    before = lab.warehouse.checksum("campaigns")
    published = publish(lab, 2, ("a", "other"), ("b", "y"))
    assert published.outdated
    assert lab.warehouse.checksum("campaigns") == before
    assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.campaigns") == [(0,)]


def test_a_corrected_snapshot_of_the_same_moment_leaves_no_empty_versions(lab):
    publish(lab, 1, ("a", "wrong"), ("b", "y"), hour=1)
    publish(lab, 2, ("a", "right"), hour=1)
    publish(lab, 3, ("a", "right"), hour=1)
    assert versions(lab) == [("a", "right", 1, None, False), ("b", "y", 1, None, True)]


def test_an_empty_snapshot_means_that_nothing_is_left(lab):
    publish(lab, 1, ("a", "x"))
    publish(lab, 2)
    assert [v[0] for v in versions(lab) if v[4] and v[3] is None] == ["a"]


def test_publishing_a_snapshot_twice_changes_nothing_although_its_audit_rows_are_gone(lab):
    publish(lab, 1, ("a", "x"))
    before = lab.warehouse.checksum("campaigns")
    done = lab.staged(stream_slice(), [entity_row("a", "x")], as_of=NOON + HOUR, table="campaigns")
    lab.warehouse.publish(done, "load-1", ORG, NOON)
    assert lab.warehouse.checksum("campaigns") == before
    with pytest.raises(WarehouseError, match="holds 0 of its 1 rows"):
        lab.warehouse.publish(result(done.slice, *done.staged, as_of=NOON + 9e9), "x", ORG, NOON)


def test_a_failed_snapshot_deletes_nothing(lab):
    publish(lab, 1, ("a", "x"))
    failed = result(stream_slice(), status="failed", as_of=NOON + 2 * HOUR)
    with pytest.raises(WarehouseError, match="failed"):
        lab.warehouse.publish(failed, "load-2", ORG, NOON)
    assert versions(lab) == [("a", "x", 1, None, False)]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([entity_row("a", "x"), entity_row("a", "y")], "1 of its 2 rows repeat an id"),
        ([entity_row("a", "x", account_id="other")], "another account"),
        ([entity_row("a", "x"), entity_row("b", "x", org_id="other")], "another account"),
        ([dict(entity_row("a", "x"), campaign_id=None)], "without an id"),
    ],
)
def test_a_snapshot_that_is_not_one_row_per_id_of_its_account_is_refused(lab, rows, complaint):
    publish(lab, 1, ("a", "x"))
    with pytest.raises(WarehouseError, match=complaint):
        lab.publish(stream_slice(), rows, load_id="l", as_of=NOON + 2 * HOUR, table="campaigns")
    assert versions(lab) == [("a", "x", 1, None, False)]


def test_a_listing_of_some_campaigns_says_nothing_of_the_others(lab):
    def told(load: int, campaigns: tuple[str, ...], *rows: tuple[str, str]):
        cut = stream_slice().narrowed(ids=Ids(values=campaigns))
        made = [entity_row(*row) for row in rows]
        as_of = NOON + HOUR * load
        return lab.publish(cut, made, load_id=f"load-{load}", as_of=as_of, table="campaigns")

    publish(lab, 1, ("a", "x"), ("b", "y"), ("c", "z"))
    assert told(2, ()).rows_after == 3, "nothing changed"
    assert told(3, ("a", "b"), ("a", "x2")).rows_after == 2
    assert versions(lab) == [
        ("a", "x", 1, 3, False),
        ("a", "x2", 3, None, False),
        ("b", "y", 1, 3, False),
        ("b", "y", 3, None, True),
        ("c", "z", 1, None, False),
    ]
    before = lab.warehouse.checksum("campaigns")
    assert told(2, ("c",), ("c", "z2")).outdated
    assert publish(lab, 2, ("a", "x")).outdated, "an older listing knows nothing of the changes"
    told(3, ("a", "b"), ("a", "x2"))
    assert lab.warehouse.checksum("campaigns") == before
    assert listed(lab.warehouse, ORG, PLATFORM) == {(ACCOUNT, "campaigns"): NOON + HOUR}


def test_other_accounts_and_streams_are_untouched(lab):
    publish(lab, 1, ("a", "x"))
    theirs = [entity_row("a", "x", account_id="2002")]
    other = stream_slice(account="2002")
    lab.publish(other, theirs, load_id="o", as_of=NOON + HOUR, table="campaigns")
    account = {k: v for k, v in entity_row("a", "x").items() if k != "campaign_id"}
    account |= {"currency": "EUR", "timezone": "UTC"}
    lab.publish(stream_slice("accounts"), [account], load_id="acc", table="accounts")
    publish(lab, 2)
    alive = lab.warehouse.query(
        "SELECT account_id FROM liftos.campaigns WHERE valid_to IS NULL AND NOT is_deleted"
    )
    assert alive == [("2002",)]
    assert lab.warehouse.query("SELECT account_id FROM liftos.accounts") == [(ACCOUNT,)]


def test_a_stream_of_another_name_says_its_table(lab):
    part = stream_slice("adsets_by_another_name")
    done = lab.staged(part, [entity_row("a", "x")], table="campaigns")
    with pytest.raises(ConfigurationError, match="adsets_by_another_name"):
        lab.warehouse.load(manifest(done))
    assert lab.warehouse.load(manifest(done), lambda _: "campaigns") == 1
    with pytest.raises(ConfigurationError, match="adsets_by_another_name"):
        lab.warehouse.publish(done, "load-1", ORG, NOON)
    lab.warehouse.publish(done, "load-1", ORG, NOON, table="campaigns")
    assert len(versions(lab)) == 1
