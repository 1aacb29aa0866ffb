"""``airflow liftos dead-letters`` and ``audit-log`` over a store of a few letters."""

from __future__ import annotations

import csv
import io
import json
from argparse import Namespace

import pytest

from airflow_provider_liftos.cli import dead_letters as command
from airflow_provider_liftos.cli.audit_log import audit_log
from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.dead_letters import DeadLetters
from airflow_provider_liftos.state.keyring import KeyRing, new_key
from airflow_provider_liftos.state.letter import Draft

HOSTILE = '=HYPERLINK("http://evil.example","click")'
FILTERS = {
    "org": "default", "platform": None, "kind": None, "account": None, "state": None,
    "limit": 100, "json": False, "csv": False,
}  # fmt: skip


@pytest.fixture(autouse=True)
def letters(tmp_path, monkeypatch):
    key = new_key()
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    monkeypatch.setenv("AIRFLOW__LIFTOS__CREDENTIAL_KEYS", key)
    made = DeadLetters(config.state_store(), "default", KeyRing.read(key))
    made.keep(
        [
            Draft(kind="slice", platform="meta", account_id="1", name="basic:ad", identity="days",
                  reason=HOSTILE, since="2026-11-01", until="2026-11-03"),
            Draft(kind="request", platform="tiktok", account_id="2", name="event", reason="refused",
                  personal=True, identity="e", payload='{"email": "anna@example.org"}'),
        ]
    )  # fmt: skip
    return made


def listed(capsys, **options):
    command.show_all(Namespace(**{**FILTERS, "json": True, **options}))
    return json.loads(capsys.readouterr().out)


def the_id(letters, kind):
    return next(letter.id for letter in letters.find() if letter.kind == kind)


def test_letters_are_listed_and_filtered(capsys):
    assert len(listed(capsys)) == 2
    [one] = listed(capsys, platform="meta")
    assert (one["kind"], one["since"], one["attempts"], one["state"]) == (
        "slice", "2026-11-01", 1, "open",
    )  # fmt: skip
    assert listed(capsys, account="2", kind="request")[0]["platform"] == "tiktok"
    assert listed(capsys, state="discarded") == []
    assert len(listed(capsys, limit=1)) == 1
    assert listed(capsys, org="another") == []
    with pytest.raises(SystemExit, match="--state is 'opne'"):
        listed(capsys, state="opne")


def test_a_line_says_what_it_is_about(capsys):
    command.show_all(Namespace(**{**FILTERS, "platform": "meta"}))
    head, line = capsys.readouterr().out.splitlines()
    assert head.startswith("id ")
    for part in ("slice", "meta 1", "basic:ad", "2026-11-01..2026-11-03", "open"):
        assert part in line


def test_cells_of_the_csv_are_no_formulas_and_hold_no_payload(capsys):
    command.show_all(Namespace(**{**FILTERS, "csv": True}))
    text = capsys.readouterr().out
    assert "anna" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["reason"] for row in rows} == {"'" + HOSTILE, "refused"}
    assert {row["attempts"] for row in rows} == {"1"}


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_whatever_a_formula_begins_with_is_guarded(begin):
    from airflow_provider_liftos.cli.table import as_csv

    file = io.StringIO(newline="")
    as_csv([{"a": f"{begin}1+1", "b": -1.5}], ["a", "b"], file)
    [_, row] = list(csv.reader(io.StringIO(file.getvalue(), newline="")))
    assert row == [f"'{begin}1+1", "-1.5"]


def test_showing_personal_data_is_noted(letters, capsys):
    command.show(Namespace(id=the_id(letters, "request")[:6], org="default"))
    shown = json.loads(capsys.readouterr().out)
    assert json.loads(shown["payload"]) == {"email": "anna@example.org"}
    [entry] = AuditLog(config.state_store(), "default").entries()
    assert (entry.action, entry.subject) == ("opened a dead letter", "tiktok")
    assert "anna" not in json.dumps(entry.detail)


def test_without_the_key_it_stays_closed(letters, monkeypatch):
    monkeypatch.setenv("AIRFLOW__LIFTOS__CREDENTIAL_KEYS", new_key())
    with pytest.raises(SystemExit, match="not on the key ring"):
        command.show(Namespace(id=the_id(letters, "request"), org="default"))


def test_discarding_is_noted_with_the_reason_and_done_once(letters, capsys):
    mine = the_id(letters, "slice")
    args = Namespace(ids=[mine[:8]], org="default", reason="account closed")
    command.discard(args)
    command.discard(args)
    assert capsys.readouterr().out.splitlines() == [
        "1 discarded", "0 discarded, 1 were closed already",
    ]  # fmt: skip
    assert letters.one(mine).state == "discarded"
    audit_log(Namespace(org="default", action=None, subject="meta", limit=10, json=True))
    entry = json.loads(capsys.readouterr().out)[-1]
    assert entry["action"] == "discarded dead letters"
    assert entry["detail"]["why"] == "account closed"
    assert entry["detail"]["ids"] == [mine]
    assert entry["detail"]["from"]
    audit_log(Namespace(org="default", action=None, subject=None, limit=10, json=False))
    assert "discarded dead letters" in capsys.readouterr().out
    audit_log(Namespace(org="another", action=None, subject=None, limit=10, json=True))
    assert json.loads(capsys.readouterr().out) == []


def test_nobody_discards_what_is_not_theirs(letters):
    args = Namespace(ids=[the_id(letters, "slice")], org="another", reason=None)
    with pytest.raises(SystemExit, match="no dead letter of organization 'another'"):
        command.discard(args)


def test_a_replay_is_a_run_of_the_dag_with_what_was_chosen(letters, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(command, "_trigger", lambda conf: asked.append(conf) or "manual__1")
    mine = the_id(letters, "slice")
    command.replay(Namespace(ids=[mine[:8]], platform=None, kind=None, limit=100, org="default"))
    command.replay(Namespace(ids=[], platform="meta", kind="row", limit=5, org="default"))
    assert asked == [
        {"ids": [mine], "limit": 100, "org_id": "default"},
        {"platform": "meta", "kind": "row", "limit": 5, "org_id": "default"},
    ]
    assert "manual__1" in capsys.readouterr().out
    assert len(AuditLog(config.state_store(), "default").entries()) == 2


def test_the_commands_are_airflows():
    from airflow_provider_liftos.cli.commands import get_cli_commands

    [group] = get_cli_commands()
    by_name = {one.name: one for one in group.subcommands}
    names = [one.name for one in by_name["dead-letters"].subcommands]
    assert names == ["list", "show", "replay", "discard"]
    for one in by_name["dead-letters"].subcommands:
        flags = [flag for arg in one.args for flag in arg.flags]
        assert len(flags) == len(set(flags))
