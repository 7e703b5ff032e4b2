"""Sub-keys: one per purpose and key id, for life; what is shown of them, which is nothing."""

from __future__ import annotations

import pytest
from blake3 import blake3

from durable_core.contracts import MasterKeys
from durable_core.errors import ConfigError
from durable_core.wire.keys import Keyring
from tests.journals import MASTER, MASTERS, OTHER_MASTER

BOTH = MasterKeys(2, {2: OTHER_MASTER, 1: MASTER})


def derived(master: bytes, purpose: str) -> bytes:
    return blake3(master, derive_key_context=f"durable-core v1 {purpose}").digest()


def test_each_purpose_has_a_key_of_its_own() -> None:
    ring = Keyring.derive(MASTERS)
    keys = ring.execution_keys(1)
    assert ring.payload_key(1) == derived(MASTER, "payload")
    assert keys.mac_key == derived(MASTER, "journal-mac")
    assert keys.fingerprint_key == derived(MASTER, "fingerprint")
    assert len({MASTER, ring.payload_key(1), keys.mac_key, keys.fingerprint_key}) == 4


def test_vectors_of_the_sub_keys() -> None:
    ring = Keyring.derive(MASTERS)
    keys = ring.execution_keys(1)
    assert (
        ring.payload_key(1).hex()
        == "bf1a7788bed858888689d0fde636a4f093875e3d0efec5b991d5c7e409f3613d"
    )
    assert keys.mac_key is not None
    assert keys.mac_key.hex() == "cbbe1e1aee36d12ba2a2b7fd139f5974cc57b1b2f80f4ba170b86d55572d7dc6"
    assert keys.fingerprint_key is not None
    assert (
        keys.fingerprint_key.hex()
        == "c07d77c53d08469392df02c2b894c990ec9c8355e1d04b6e4b626bf88b7c16e6"
    )
    assert ring.check(1).hex() == "7258023f5a6036b72148952c17baebbac604cee728c7d4a723230d1d76966aa7"


def test_the_first_key_is_current_and_all_are_there() -> None:
    ring = Keyring.derive(BOTH)
    assert ring.current == 2
    assert set(ring.key_ids) == {1, 2}
    assert ring.execution_keys(1) == Keyring.derive(MASTERS).execution_keys(1)
    assert ring.payload_key(2) == derived(OTHER_MASTER, "payload")


def test_a_ring_without_keys_fingerprints_without_one() -> None:
    ring = Keyring.derive(None)
    assert ring.current is None
    assert ring.key_ids == ()
    keys = ring.execution_keys(None)
    assert (keys.key_id, keys.mac_key, keys.fingerprint_key) == (None, None, None)
    context = "durable-core v1 fingerprint"
    assert keys.fingerprint(b"data") == blake3(b"data", derive_key_context=context).digest()


def test_an_execution_without_a_key_keeps_none_when_there_are_keys() -> None:
    keys = Keyring.derive(MASTERS).execution_keys(None)
    assert keys == Keyring.derive(None).execution_keys(None)


@pytest.mark.parametrize("ring", [Keyring.derive(MASTERS), Keyring.derive(None)])
def test_a_key_that_is_not_there_is_named(ring: Keyring) -> None:
    with pytest.raises(ConfigError, match=r"key id 7 .*not configured.*DURABLE_KEY"):
        ring.payload_key(7)
    with pytest.raises(ConfigError, match=r"key id 7 .*not configured.*DURABLE_KEY"):
        ring.execution_keys(7)
    with pytest.raises(ConfigError, match=r"key id 7 .*not configured.*DURABLE_KEY"):
        ring.check(7)


def test_equal_checks_mean_equal_keys() -> None:
    assert Keyring.derive(MASTERS).check(1) == Keyring.derive(BOTH).check(1)
    other = Keyring.derive(MasterKeys(1, {1: OTHER_MASTER}))
    assert other.check(1) != Keyring.derive(MASTERS).check(1)


def test_a_check_is_no_key() -> None:
    ring = Keyring.derive(MASTERS)
    keys = ring.execution_keys(1)
    assert ring.check(1) not in {MASTER, ring.payload_key(1), keys.mac_key, keys.fingerprint_key}


def test_inv_05_no_repr_shows_a_key() -> None:
    ring = Keyring.derive(MASTERS)
    keys = ring.execution_keys(1)
    shown = f"{ring!r} {keys!r} {MASTERS!r}"
    assert "current=1" in shown
    assert "key_id=1" in shown
    for secret in (
        MASTER,
        ring.payload_key(1),
        keys.mac_key,
        keys.fingerprint_key,
        ring.check(1),
    ):
        assert secret is not None
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
