"""Requests in the inbox: sealed for one execution, slot and kind, and no entry of a journal."""

from __future__ import annotations

import pytest
from attrs import evolve

from durable_core.errors import (
    DecodeError,
    IntegrityError,
    PayloadTooLarge,
)
from durable_core.model.entries import (
    EntryKind,
    IntentSettled,
)
from durable_core.wire.chain import GENESIS
from tests.ciphers import CountingCipher
from tests.envelopes import EXECUTION, NOW, refusal, sealing
from tests.journals import (
    FINGERPRINT,
    counted_id,
    intent_of,
    wire_format,
)

SETTLED = IntentSettled(EXECUTION, 0, intent_of(EXECUTION, 0).step_id, FINGERPRINT, b"", 3, b"\x00")


def test_a_request_opens_where_it_was_filed() -> None:
    blob = sealing().seal_request("settle:4", EntryKind.INTENT_SETTLED, b"\x01word")
    assert b"word" not in blob
    assert sealing().open_request("settle:4", EntryKind.INTENT_SETTLED, blob) == b"\x01word"


def test_ec_22_a_request_moved_to_another_slot_kind_or_execution_does_not_open() -> None:
    blob = sealing().seal_request("settle:4", EntryKind.INTENT_SETTLED, b"\x01word")
    elsewhere = evolve(sealing(), execution_id=counted_id(2).bytes)
    for envelope, slot, kind in (
        (sealing(), "settle:5", EntryKind.INTENT_SETTLED),
        (sealing(), "settle:4", EntryKind.STEP_RESULT),
        (elsewhere, "settle:4", EntryKind.INTENT_SETTLED),
    ):
        with pytest.raises(IntegrityError):
            envelope.open_request(slot, kind, blob)


def test_ec_22_a_request_is_no_entry_and_an_entry_no_request() -> None:
    envelope = sealing()
    row = envelope.row_of(SETTLED, 1, GENESIS, NOW)
    with pytest.raises(IntegrityError):
        envelope.open_request(SETTLED.step_id, EntryKind.INTENT_SETTLED, row.payload)
    blob = envelope.seal_request(SETTLED.step_id, EntryKind.INTENT_SETTLED, b"\x00")
    assert type(refusal(row._replace(payload=blob))) is IntegrityError


@pytest.mark.parametrize("slot", ["settle:\udcff", "settle:é"])
def test_ec_26_a_slot_that_nobody_files_is_damage_and_no_crash(slot: str) -> None:
    blob = sealing().seal_request("settle:4", EntryKind.INTENT_SETTLED, b"\x01word")
    with pytest.raises(IntegrityError, match=r"a slot that nobody files.*backup"):
        sealing().open_request(slot, EntryKind.INTENT_SETTLED, blob)


def test_a_request_without_a_value_is_refused() -> None:
    with pytest.raises(DecodeError, match="has no payload"):
        sealing().open_request("settle:4", EntryKind.INTENT_SETTLED, None)


def test_inv_11_a_request_above_the_limit_is_refused_before_it_is_sealed() -> None:
    cipher = CountingCipher()
    envelope = sealing(wire_format(max_payload_bytes=8, cipher=cipher))
    envelope.seal_request("settle:4", EntryKind.INTENT_SETTLED, bytes(8))
    with pytest.raises(PayloadTooLarge, match="9 bytes exceeds max_payload_bytes = 8"):
        envelope.seal_request("settle:4", EntryKind.INTENT_SETTLED, bytes(9))
    assert len(cipher.sealed) == 1
