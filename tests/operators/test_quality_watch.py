"""The watch: what is late is told, once."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from airflow.sdk import BaseNotifier

from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.operators.quality_watch import LiftosQualityWatchOperator
from airflow_provider_liftos.state.alerts import Alerts
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
    with pytest.raises(ConnectionError):
        watch(late, broken, fine)
    assert len(sent) == 1
    watch(late, fine)
    assert len(sent) == 2


def test_hostile_names_are_escaped_in_markup(liftos, tmp_path):
    from airflow_provider_liftos.operators.quality_watch import _words
    from airflow_provider_liftos.state.alerts import Trouble

    alerts = Alerts(liftos.store, "default")
    alerts.report("freshness", ["meta"], [
        Trouble(key="k", platform="meta", account_id="1", severity="high", text="<script>x</script>")
    ])  # fmt: skip
    words = _words(alerts.due("freshness", remind_after=1))
    assert "<script>" not in words["alert_html"]
    assert "<script>" in words["alert_text"]


def test_an_empty_warehouse_has_nothing_late(liftos):
    open_warehouse(None, "default", liftos.store).prepare()
    assert watch(liftos)["alerts"] == []


def test_deadlines_are_the_users(late):
    hours = 24 * 365 * 5
    assert watch(late, deadlines={"meta": hours})["alerts"] == []


def test_only_the_platforms_asked_for_are_watched(late):
    assert watch(late, platforms=["tiktok"])["alerts"] == []
