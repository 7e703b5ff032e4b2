"""Fingerprints and idempotency keys: literal vectors, and what each of them depends on."""

from __future__ import annotations

import pytest
from blake3 import blake3

from durable_core.wire.fingerprint import ROOT_BRANCH, idempotency_key, step_fingerprint
from durable_core.wire.keys import ExecutionKeys, Keyring
from tests.journals import MASTERS, OTHER_MASTER

KEYED = Keyring.derive(MASTERS).execution_keys(1)
UNKEYED = Keyring.derive(None).execution_keys(None)
ARGUMENTS = bytes.fromhex("81182a")  # [42]
EXECUTION = bytes(range(16))
FINGERPRINT = bytes(range(32, 64))


def fingerprint(
    keys: ExecutionKeys = KEYED,
    name: str = "charge",
    effect: int = 3,
    sub_class: int = 4,
    arguments: bytes = ARGUMENTS,
) -> bytes:
    return step_fingerprint(keys, name, effect, sub_class, arguments)


def as_documented() -> bytes:
    """field() of "charge", 3, 4 and the arguments, written out."""
    return (
        bytes.fromhex("00000006")
        + b"charge"
        + bytes.fromhex("00000008 0000000000000003")
        + bytes.fromhex("00000008 0000000000000004")
        + bytes.fromhex("00000003 81182a")
    )


def test_vector_of_a_keyed_fingerprint() -> None:
    assert fingerprint().hex() == "99acac4107059010f807458ae0057920e69b7e0ddf0f690745060a6401a05037"
    key = blake3(MASTERS.by_id[1], derive_key_context="durable-core v1 fingerprint").digest()
    assert fingerprint() == blake3(as_documented(), key=key).digest()


def test_vector_of_an_unkeyed_fingerprint() -> None:
    assert (
        fingerprint(UNKEYED).hex()
        == "fc2c490be0e909a48331efe93aa9ccf362791a0aaae2a7192cf2407922608541"
    )
    context = "durable-core v1 fingerprint"
    assert fingerprint(UNKEYED) == blake3(as_documented(), derive_key_context=context).digest()


@pytest.mark.parametrize(
    "other",
    [
        {"name": "charge2"},
        {"effect": 2},
        {"sub_class": 0},
        {"arguments": b"\x81\x18\x2b"},
        {"keys": Keyring.derive(MASTERS.__class__(2, {2: OTHER_MASTER})).execution_keys(2)},
        {"keys": UNKEYED},
    ],
    ids=["name", "effect", "sub-class", "arguments", "key", "no-key"],
)
def test_inv_03_a_fingerprint_depends_on_everything_that_identifies_a_step(
    other: dict[str, object],
) -> None:
    assert fingerprint(**other) != fingerprint()  # type: ignore[arg-type]


def test_name_and_arguments_do_not_run_together() -> None:
    assert fingerprint(name="ab", arguments=b"c") != fingerprint(name="a", arguments=b"bc")


def idem_key(
    execution: bytes = EXECUTION,
    branch: str = ROOT_BRANCH,
    of: bytes = FINGERPRINT,
    occurrence: int = 0,
) -> bytes:
    return idempotency_key(execution, branch, of, occurrence)


def test_vector_of_an_idempotency_key() -> None:
    assert idem_key().hex() == "fc738b87b1508ddb9177ea136be43629c99caceb52f9bb915e1efbfff0b74107"
    data = (
        bytes.fromhex("00000010")
        + EXECUTION
        + bytes.fromhex("00000000")
        + bytes.fromhex("00000020")
        + FINGERPRINT
        + bytes.fromhex("00000008 0000000000000000")
    )
    context = "durable-core v1 idempotency-key"
    assert idem_key() == blake3(data, derive_key_context=context).digest()


@pytest.mark.parametrize(
    "other",
    [
        {"execution": bytes(16)},
        {"branch": "0.1"},
        {"of": bytes(32)},
        {"occurrence": 1},
    ],
    ids=["execution", "branch", "fingerprint", "occurrence"],
)
def test_inv_13_an_idempotency_key_is_of_one_call(other: dict[str, object]) -> None:
    assert idem_key(**other) != idem_key()  # type: ignore[arg-type]
