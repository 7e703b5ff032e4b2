"""The envelope: what each entry becomes on disk, and every way in which it does not open."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from durable_core.contracts import MasterKeys, PayloadAad
from durable_core.errors import (
    ConfigError,
    IntegrityError,
)
from durable_core.model.entries import (
    Entry,
    EntryKind,
    ExecutionFinished,
    ExecutionStarted,
    IntentSettled,
    JournalRow,
)
from durable_core.model.execution import Status
from durable_core.wire.chain import GENESIS, anchor_mac
from durable_core.wire.envelope import ExecutionEnvelope, WireFormat
from durable_core.wire.fields import field, integer, text
from durable_core.wire.keys import Keyring
from tests.ciphers import CountingCipher
from tests.envelopes import EXECUTION, NOW, execution, sealed_row, sealing
from tests.journals import (
    FINGERPRINT,
    MASTER,
    MASTERS,
    OTHER_MASTER,
    detail_of,
    failure_of,
    idem_key_of,
    intent_of,
    result_of,
    wire_format,
)

BOTH = MasterKeys(2, {2: OTHER_MASTER, 1: MASTER})

SETTLED = IntentSettled(EXECUTION, 0, intent_of(EXECUTION, 0).step_id, FINGERPRINT, b"", 3, b"\x00")
ENTRIES: list[Entry] = [
    ExecutionStarted(EXECUTION, 0, b"arguments"),
    intent_of(EXECUTION, 0),
    result_of(EXECUTION, 0, b"\x00value"),
    failure_of(EXECUTION, 0, b"error"),
    SETTLED,
    ExecutionFinished(EXECUTION, 0, Status.COMPLETED, b"\x00output"),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.kind.label)
def test_a_row_holds_what_its_entry_says(entry: Entry) -> None:
    row = sealing().row_of(entry, 7, GENESIS, NOW)
    assert row._replace(payload=None, hmac=None) == JournalRow(
        execution_id=EXECUTION.bytes,
        entry_no=7,
        generation=0,
        step_id=entry.step_id,
        entry_kind=int(entry.kind),
        fingerprint=getattr(entry, "fingerprint", None),
        idem_key=getattr(entry, "idem_key", None),
        effect_class=getattr(entry, "effect_class", 0),
        detail=getattr(entry, "detail", None),
        payload=None,
        payload_version=1,
        hmac=None,
        created_at=NOW,
    )
    assert (row.payload is None) == (entry.kind is EntryKind.EFFECT_INTENT)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.kind.label)
@pytest.mark.parametrize(
    "envelope",
    [
        sealing(),
        wire_format().envelope(execution(sealed=False)),
        wire_format(None).envelope(execution(None, sealed=False)),
    ],
    ids=["sealed", "stamped", "unkeyed"],
)
def test_every_row_passes_its_check_and_opens(envelope: ExecutionEnvelope, entry: Entry) -> None:
    before = envelope.genesis
    row = envelope.row_of(entry, 1, before, NOW)
    assert envelope.check(before, row) == (row.hmac or GENESIS)
    payload = getattr(entry, "payload", None)
    if payload is not None:
        assert envelope.open(row) == payload


def test_a_sealed_blob_has_the_documented_layout() -> None:
    row = sealed_row(b"\x00value")
    assert row.payload is not None
    assert row.payload[:2] == b"\x01\x01", "format byte, key id"
    assert len(row.payload) == 2 + 24 + len(b"\x00value") + 16
    assert b"value" not in row.payload
    assert row.hmac is not None
    assert len(row.hmac) == 32


def test_an_unsealed_blob_is_a_zero_byte_and_the_payload() -> None:
    envelope = wire_format().envelope(execution(sealed=False))
    row = envelope.row_of(result_of(EXECUTION, 0, b"\x00value"), 1, GENESIS, NOW)
    assert row.payload == b"\x00\x00value"
    assert row.hmac is not None, "not sealed, and stamped all the same"


def test_an_execution_without_a_key_has_no_stamps() -> None:
    envelope = wire_format(None).envelope(execution(None, sealed=False))
    row = envelope.row_of(result_of(EXECUTION, 0, b"\x00value"), 1, GENESIS, NOW)
    assert (row.payload, row.hmac) == (b"\x00\x00value", None)
    assert envelope.anchor(Status.RUNNING, 0, 1, GENESIS) is None


def test_an_anchor_is_that_of_the_chain() -> None:
    later = execution()._replace(status="completed", entry_count=4, head_hmac=b"h" * 32)
    macs = sealing().keys.macs
    assert macs is not None
    assert sealing().anchor(Status.COMPLETED, 0, 4, b"h" * 32) == anchor_mac(macs, later)


def test_the_associated_data_names_the_place_of_a_payload() -> None:
    cipher = CountingCipher()
    envelope = sealing(wire_format(cipher=cipher))
    row = envelope.row_of(result_of(EXECUTION, 3, b"\x00value"), 7, GENESIS, NOW)
    as_documented = (
        integer(1)
        + field(EXECUTION.bytes)
        + integer(7)
        + integer(0)
        + text("3")
        + integer(EntryKind.STEP_RESULT)
        + integer(2)
        + integer(1)
        + field(FINGERPRINT)
        + field(idem_key_of(3))
        + field(detail_of())
    )
    assert cipher.sealed == [(b"\x00value", as_documented)]
    assert envelope.open(row) == b"\x00value"
    assert [aad for _, aad in cipher.opened] == [as_documented]


U64 = st.integers(0, 2**64 - 1)
BYTES = st.none() | st.binary(max_size=40)


@given(
    st.builds(
        PayloadAad,
        execution_id=st.binary(min_size=16, max_size=16),
        entry_no=U64,
        generation=U64,
        step_id=st.text(max_size=20),
        kind=U64,
        effect=U64,
        payload_version=U64,
        fingerprint=BYTES,
        idem_key=BYTES,
        detail=BYTES,
    ),
)
def test_associated_data_is_what_the_format_says(aad: PayloadAad) -> None:
    assert aad.encode() == (
        integer(1)
        + field(aad.execution_id)
        + integer(aad.entry_no)
        + integer(aad.generation)
        + text(aad.step_id)
        + integer(aad.kind)
        + integer(aad.effect)
        + integer(aad.payload_version)
        + field(aad.fingerprint)
        + field(aad.idem_key)
        + field(aad.detail)
    )


def test_a_cipher_is_bound_once_for_each_key() -> None:
    cipher = CountingCipher()
    wire = wire_format(BOTH, cipher=cipher)
    for _ in range(3):
        row = wire.envelope(execution()).row_of(result_of(EXECUTION, 0), 1, GENESIS, NOW)
        wire.envelope(execution()).open(row)
    assert cipher.binds == 1
    assert wire.bound(1, 1) is not wire.bound(1, 2)
    assert cipher.binds == 2


def test_a_stored_execution_is_checked_against_its_anchor() -> None:
    wire = wire_format()
    row = execution()
    macs = wire.envelope(row).keys.macs
    assert macs is not None
    anchored = row._replace(anchor_mac=anchor_mac(macs, row))
    assert wire.verified(anchored).sealed
    with pytest.raises(IntegrityError):
        wire.verified(anchored._replace(status="completed"))


def test_ec_24_a_sealed_execution_without_any_key_is_a_matter_of_configuration() -> None:
    with pytest.raises(ConfigError, match=r"is sealed and no key is configured.*DURABLE_KEY"):
        wire_format(None).verified(execution())


def test_inv_16_an_execution_without_stamps_is_refused_where_there_is_a_key() -> None:
    bare = execution(None, sealed=False)
    assert wire_format(None).verified(bare).keys.mac_key is None
    with pytest.raises(IntegrityError, match=r"no stamps .*somebody took them off.*backup"):
        wire_format().verified(bare)
    assert evolve(wire_format(), accept_unstamped=True).verified(bare).keys.mac_key is None


def test_ec_24_a_stamped_execution_without_its_key_names_the_key() -> None:
    with pytest.raises(ConfigError, match="key id 1"):
        wire_format(None).verified(execution(sealed=False))
    with pytest.raises(ConfigError, match="key id 1"):
        wire_format(MasterKeys(2, {2: OTHER_MASTER})).verified(execution())


@pytest.mark.parametrize(
    "wire",
    [
        evolve(wire_format(), cipher=None),
        evolve(wire_format(), keyring=Keyring.derive(None)),
        wire_format(None),
    ],
    ids=["no-cipher", "no-key", "neither"],
)
def test_a_sealed_execution_takes_no_plain_entry(wire: WireFormat) -> None:
    """Encryption that was switched off later never weakens what began sealed."""
    envelope = evolve(sealing(), wire=wire)
    with pytest.raises(ConfigError, match="no cipher or key is configured"):
        envelope.row_of(result_of(EXECUTION, 0), 1, GENESIS, NOW)


def test_inv_05_no_repr_shows_a_key() -> None:
    envelope = sealing()
    envelope.row_of(result_of(EXECUTION, 0), 1, GENESIS, NOW)
    shown = f"{envelope!r} {envelope.wire!r}"
    keyring = envelope.wire.keyring
    for secret in (MASTERS.by_id[1], keyring.payload_key(1), envelope.keys.mac_key):
        assert secret is not None
        assert repr(secret)[2:-1] not in shown
