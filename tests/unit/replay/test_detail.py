"""The detail of a step's entries: exact bytes, and nothing else is taken for one."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_core.contracts import MasterKeys
from durable_core.errors import DecodeError
from durable_core.replay.detail import (
    StepDetail,
    argument_digests,
    detail_prefix,
    encode_detail,
)
from durable_core.wire.keys import Keyring
from tests.journals import MASTERS, OTHER_MASTER

KEYS = Keyring.derive(MASTERS).execution_keys(1)


def detail(name: str, digests: bytes = b"", sub_class: int = 0, policy: int = 0) -> bytes:
    return encode_detail(detail_prefix(name), digests, sub_class, policy)


def test_a_detail_is_a_cbor_list() -> None:
    data = detail("charge", b"aaaabbbb", 4, 1)
    assert data == bytes.fromhex("84") + b"\x66charge" + b"\x48aaaabbbb" + bytes.fromhex("0401")
    assert cbor2.loads(data) == ["charge", b"aaaabbbb", 4, 1]


@given(
    st.text(max_size=300),
    st.binary(max_size=20).map(lambda data: data * 4),
    st.integers(0, 5),
    st.integers(0, 4),
)
def test_what_is_written_reads_back(
    name: str,
    digests: bytes,
    sub_class: int,
    policy: int,
) -> None:
    data = detail(name, digests, sub_class, policy)
    assert StepDetail.decode(data) == StepDetail(name, digests, sub_class, policy)


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        detail("charge")[:-1],
        detail("charge") + b"\x00",
        cbor2.dumps(["charge", b"", 0]),
        cbor2.dumps(["charge", b"", 0, 0, 0]),
        cbor2.dumps([7, b"", 0, 0]),
        cbor2.dumps(["charge", "", 0, 0]),
        cbor2.dumps(["charge", b"abc", 0, 0]),
        cbor2.dumps(["charge", b"", 6, 0]),
        cbor2.dumps(["charge", b"", 0, 5]),
        cbor2.dumps(["charge", b"", True, 0]),
        cbor2.dumps(["charge", b"", -1, 0]),
        cbor2.dumps({"name": "charge"}),
        bytes.fromhex("9f") + detail("charge")[1:] + bytes.fromhex("ff"),
        b"\xff",
    ],
)
def test_nothing_else_is_a_detail(data: bytes | None) -> None:
    with pytest.raises(DecodeError):
        StepDetail.decode(data)


def test_a_refusal_does_not_show_the_detail() -> None:
    with pytest.raises(DecodeError) as raised:
        StepDetail.decode(cbor2.dumps(["canary", b"canary!", 0, 0]))
    assert "canary" not in str(raised.value)


def test_each_argument_has_four_bytes_of_its_keyed_hash() -> None:
    parts = [b"alice", b"\x18\x2a"]
    digests = argument_digests(KEYS, parts)
    assert digests == KEYS.fingerprint(b"alice")[:4] + KEYS.fingerprint(b"\x18\x2a")[:4]
    assert argument_digests(KEYS, []) == b""


def test_inv_06_without_the_key_a_digest_confirms_no_guess() -> None:
    other = Keyring.derive(MasterKeys(1, {1: OTHER_MASTER})).execution_keys(1)
    unkeyed = Keyring.derive(None).execution_keys(None)
    digests = {argument_digests(keys, [b"alice"]) for keys in (KEYS, other, unkeyed)}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("recorded", "wanted", "positions"),
    [
        (b"", b"", []),
        (b"aaaabbbb", b"aaaabbbb", []),
        (b"aaaabbbb", b"aaaacccc", [1]),
        (b"aaaabbbb", b"xxxxyyyy", [0, 1]),
        (b"aaaa", b"aaaabbbb", [1]),
        (b"aaaabbbb", b"aaaa", [1]),
        (b"aaaabbbb", b"", [0, 1]),
    ],
)
def test_ec_18b_the_positions_of_the_arguments_that_differ(
    recorded: bytes,
    wanted: bytes,
    positions: list[int],
) -> None:
    assert StepDetail("charge", recorded, 0, 0).differing_positions(wanted) == positions


def test_an_entry_of_an_application_needs_no_detail() -> None:
    assert StepDetail.name_in(None) is None
    assert StepDetail.name_in(detail("charge")) == "charge"
    with pytest.raises(DecodeError):
        StepDetail.name_in(b"")
