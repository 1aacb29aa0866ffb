"""The watch: what is late is told, once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import duckdb
import pytest
from airflow.sdk import BaseNotifier

from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.operators.quality_watch import LiftosQualityWatchOperator, _words
from airflow_provider_liftos.quality.freshness import Age
from airflow_provider_liftos.state.alerts import Alerts, Trouble
from tests.operators.test_cross_platform import publish

OLD = date(2026, 1, 5)


class Messenger(BaseNotifier):
    """Writes down what it is to say."""

    template_fields = ("text",)

    def __init__(self, sent: list[str], text: str, *, broken: bool = False) -> None:
        super().__init__()
        self.sent, self.text, self.broken = sent, text, broken

    def notify(self, context) -> None:
        if self.broken:
            raise ConnectionError("no way out")
        self.sent.append(self.text)


@pytest.fixture
def late(liftos, tmp_path):
    publish(liftos, tmp_path, "meta", (OLD,), "a")
    return liftos


def watch(liftos, *notifiers: BaseNotifier, **options) -> dict:
    task = LiftosQualityWatchOperator(task_id="watch", notifiers=notifiers, **options)
    return task.execute(liftos.context("watch"))


def test_late_data_is_told_once_with_what_to_do(late):
    sent: list[str] = []
    messenger = Messenger(sent, "{{ alert_title }}|{{ alert_severity }}|{{ alert_text }}")
    done = watch(late, messenger)
    assert done["watched"]["meta"] == 1
    assert done["oldest_hours"]["meta"] > 1000
    [line] = done["alerts"]
    assert line.startswith("meta account")
    [said] = sent
    title, severity, text = said.split("|")
    assert (title, severity) == ("liftos data freshness: 1 late", "critical")
    assert text.startswith("[critical] meta account")
    assert "liftos_meta" in text
    watch(late, messenger)
    assert len(sent) == 1


def test_what_has_come_is_told_to_be_over(late, tmp_path):
    sent: list[str] = []
    messenger = Messenger(sent, "{{ alert_severity }}: {{ alert_text }}")
    watch(late, messenger)
    today = datetime.fromtimestamp(late.store.clock.now(), UTC).date()
    publish(late, tmp_path, "meta", (today,), "b")
    assert watch(late, messenger)["alerts"] == []
    assert sent[-1].startswith("resolved: [resolved] meta account")
    assert sent[-1].endswith("is up to date again")


def test_a_notifier_that_fails_keeps_nobody_from_being_told_and_is_tried_again(late):
    sent: list[str] = []
    broken = Messenger(sent, "", broken=True)
    fine = Messenger(sent, "{{ alert_text }}")
    for _ in range(3):
        with pytest.raises(ConnectionError):
            watch(late, broken, fine)
    assert len(sent) == 1, "who was told is not told again because another was not"
    broken.broken = False
    watch(late, broken, fine)
    assert len(sent) == 2
    watch(late, broken, fine)
    assert len(sent) == 2


def test_who_alone_was_told_is_told_when_it_is_over_too(late, tmp_path):
    sent: list[str] = []
    broken, fine = Messenger([], "", broken=True), Messenger(sent, "{{ alert_text }}")
    with pytest.raises(ConnectionError):
        watch(late, broken, fine)
    today = datetime.fromtimestamp(late.store.clock.now(), UTC).date()
    publish(late, tmp_path, "meta", (today,), "b")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            watch(late, broken, fine)
    assert len(sent) == 2
    assert sent[-1].startswith("[resolved]")


def accounts(liftos) -> Alerts:
    return Alerts(liftos.store, "default")


def test_an_alert_that_becomes_a_part_of_a_larger_one_is_not_told_to_be_over(late, monkeypatch):
    """And a larger one that falls apart is not over either."""
    sent: list[str] = []
    messenger = Messenger(sent, "{{ alert_text }}")
    now = datetime.fromtimestamp(late.store.clock.now(), UTC)

    def age(account: str, *, is_late: bool) -> Age:
        due = now - timedelta(hours=5) if is_late else now + timedelta(hours=5)
        return Age(platform="meta", account_id=account, account_name="", name="basic:ad",
                   newest=OLD, ended=due, due=due)  # fmt: skip

    def look(**late_ones: bool) -> str:
        found = [age(account, is_late=one) for account, one in late_ones.items()]
        monkeypatch.setattr(LiftosQualityWatchOperator, "_ages", lambda *_: {"meta": found})
        sent.clear()
        watch(late, messenger)
        return "".join(sent)

    assert "account a" in look(a=True, b=False)
    both = look(a=True, b=True)
    assert both.startswith("[medium] meta all 2 accounts")
    assert "resolved" not in both
    one = look(a=False, b=True)
    assert one.startswith("[medium] meta account b")
    assert "resolved" not in one
    assert look(a=False, b=False) == "[resolved] meta account b is up to date again"
    assert look(a=True, b=False).startswith("[medium] meta account a")
    assert look(b=False).startswith("[closed] meta account a has not come, and nobody waits for it")
    assert look(b=False) == ""


def test_alerts_of_platforms_that_are_watched_elsewhere_are_told_there(late):
    sent: list[str] = []
    watch(late)
    assert watch(late, Messenger(sent, "{{ alert_text }}"), platforms=["tiktok"])["alerts"] == []
    assert sent == []


def test_every_organization_is_watched_and_told_by_its_name(late):
    sent: list[str] = []
    copied = (
        "INSERT INTO liftos.loads BY NAME (SELECT * REPLACE ('other' AS org_id) FROM liftos.loads)"
    )
    with duckdb.connect(str(late.folder / "warehouse.duckdb")) as connection:
        connection.execute(copied)
    done = watch(late, Messenger(sent, "{{ alert_title }}"), organizations="all")
    assert sent == ["liftos data freshness: 1 late", "liftos data freshness of other: 1 late"]
    assert (done["watched"]["meta"], len(done["alerts"])) == (2, 2)
    assert list(done["organizations"]) == ["default", "other"]


def test_a_message_has_lines_for_the_gravest_only(liftos):
    alerts = accounts(liftos)
    alerts.report("freshness", ["meta"], [
        Trouble(key=f"k{n}", platform="meta", account_id=str(n), severity="high", text=f"{n}")
        for n in range(40)
    ])  # fmt: skip
    words = _words(alerts.due("freshness", remind_after=1))
    lines = words["alert_text"].splitlines()
    assert (len(lines), lines[-1]) == (26, "and 15 more")
    assert words["alert_title"] == "liftos data freshness: 40 late"


def test_hostile_names_are_escaped_in_markup(liftos, tmp_path):
    alerts = Alerts(liftos.store, "default")
    alerts.report("freshness", ["meta"], [
        Trouble(key="k", platform="meta", account_id="1", severity="high", text="<script>x</script> <!channel>")
    ])  # fmt: skip
    words = _words(alerts.due("freshness", remind_after=1))
    assert "<script>" not in words["alert_html"]
    assert "<script>" in words["alert_text"]
    assert "&lt;!channel&gt;" in words["alert_slack"]
    assert "<" not in words["alert_slack"]


def test_an_empty_warehouse_has_nothing_late(liftos):
    open_warehouse(None, "default", liftos.store).prepare()
    assert watch(liftos)["alerts"] == []


def test_deadlines_are_the_users(late):
    hours = 24 * 365 * 5
    assert watch(late, deadlines={"meta": hours})["alerts"] == []
    assert watch(late, deadlines={"meta": None})["watched"]["meta"] == 0


def test_only_the_platforms_asked_for_are_watched(late):
    assert watch(late, platforms=["tiktok"])["alerts"] == []
