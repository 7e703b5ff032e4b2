"""Seals that a cipher prepares for many payloads at once, and what is sealed without them."""

from __future__ import annotations

import pytest

from durable_core.errors import ConfigError
from durable_core.model.entries import JournalRow
from durable_core.wire.chain import GENESIS
from durable_core.wire.envelope import WireFormat
from tests.ciphers import CountingCipher
from tests.envelopes import EXECUTION, NOW, sealing
from tests.journals import result_of, wire_format


def rows_of(wire: WireFormat, seals: int) -> list[JournalRow]:
    """Five rows, sealed with the help of so many prepared seals."""
    envelope, prepared = sealing(wire), wire.seals(seals)
    return [
        envelope.row_of(
            result_of(EXECUTION, step, b"\x00%d" % step), step + 1, GENESIS, NOW, prepared
        )
        for step in range(5)
    ]


@pytest.mark.parametrize("seals", [0, 3, 5, 8])
def test_inv_07_with_and_without_a_prepared_seal_each_payload_has_its_own_nonce(seals: int) -> None:
    rows = rows_of(wire_format(), seals)
    assert [sealing().open(row) for row in rows] == [b"\x00%d" % step for step in range(5)]
    assert len({(row.payload or b"")[2:26] for row in rows}) == 5


def test_a_cipher_that_prepares_none_seals_each_by_itself() -> None:
    cipher = CountingCipher()
    rows = rows_of(wire_format(cipher=cipher), 5)
    assert [plain for plain, _ in cipher.sealed] == [b"\x00%d" % step for step in range(5)]
    assert [sealing().open(row) for row in rows] == [b"\x00%d" % step for step in range(5)]


def test_without_a_key_none_can_be_taken() -> None:
    seals = wire_format(None).seals(5)
    with pytest.raises(ConfigError):
        next(seals)
