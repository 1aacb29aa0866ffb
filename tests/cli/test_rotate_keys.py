from __future__ import annotations

from argparse import Namespace

import pytest

from airflow_provider_liftos.cli.rotate_keys import rotate_keys
from airflow_provider_liftos.cli.table import host
from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.keyring import KeyRing, new_key
from airflow_provider_liftos.state.tokens import Tokens

NAME = "1" * 32


@pytest.fixture
def setting(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", f"sqlite:///{tmp_path}/state.db")
    return lambda *keys: monkeypatch.setenv("AIRFLOW__LIFTOS__CREDENTIAL_KEYS", ",".join(keys))


def run(*, new: bool = False, drop: bool = False) -> None:
    rotate_keys(Namespace(new=new, drop_unreadable=drop))


def keep(key: str) -> None:
    shelf = Tokens(config.state_store(), "acme", "c", KeyRing.read(key))
    shelf.keep(NAME, None, {"access_token": Secret("the-token")}, 5.0, now_found_by=NAME)


def test_a_new_key_is_printed_alone_with_what_to_do_beside_it(setting, capsys):
    run(new=True)
    out, err = capsys.readouterr()
    assert len(KeyRing.read(out).keys) == 1
    assert "in front of the others" in err
    run(new=True)
    assert capsys.readouterr().out != out


def test_rotating_is_told_and_audited_and_may_be_repeated(setting, capsys):
    old, new = new_key(), new_key()
    keep(old)
    setting(new, old)
    run()
    told = capsys.readouterr().out
    assert "acme             tokens         1 sealed again" in told
    assert "the-token" not in told
    [entry] = AuditLog(config.state_store(), "acme").entries(action="rotated keys")
    assert (entry.subject, entry.detail["resealed"]) == ("tokens", 1)
    assert entry.detail["from"] == host()
    setting(new)
    run()
    assert "nothing had to be done" in capsys.readouterr().out


def test_a_missing_key_is_a_line_and_a_bad_end(setting, capsys):
    keep(new_key())
    setting(new_key())
    with pytest.raises(SystemExit, match=r"1 secrets do not open.*--drop-unreadable"):
        run()
    assert "not on the key ring" in capsys.readouterr().out
    run(drop=True)
    assert "1 dropped" in capsys.readouterr().out
    run()


@pytest.mark.parametrize(
    ("keys", "says"), [((), "no key to keep a secret with"), (("nonsense",), "is no key")]
)
def test_no_key_and_a_wrong_one_are_refused(setting, keys, says):
    setting(*keys)
    with pytest.raises(SystemExit, match=says):
        run()
