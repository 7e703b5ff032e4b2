"""The integrity chain: exact bytes of row MACs and anchors, and that every column counts."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from durable_core.contracts.cipher import entry_fields
from durable_core.errors import IntegrityError
from durable_core.model.entries import JournalRow
from durable_core.wire.chain import (
    GENESIS,
    Macs,
    check_row,
)
from durable_core.wire.fields import field, integer, text
from durable_core.wire.keys import Keyring
from tests.journals import MASTERS

MAC_KEY = Keyring.derive(MASTERS).execution_keys(1).mac_key or b""
MACS = Macs(MAC_KEY)
BEFORE = b"b" * 32

ROW = JournalRow(
    execution_id=bytes(range(16)),
    entry_no=2,
    generation=1,
    step_id="3",
    entry_kind=3,
    fingerprint=b"f" * 32,
    idem_key=b"i" * 32,
    effect_class=3,
    detail=b"detail",
    payload=b"\x00\x00payload",
    payload_version=1,
    hmac=None,
    created_at=1_700_000_000_000,
)
BARE = ROW._replace(step_id="", fingerprint=None, idem_key=None, detail=None, payload=None)


def row_mac(macs: Macs, before: bytes, row: JournalRow) -> bytes:
    payload, version, _, created_at = row[9:]
    return macs.of_row(before, entry_fields(*row[:9]), payload, version, created_at)


def row_as_documented(before: bytes, row: JournalRow) -> bytes:
    data = (
        b"row v1"
        + before
        + field(row.execution_id)
        + integer(row.entry_no)
        + integer(row.generation)
        + text(row.step_id)
        + integer(row.entry_kind)
        + field(row.fingerprint)
        + field(row.idem_key)
        + integer(row.effect_class)
        + field(row.detail)
        + integer(row.payload_version)
        + integer(row.created_at)
        + blake3(row.payload or b"").digest()
    )
    return blake3(data, key=MAC_KEY).digest()


U64 = st.integers(0, 2**64 - 1)
BYTES = st.none() | st.binary(max_size=40)
ROWS = st.builds(
    JournalRow,
    execution_id=st.binary(min_size=16, max_size=16),
    entry_no=U64,
    generation=U64,
    step_id=st.text(max_size=20),
    entry_kind=U64,
    fingerprint=BYTES,
    idem_key=BYTES,
    effect_class=U64,
    detail=BYTES,
    payload=BYTES,
    payload_version=U64,
    hmac=BYTES,
    created_at=U64,
)


@given(st.binary(min_size=32, max_size=32), ROWS)
def test_a_row_mac_is_what_the_format_says(before: bytes, row: JournalRow) -> None:
    assert row_mac(MACS, before, row) == row_as_documented(before, row)


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), ROWS), min_size=2, max_size=5))
def test_a_row_mac_is_that_of_its_row_whatever_came_before(
    rows: list[tuple[bytes, JournalRow]],
) -> None:
    macs = Macs(MAC_KEY)
    for before, row in rows:
        assert row_mac(macs, before, row) == row_as_documented(before, row)


def test_many_threads_may_make_row_macs_at_once() -> None:
    macs = Macs(MAC_KEY)
    rows = [ROW._replace(payload=bytes([number]) * 100_000) for number in range(64)]
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda row: row_mac(macs, GENESIS, row), rows))
    assert made == [row_as_documented(GENESIS, row) for row in rows]


def test_a_row_that_has_no_mac_spoils_none_of_another() -> None:
    macs = Macs(MAC_KEY)
    with pytest.raises(TypeError):
        row_mac(macs, GENESIS, ROW._replace(payload=cast("bytes", "text")))
    assert row_mac(macs, GENESIS, ROW) == row_as_documented(GENESIS, ROW)


def test_vectors_of_row_macs() -> None:
    assert (
        row_mac(MACS, GENESIS, ROW).hex()
        == "dbb61096aba13e1c0514cee30322475f899fbc89b3bc523da49ca09fcfb99c9b"
    )
    assert (
        row_mac(MACS, BEFORE, BARE).hex()
        == "8c447b13ce7eb41b871cb5f289898860a3685c1e9415420cb5803219ebe74cc4"
    )


def test_genesis_is_32_zero_bytes() -> None:
    assert bytes(32) == GENESIS


OTHER_VALUES: dict[str, Any] = {
    "execution_id": bytes(16),
    "entry_no": 3,
    "generation": 0,
    "step_id": "4",
    "entry_kind": 4,
    "fingerprint": b"g" * 32,
    "idem_key": b"j" * 32,
    "effect_class": 2,
    "detail": b"detaiL",
    "payload": b"\x00\x00payloaD",
    "payload_version": 2,
    "created_at": 1_700_000_000_001,
}
COLUMNS = [column for column in JournalRow._fields if column != "hmac"]
NULLABLE = ["fingerprint", "idem_key", "detail", "payload"]


def test_every_column_of_a_row_is_accounted_for() -> None:
    assert set(OTHER_VALUES) == set(COLUMNS)


def stamped(row: JournalRow, before: bytes = BEFORE) -> JournalRow:
    return row._replace(hmac=row_mac(MACS, before, row))


def test_a_row_that_continues_the_chain_passes() -> None:
    row = stamped(ROW)
    assert check_row(MACS, BEFORE, row) == row.hmac
    assert check_row(MACS, BEFORE, stamped(BARE)) == row_mac(MACS, BEFORE, BARE)


@pytest.mark.parametrize("column", COLUMNS)
def test_ec_26_a_row_with_another_value_in_any_column_is_found(column: str) -> None:
    edited = stamped(ROW)._replace(**{column: OTHER_VALUES[column]})
    with pytest.raises(IntegrityError, match="does not continue the chain"):
        check_row(MACS, BEFORE, edited)


@pytest.mark.parametrize("column", NULLABLE)
def test_ec_26_a_value_that_became_null_and_a_null_that_became_a_value_are_found(
    column: str,
) -> None:
    for row, value in ((ROW, None), (BARE, b""), (BARE, b"x")):
        edit: dict[str, Any] = {column: value}
        with pytest.raises(IntegrityError, match=r"chain|empty payload"):
            check_row(MACS, BEFORE, stamped(row)._replace(**edit))


def test_ec_26_a_row_after_another_one_than_its_own_is_found() -> None:
    with pytest.raises(IntegrityError, match="does not continue the chain"):
        check_row(MACS, GENESIS, stamped(ROW))


def test_ec_26_one_bit_of_the_stamp_itself_is_found() -> None:
    row = stamped(ROW)
    assert row.hmac is not None
    for bit in range(256):
        flipped = (int.from_bytes(row.hmac, "big") ^ 1 << bit).to_bytes(32, "big")
        with pytest.raises(IntegrityError, match="does not continue the chain"):
            check_row(MACS, BEFORE, row._replace(hmac=flipped))


@pytest.mark.parametrize("stamp", [b"", b"short", b"s" * 33])
def test_a_stamp_of_another_length_is_found(stamp: bytes) -> None:
    with pytest.raises(IntegrityError, match="does not continue the chain"):
        check_row(MACS, BEFORE, ROW._replace(hmac=stamp))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("entry_no", -1),
        ("generation", 2**64),
        ("created_at", "yesterday"),
        ("step_id", 3),
        ("fingerprint", "text"),
        ("detail", 7),
        ("payload", "text"),
        ("hmac", "text"),
    ],
)
def test_ec_26_a_value_that_no_writer_produces_is_damage_and_no_crash(
    column: str, value: object
) -> None:
    broken: dict[str, Any] = {column: value}
    with pytest.raises(IntegrityError, match="a column of the wrong type") as raised:
        check_row(MACS, BEFORE, stamped(ROW)._replace(**broken))
    assert raised.value.__suppress_context__, "what the driver returned is not shown"


def test_ec_24_an_unstamped_row_in_a_stamped_execution_is_refused() -> None:
    with pytest.raises(IntegrityError, match=r"entry 2 .* has no stamp in a stamped execution"):
        check_row(MACS, BEFORE, ROW)


def test_ec_24_a_stamped_row_in_an_unstamped_execution_is_refused() -> None:
    with pytest.raises(IntegrityError, match=r"entry 2 .* is stamped in an execution that is not"):
        check_row(None, GENESIS, stamped(ROW))


def test_an_unstamped_row_of_an_unstamped_execution_passes() -> None:
    assert check_row(None, GENESIS, ROW) == GENESIS


def test_inv_05_a_damaged_row_is_named_and_not_shown() -> None:
    row = stamped(ROW)._replace(step_id="canary", payload=b"canary", detail=b"canary")
    with pytest.raises(IntegrityError) as raised:
        check_row(MACS, BEFORE, row)
    assert "canary" not in str(raised.value)
    assert re.search(
        r"entry 2 of execution 000102.*0f .*restore it from a backup", str(raised.value)
    )
