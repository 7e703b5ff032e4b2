"""What a key provider hands out is checked before anything is sealed with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from attrs import frozen

from durable_core.contracts import KeyProvider, MasterKeys
from durable_core.errors import ConfigError, PluginError
from durable_core.keyloading import load_keys
from tests.journals import MASTER, MASTERS, OTHER_MASTER

CANARY = "canary-07c1"


@frozen
class Vault:
    """A provider that does what a test wants."""

    answer: Callable[[], Any]

    def load(self) -> MasterKeys:
        return cast("MasterKeys", self.answer())


def giving(answer: object) -> Vault:
    return Vault(lambda: answer)


def keys_of(current: object, **by_id: object) -> Any:
    """MasterKeys as a careless author builds them; `k1` is the key of id 1."""
    ids = {int(name.removeprefix("k")): key for name, key in by_id.items()}
    return MasterKeys(cast("int", current), cast("Any", ids))


def test_proper_keys_come_back_apart_from_the_provider() -> None:
    by_id = {1: MASTER, 255: OTHER_MASTER}
    keys = load_keys(giving(MasterKeys(255, by_id)))
    by_id.clear()
    assert keys == MasterKeys(255, {1: MASTER, 255: OTHER_MASTER})


def test_no_keys_are_none() -> None:
    assert load_keys(giving(None)) is None


@pytest.mark.parametrize(
    ("loaded", "wrong"),
    [
        (keys_of(1, k1=b"short"), "key 1 with 5 bytes"),
        (keys_of(1, k1=MASTER + b"x"), "key 1 with 33 bytes"),
        (keys_of(1, k1="k" * 32), "key 1 as str and not as bytes"),
        (keys_of(1, k1=bytearray(MASTER)), "key 1 as bytearray and not as bytes"),
        (keys_of(1, k1=MASTER, k2=b""), "key 2 with 0 bytes"),
        (keys_of(0, k0=MASTER), r"a key id \(0\)"),
        (keys_of(256, k256=MASTER), r"a key id \(256\)"),
        (MasterKeys(1, cast("Any", {True: MASTER})), r"a key id \(bool\)"),
        (MasterKeys(1, cast("Any", {CANARY: MASTER})), r"a key id \(str\)"),
        (keys_of(2, k1=MASTER), "the current key id 2, and no key of that id"),
        (keys_of(CANARY, k1=MASTER), "the current key id str, and no key of that id"),
        (keys_of(1), "the current key id 1, and no key of that id"),
        (MasterKeys(1, cast("Any", [MASTER])), "MasterKeys, which is no MasterKeys"),
        ({1: MASTER}, "dict, which is no MasterKeys"),
        (CANARY, "str, which is no MasterKeys"),
    ],
)
def test_what_is_wrong_is_named_and_no_key_is_shown(loaded: object, wrong: str) -> None:
    with pytest.raises(ConfigError, match=f"key provider 'Vault' returned {wrong}") as raised:
        load_keys(giving(loaded))
    assert CANARY not in str(raised.value)
    assert repr(MASTER)[2:20] not in str(raised.value)


@pytest.mark.parametrize("error", [RuntimeError(CANARY), SystemExit(CANARY), KeyError(CANARY)])
def test_a_foreign_error_is_named_by_its_type(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(PluginError) as raised:
        load_keys(Vault(fail), "kms")
    assert str(raised.value) == (
        f"key provider 'kms' failed with {type(error).__name__}; see the cause"
    )
    assert raised.value.__cause__ is error


def test_an_error_of_ours_is_passed_on() -> None:
    def fail() -> None:
        message = "the vault is sealed; open it"
        raise ConfigError(message)

    with pytest.raises(ConfigError, match="the vault is sealed"):
        load_keys(Vault(fail))


@pytest.mark.parametrize("keys", [b"1:abc", 5, {1: MASTER}, MASTERS])
def test_what_is_no_provider_is_refused(keys: object) -> None:
    with pytest.raises(ConfigError, match=f"keys of type {type(keys).__name__} cannot be used"):
        load_keys(cast("KeyProvider", keys))
