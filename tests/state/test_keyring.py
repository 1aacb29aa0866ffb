from __future__ import annotations

import pytest

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.state.keyring import KeyRing, new_key


def _changed(sealed: str) -> str:
    middle = len(sealed) // 2
    return sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1 :]


def test_what_is_sealed_opens_in_its_context_alone():
    ring = KeyRing.read(new_key())
    sealed = ring.seal(b"token", "default/liftos_meta_default/refresh_token")
    assert ring.open(sealed, "default/liftos_meta_default/refresh_token") == b"token"
    with pytest.raises(ConfigurationError, match="moved from the row"):
        ring.open(sealed, "other/liftos_meta_default/refresh_token")


def test_the_same_secret_is_never_sealed_to_the_same_text():
    ring = KeyRing.read(new_key())
    assert ring.seal(b"token", "row") != ring.seal(b"token", "row")
    assert "token" not in ring.seal(b"token", "row")


def test_a_changed_text_does_not_open():
    ring = KeyRing.read(new_key())
    with pytest.raises(ConfigurationError, match="does not open"):
        ring.open(_changed(ring.seal(b"a rather long secret", "row")), "row")


def test_a_new_key_in_front_seals_while_the_old_one_still_opens():
    old, new = new_key(), new_key()
    sealed = KeyRing.read(old).seal(b"token", "row")
    ring = KeyRing.read(f"{new}, {old}")
    assert ring.open(sealed, "row") == b"token"
    assert ring.stale(sealed)
    assert not ring.stale(ring.seal(b"token", "row"))
    with pytest.raises(ConfigurationError, match="not on the key ring"):
        KeyRing.read(new).open(sealed, "row")


def test_without_a_key_nothing_is_sealed():
    ring = KeyRing.read(" ")
    assert not ring
    with pytest.raises(ConfigurationError, match="rotate-keys --new"):
        ring.seal(b"token", "row")


@pytest.mark.parametrize(
    "wrong",
    ["short", new_key()[:-4], f"{new_key()},nonsense!"],
    ids=["short", "too few bytes", "second"],
)
def test_what_is_no_key_is_refused_without_quoting_it(wrong: str):
    with pytest.raises(ConfigurationError) as refused:
        KeyRing.read(wrong)
    assert wrong not in str(refused.value)
    assert "nonsense" not in str(refused.value)
    assert "is no key" in str(refused.value)


def test_a_ring_does_not_show_its_keys():
    key = new_key()
    assert key not in repr(KeyRing.read(key))
    assert "keys" not in repr(KeyRing.read(key)).removeprefix("KeyRing")
