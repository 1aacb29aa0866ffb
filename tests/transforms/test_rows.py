from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_liftos.model.report import Level, Report
from airflow_provider_liftos.platforms.meta import insights
from airflow_provider_liftos.transforms import unify
from tests.engine.harness import META, basic
from tests.transforms.bench import Bench, row

CAMPAIGN = insights.check(basic(Level.CAMPAIGN))
BY_AGE = insights.check(META.preset("demographics_age", Level.CAMPAIGN))


def purchases(value: Any, **more: Any) -> list[dict[str, Any]]:
    return [
        {"action_type": "link_click", "value": "9"},
        {"action_type": "purchase", "value": value, **more},
    ]


def test_numbers_and_texts_are_the_same_values(bench: Bench) -> None:
    texts = row(
        campaign_id="6001", impressions="489", spend="0.71", reach="473", actions=purchases("3")
    )
    numbers = row(campaign_id=6001, impressions=489, spend=0.71, reach=473, actions=purchases(3))
    one = bench.rows(bench.normalize(CAMPAIGN, [texts]))
    assert one == bench.rows(bench.normalize(CAMPAIGN, [numbers]))
    assert len(one) == 1


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("1e-6", "0.000001"), (1e-6, "0.000001"), ("0.000001", "0.000001"), ("-0.5", "-0.5"),
        ("999999999999.999999", "999999999999.999999"), ("1.005", "1.005"), (0, "0"),
    ],
)  # fmt: skip
def test_money_is_exact(bench: Bench, raw: Any, expected: str) -> None:
    done = bench.normalize(CAMPAIGN, [row(spend=raw)])
    assert bench.rows(done, "spend") == [(Decimal(expected),)]
    assert done.unreadable == 0


@pytest.mark.parametrize(
    "raw", ["NaN", "Infinity", "1,5", "1e400", "99999999999999999999", "", "abc", True, {"a": 1}]
)
@pytest.mark.parametrize("column", ["spend", "impressions", "frequency"])
def test_what_is_no_number_is_unknown_and_counted(bench: Bench, raw: Any, column: str) -> None:
    done = bench.normalize(CAMPAIGN, [row(**{column: raw})])
    assert bench.rows(done, column) == [(None,)]
    assert done.unreadable == 1
    assert "1 values are not what their column holds" in done.warnings[0]


def test_a_conversion_that_is_no_number_is_unknown_and_not_zero(bench: Bench) -> None:
    bench.options = {"conversion_actions": [["purchase"], ["lead"]]}
    both = [*purchases("2"), {"action_type": "lead", "value": "1"}]
    done = bench.normalize(
        CAMPAIGN,
        [
            row(actions=both),
            row(campaign_id="6002", actions=purchases("NaN")),
            row(campaign_id="6003"),
        ],
    )
    assert bench.rows(done, "campaign_id, conversions") == [
        ("6001", Decimal(3)), ("6002", None), ("6003", Decimal(0)),
    ]  # fmt: skip
    assert done.unreadable == 1
    bench.options = {}
    assert bench.normalize(CAMPAIGN, [row(actions=purchases("NaN"))]).unreadable == 1


def test_a_purchase_under_several_names_counts_once(bench: Bench) -> None:
    names = ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase")
    actions = [{"action_type": name, "value": str(n)} for n, name in enumerate(names, start=5)]
    done = bench.normalize(CAMPAIGN, [row(actions=actions)])
    assert bench.rows(done, "conversions") == [(Decimal(6),)]


def test_each_attribution_window_is_a_row(bench: Bench) -> None:
    report = insights.check(
        basic(Level.CAMPAIGN, attribution_windows=("default", "7d_click", "1d_view"))
    )
    actions = purchases("9", **{"7d_click": "7", "1d_view": "2"})
    done = bench.normalize(report, [row(actions=actions)])
    assert bench.rows(done, "attribution_window, conversions") == [
        ("1d_view", Decimal(2)), ("7d_click", Decimal(7)), ("default", Decimal(9)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "one", [9007199254740993, 18446744073709551617, "00123", 120200001000026243]
)
def test_ids_keep_every_digit(bench: Bench, one: Any) -> None:
    done = bench.normalize(CAMPAIGN, [row(campaign_id=one)])
    assert bench.rows(done, "campaign_id") == [(str(one),)]


@pytest.mark.parametrize(
    "name",
    ["'; DROP TABLE x;--", 'a "quoted" name', "line\nbreak", "tab\there", "نورث 🗼", "a\x00b", "{}", "x" * 5000, "\\", ""],
    ids=range(10),
)  # fmt: skip
def test_names_come_through_as_they_are(bench: Bench, name: str) -> None:
    done = bench.normalize(CAMPAIGN, [row(campaign_name=name)])
    assert bench.rows(done, "campaign_name") == [(name,)]


@pytest.mark.parametrize(
    "bad",
    [{"date_start": None}, {"date_start": "soon"}, {"campaign_id": None}, {"campaign_id": ""}],
)
def test_a_row_without_its_day_or_id_is_a_letter_and_counted(
    bench: Bench, bad: dict[str, Any]
) -> None:
    done = bench.normalize(
        CAMPAIGN, [row(), {**row(**bad), **{k: v for k, v in bad.items() if v is not None}}]
    )
    assert (len(bench.rows(done)), done.rejected) == (1, 1)
    ((reason, line),) = bench.letters
    assert next(iter(bad)) in reason
    assert "Spring" in line


@pytest.mark.parametrize(
    "line",
    [b"null", b"[1]", b'"x"', b"7", b'{"actions": "none", "campaign_id": "1", "date_start": "2026-11-20"}',
     b'{"actions": [1], "campaign_id": "1", "date_start": "2026-11-20"}', b"{}"],
)  # fmt: skip
def test_a_row_that_is_no_row_is_a_letter_and_the_others_stay(bench: Bench, line: bytes) -> None:
    done = bench.normalize(CAMPAIGN, [row(), line, row(campaign_id=6002, spend=0.1)])
    assert bench.rows(done, "campaign_id, spend") == [
        ("6001", Decimal("1.5")),
        ("6002", Decimal("0.1")),
    ]
    assert done.rejected == len(bench.letters) == 1
    assert done.warnings


@pytest.mark.parametrize("odd", [b'"\\ud800x"', b'"a", "campaign_name": "b"'])
def test_a_row_that_only_the_fast_way_cannot_read_is_kept(bench: Bench, odd: bytes) -> None:
    line = json.dumps(row()).encode().replace(b'"Spring"', odd)
    done = bench.normalize(CAMPAIGN, [line, row(campaign_id="6002")])
    assert len(bench.rows(done)) == 2
    assert (done.rejected, bench.letters) == (0, [])


def test_rows_that_came_twice_are_kept_once_and_counted(bench: Bench) -> None:
    done = bench.normalize(CAMPAIGN, [row(), row(campaign_id="6002")], [row()])
    assert (len(bench.rows(done)), done.duplicates) == (2, 1)
    assert "came twice" in done.warnings[0]


def test_rows_of_one_key_with_other_content_are_left_to_the_audit(bench: Bench) -> None:
    done = bench.normalize(CAMPAIGN, [row(), row(spend="9")])
    assert (len(bench.rows(done)), done.duplicates) == (2, 0)


def test_a_row_that_came_twice_does_not_double_its_actions(bench: Bench) -> None:
    report = insights.check(META.preset("action_type", Level.CAMPAIGN))
    one = row(actions=purchases("4"), action_values=purchases("80.5"))
    done = bench.normalize(report, [one, one])
    found = bench.rows(done, "breakdown_key, actions, actions_value")
    assert found == [
        ("action_type=link_click", Decimal(9), Decimal(9)),
        ("action_type=purchase", Decimal(4), Decimal("80.5")),
    ]
    assert done.duplicates == 1


def test_a_missing_breakdown_value_is_kept_apart_and_not_dropped(bench: Bench) -> None:
    done = bench.normalize(BY_AGE, [row(age="18-24"), row(age="25 & up=x"), row()])
    assert bench.rows(done, "breakdown_key") == [
        ("age",),
        ("age=18-24",),
        ("age=25%20%26%20up%3Dx",),
    ]
    assert done.rejected == 0


def test_fields_that_came_apart_are_one_row_even_if_a_name_changed_meanwhile(bench: Bench) -> None:
    base = {"impressions": None, "clicks": None, "spend": None}
    first = row(**base | {"spend": "2.5"})
    second = row(**base | {"impressions": "7"}, campaign_name="Renamed")
    done = bench.normalize(CAMPAIGN, [first, row(campaign_id="2")], [second], merge=True)
    found = bench.rows(done, "campaign_id, spend, impressions")
    assert found == [("2", Decimal("1.5"), 100), ("6001", Decimal("2.5"), 7)]


def test_absent_metrics_are_zero_and_absent_counts_of_people_unknown(bench: Bench) -> None:
    done = bench.normalize(CAMPAIGN, [row(impressions=None, clicks=None, spend=None)])
    found = bench.rows(done, "impressions, clicks, spend, conversions, reach, frequency")
    assert found == [(0, 0, Decimal(0), Decimal(0), None, None)]


def test_metrics_that_were_not_asked_for_are_unknown(bench: Bench) -> None:
    report = insights.check(Report(name="own", level=Level.CAMPAIGN, metrics=("spend",)))
    done = bench.normalize(report, [row(impressions=None)])
    assert bench.rows(done, "spend, impressions, conversions") == [(Decimal("1.5"), None, None)]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-10-25", 25), ("Europe/Berlin", "2026-03-29", 23),
        ("Australia/Lord_Howe", "2026-10-04", 23.5), ("Asia/Kathmandu", "2026-10-04", 24),
        ("", "2026-10-25", 24),
    ],
)  # fmt: skip
def test_a_day_is_as_long_as_it_is_there(bench: Bench, zone: str, day: str, hours: float) -> None:
    bench.zone = zone
    done = bench.normalize(CAMPAIGN, [row(date_start=day, date_stop=day)])
    ((seconds, where),) = bench.rows(
        done, "epoch(day_end_utc) - epoch(day_start_utc), account_timezone"
    )
    assert (seconds / 3600, where) == (hours, zone or "UTC")


@pytest.mark.parametrize(("day", "estimated"), [("2026-10-23", False), ("2026-10-25", True)])
def test_days_that_still_move_are_marked(bench: Bench, day: str, estimated: bool) -> None:
    done = bench.normalize(CAMPAIGN, [row(date_start=day, date_stop=day)])
    assert bench.rows(done, "is_estimated") == [(estimated,)]


@pytest.mark.parametrize(
    ("currency", "budget"),
    [
        ("EUR", "50.00"),
        ("JPY", "5000"),
        ("KWD", "50.00"),
        ("COP", "5000"),
        ("HUF", "5000"),
        ("", "50"),
    ],
)
def test_budgets_are_told_in_whole_units_of_the_currency(
    bench: Bench, currency: str, budget: str
) -> None:
    bench.currency = currency
    given = {"id": "1", "name": "x", "daily_budget": "5000"}
    done = bench.normalize("campaigns", [given, given])
    assert bench.rows(done, "daily_budget") == [(Decimal(budget),)]


def pictured(address: str) -> dict[str, Any]:
    return {"id": "1", "object_story_spec": {"video_data": {"image_url": address, "title": "x?y"}}}


PICTURED = pictured("https://scontent.xx.fbcdn.net/v/1_n.png?oh=00_a&oe=1")
SIGNED_ANEW = pictured("https://scontent-fra3-1.xx.fbcdn.net/v/1_n.png?oh=00_b&oe=2")
ANOTHER_PICTURE = pictured("https://scontent.xx.fbcdn.net/v/2_n.png?oh=00_a&oe=1")


def test_addresses_in_details_lose_their_signature_and_nothing_else(bench: Bench) -> None:
    line = json.dumps(SIGNED_ANEW).replace("/", "\\/").encode()
    (one, two) = (
        bench.rows(bench.normalize("creatives", [r]), "details") for r in (PICTURED, line)
    )
    assert one == two
    spec = json.loads(one[0][0])["object_story_spec"]
    assert spec == {
        "video_data": {"image_url": "https://scontent.xx.fbcdn.net/v/1_n.png", "title": "x?y"}
    }


@pytest.mark.parametrize(
    ("stream", "told", "moved", "same"),
    [
        ("campaigns", {"id": "1", "daily_budget": "2000"}, {"budget_remaining": "77"}, True),
        ("campaigns", {"id": "1", "daily_budget": "2000"}, {"daily_budget": "3000"}, False),
        ("accounts", {"account_id": "501"}, {"amount_spent": "5", "balance": "9"}, True),
        ("accounts", {"account_id": "501"}, {"spend_cap": "9"}, False),
        ("audiences", {"id": "1"}, {"approximate_count_upper_bound": 7}, True),
        ("audiences", {"id": "1"}, {"description": "VIP"}, False),
        ("creatives", {"id": "1"}, {"image_url": "https://a.fbcdn.net/1.png?oh=2"}, True),
        ("creatives", {"id": "1"}, {"image_hash": "beef"}, False),
        ("creatives", PICTURED, SIGNED_ANEW, True),
        ("creatives", PICTURED, ANOTHER_PICTURE, False),
    ],
)
def test_a_digest_is_of_what_a_person_has_set(
    bench: Bench, stream: str, told: dict[str, Any], moved: dict[str, Any], same: bool
) -> None:
    digests = {
        bench.rows(bench.normalize(stream, [row_]), "row_hash")[0] for row_ in (told, told | moved)
    }
    assert (len(digests) == 1) is same


def test_an_entity_that_came_on_two_pages_is_as_it_came_last(bench: Bench) -> None:
    first = [{"id": str(n), "budget_remaining": "100", "name": "old"} for n in range(3000)]
    again = [{"id": "7", "budget_remaining": "90", "name": "old"}, {"id": "8", "name": "new"}]
    done = bench.normalize("campaigns", first, [*again, {"name": "nobody"}])
    found = bench.rows(done, "campaign_id, name, budget_remaining")
    assert len(found) == 3000
    assert [r for r in found if r[0] in {"7", "8"}] == [
        ("7", "old", Decimal("0.9")),
        ("8", "new", None),
    ]
    assert (done.duplicates, done.rejected, len(bench.letters)) == (2, 1, 1)
    assert any("2 entities came again" in text for text in done.warnings)


@pytest.mark.parametrize("line", [b'["odd"]', b"null", b"7", b'{"name": "N"}', b'{"id": ""}'])
def test_an_entity_that_is_none_is_a_letter_and_the_others_stay(bench: Bench, line: bytes) -> None:
    done = bench.normalize("campaigns", [{"id": "1", "name": "A"}, line, {"id": 2, "name": "B"}])
    assert bench.rows(done, "campaign_id, name") == [("1", "A"), ("2", "B")]
    assert done.rejected == len(bench.letters) == 1
    assert done.warnings
    assert done.status == "complete"


@pytest.mark.parametrize("asked", ["campaigns", CAMPAIGN])
def test_a_slice_without_hope_fails_alone(
    bench: Bench, asked: Report | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unify, "_source", lambda _raw, _files: "nowhere")
    done = bench.normalize(asked, [row()])
    assert (done.status, done.staged) == ("failed", ())
    assert "cannot be normalized" in done.error


def test_rows_finer_than_the_report_are_added_up_and_copies_are_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapping = replace(
        META.mapping(Report(metrics=("impressions", "spend", "cpc")), {}),
        apart=("date_stop",), added=("impressions", "spend", "cpc"),
    )  # fmt: skip
    fine = replace(META, mapping=lambda _report, _facts: mapping)
    monkeypatch.setattr("tests.transforms.bench.META", fine)
    one, two = row(impressions=3, spend="0.10", cpc=1.5), row(impressions=4, spend=0.2, cpc=2)
    two["date_stop"], two["campaign_name"] = "2026-11-21", "Renamed"
    done = bench.normalize(Report(metrics=("impressions", "spend", "cpc")), [one, two, one])
    (found,) = bench.rows(done, "impressions, spend, extra_metrics")
    assert (found[0], str(found[1])) == (7, "0.300000")
    assert json.loads(found[2]) == {"cpc": "3.5"}
    assert done.duplicates == 1
