"""Every way in which a stored payload does not open: each an error of its own, nothing in part."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from durable_core.contracts import PayloadAad
from durable_core.errors import (
    ConfigError,
    DecodeError,
    IntegrityError,
    PayloadTooLarge,
)
from durable_core.model.entries import (
    EntryKind,
)
from durable_core.wire.chain import GENESIS
from tests.ciphers import CountingCipher
from tests.envelopes import EXECUTION, NOW, execution, refusal, sealed_row, sealing
from tests.journals import (
    counted_id,
    result_of,
    wire_format,
)


def test_ec_17_an_unknown_payload_version_is_refused() -> None:
    error = refusal(sealed_row()._replace(payload_version=2))
    assert type(error) is DecodeError
    assert "entry 7 has payload version 2" in str(error)
    assert "upgrade" in str(error)


@pytest.mark.parametrize("payload", [None, b""])
def test_ec_17_a_payload_that_is_not_there_is_refused(payload: bytes | None) -> None:
    error = refusal(sealed_row()._replace(payload=payload))
    assert type(error) is DecodeError
    assert "entry 7 has no payload" in str(error)


@pytest.mark.parametrize("size", range(1, 42))
def test_ec_17_a_truncated_blob_is_refused(size: int) -> None:
    row = sealed_row(b"")
    assert row.payload is not None
    assert len(row.payload) == 42
    error = refusal(row._replace(payload=row.payload[:size]))
    assert type(error) is DecodeError
    assert "truncated" in str(error)


def test_ec_17_a_blob_cut_inside_its_ciphertext_is_refused_whole() -> None:
    row = sealed_row(b"\x00a long enough value")
    assert row.payload is not None
    for size in range(42, len(row.payload)):
        assert type(refusal(row._replace(payload=row.payload[:size]))) is IntegrityError


def test_ec_17_trailing_bytes_are_refused() -> None:
    row = sealed_row()
    assert row.payload is not None
    assert type(refusal(row._replace(payload=row.payload + b"\x00"))) is IntegrityError


def test_ec_17_an_unknown_format_names_its_byte() -> None:
    row = sealed_row()
    assert row.payload is not None
    error = refusal(row._replace(payload=b"\x80" + row.payload[1:]))
    assert type(error) is DecodeError
    assert "0x80" in str(error)
    assert "plugin" in str(error)


def test_ec_23_an_unknown_key_id_is_named() -> None:
    row = sealed_row()
    assert row.payload is not None
    error = refusal(row._replace(payload=b"\x01\x09" + row.payload[2:]))
    assert type(error) is ConfigError
    assert "key id 9" in str(error)


def test_ec_24_a_plain_payload_in_a_sealed_execution_is_refused() -> None:
    error = refusal(sealed_row()._replace(payload=b"\x00\x00forged"))
    assert type(error) is IntegrityError
    assert "entry 7 is plain in a sealed execution" in str(error)


def test_ec_24_a_sealed_payload_in_an_unsealed_execution_is_refused() -> None:
    error = refusal(sealed_row(), wire_format().envelope(execution(sealed=False)))
    assert type(error) is IntegrityError
    assert "entry 7 is sealed in an unsealed execution" in str(error)


OTHER_PLACES: dict[str, Any] = {
    "execution_id": counted_id(2).bytes,
    "entry_no": 8,
    "generation": 1,
    "step_id": "4",
    "entry_kind": int(EntryKind.STEP_FAILED),
    "effect_class": 3,
    "fingerprint": b"g" * 32,
    "idem_key": None,
    "detail": None,
}


@pytest.mark.parametrize("column", sorted(OTHER_PLACES))
def test_ec_22_a_blob_that_was_moved_does_not_open(column: str) -> None:
    """Even where the row's own stamp is not looked at."""
    error = refusal(sealed_row()._replace(**{column: OTHER_PLACES[column]}))
    assert type(error) is IntegrityError


def test_everything_in_the_associated_data_was_moved_once() -> None:
    assert {*OTHER_PLACES, "payload_version"} == {
        {"kind": "entry_kind", "effect": "effect_class"}.get(attribute.name, attribute.name)
        for attribute in attrs.fields(PayloadAad)
    }


@pytest.mark.parametrize("sealed", [True, False])
def test_inv_11_a_blob_above_the_limit_is_refused_before_it_is_opened(*, sealed: bool) -> None:
    """The limit is that of the payload; what the cipher adds does not count."""
    cipher = CountingCipher()
    row = execution(sealed=sealed)
    for size in (8, 9):
        blob = (
            wire_format()
            .envelope(row)
            .row_of(result_of(EXECUTION, 0, bytes(size)), 1, GENESIS, NOW)
        )
        envelope = wire_format(max_payload_bytes=8, cipher=cipher).envelope(row)
        if size == 8:
            assert envelope.open(blob) == bytes(8)
        else:
            error = refusal(blob, envelope)
            assert type(error) is PayloadTooLarge
            assert "9 bytes exceeds max_payload_bytes = 8" in str(error)
    assert len(cipher.opened) == int(sealed)


def test_inv_11_the_size_of_a_blob_in_an_unknown_format_counts_too() -> None:
    envelope = sealing(wire_format(max_payload_bytes=8))
    row = sealed_row()
    assert type(refusal(row._replace(payload=b"\x80" + bytes(9)), envelope)) is DecodeError
    assert type(refusal(row._replace(payload=b"\x80" + bytes(10)), envelope)) is PayloadTooLarge
