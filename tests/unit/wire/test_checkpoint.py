"""Checkpoints as bytes: what is folded comes back, and nothing else is ever read as one (EC-38)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_core.errors import DecodeError, PayloadTooLarge
from durable_core.ids import ExecutionId
from durable_core.model.effects import EffectClass
from durable_core.model.entries import Checkpoint, EntryKind, FoldedRow, JournalRow
from durable_core.model.execution import ExecutionRow
from durable_core.wire.cbor import dump
from durable_core.wire.checkpoint import (
    Span,
    checkpoint_of,
    folded_item,
    is_foldable,
    part_size,
    snapshot_of,
    unfolded,
)
from durable_core.wire.envelope import ExecutionEnvelope
from tests.journals import counted_id, intent_of, plain_row, result_of, wire_format

ID = counted_id(1)
HMAC = b"h" * 32
NOW = 1_700_000_000_000

ITEM: list[Any] = ["0", 3, b"f" * 32, b"i" * 32, 1, b"d", b"\x00\xf6", HMAC, NOW]


def envelope(*, keyed: bool = True, limit: int = 1 << 20) -> ExecutionEnvelope:
    execution = ExecutionRow(
        execution_id=ID.bytes,
        workflow="checkout",
        execution_key=None,
        kind="workflow",
        status="running",
        generation=0,
        key_id=1 if keyed else None,
        sealed=keyed,
        stamped=keyed,
        owner_id="",
        owner_epoch=1,
        entry_count=9,
        head_hmac=None,
        anchor_mac=None,
        created_at=0,
        updated_at=0,
        finalized_at=None,
    )
    wire = wire_format(max_payload_bytes=limit) if keyed else wire_format(None)
    return wire.envelope(execution)


def rows_of(sealing: ExecutionEnvelope, payloads: Sequence[bytes], first: int) -> list[JournalRow]:
    rows: list[JournalRow] = []
    for number, payload in enumerate(payloads, first):
        before = rows[-1].hmac if rows else HMAC
        rows.append(sealing.row_of(result_of(ID, number, payload), number, before or b"", NOW))
    return rows


def folded(sealing: ExecutionEnvelope, rows: Sequence[JournalRow]) -> JournalRow:
    snapshot = snapshot_of([folded_item(row, sealing.open(row)) for row in rows])
    return checkpoint_of(sealing, rows[0].entry_no, rows[-1], snapshot, HMAC, NOW)


def stored(detail: bytes, snapshot: bytes, *, entry_no: int = 3) -> JournalRow:
    """The row of a checkpoint without a key, whatever it holds."""
    entry = Checkpoint(ExecutionId(bytes=ID.bytes), 0, detail, snapshot)
    return envelope(keyed=False).row_of(entry, entry_no, b"", NOW)


@pytest.mark.parametrize("keyed", [True, False])
@given(payloads=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=30))
def test_ec_38_what_was_folded_comes_back(keyed: bool, payloads: list[bytes]) -> None:  # noqa: FBT001
    sealing = envelope(keyed=keyed)
    rows = rows_of(sealing, payloads, 5)
    checkpoint = folded(sealing, rows)
    assert (checkpoint.entry_no, checkpoint.entry_kind) == (rows[-1].entry_no, EntryKind.CHECKPOINT)
    sealing.check(HMAC, checkpoint)
    entries = unfolded(sealing, checkpoint)
    assert [sealing.open(entry) for entry in entries] == payloads
    assert [one._replace(payload=None) for one in entries] == [
        row._replace(payload=None) for row in rows
    ]


def test_an_entry_without_a_payload_has_none_behind_a_fold() -> None:
    sealing = envelope(keyed=False)
    item = [*ITEM[:1], int(EntryKind.TIMER_FIRED), None, None, 0, b"d", None, None, NOW]
    (entry,) = unfolded(sealing, stored(Span(3, None, None).detail(), snapshot_of([dump(item)])))
    assert entry.payload is None
    with pytest.raises(DecodeError, match="no payload"):
        sealing.open(entry)


def test_inv_11_a_snapshot_above_the_limit_is_refused() -> None:
    sealing = envelope(limit=100)
    rows = rows_of(sealing, [b"\x00"], 2)
    with pytest.raises(PayloadTooLarge):
        checkpoint_of(sealing, 2, rows[0], bytes(101), HMAC, NOW)


@given(st.lists(st.binary(max_size=300), max_size=40))
def test_a_part_is_no_larger_than_its_bound(payloads: list[bytes]) -> None:
    items = [dump(payload) for payload in payloads]
    assert len(snapshot_of(items)) <= part_size(sum(map(len, items)))


def test_guarded_effects_and_what_has_no_end_are_never_folded() -> None:
    plain = {EffectClass.IDEMPOTENT, EffectClass.AT_LEAST_ONCE}
    for kind in EntryKind:
        assert not is_foldable(kind, EffectClass.EXACTLY_ONCE_GUARDED)
        of_steps = kind in {EntryKind.STEP_RESULT, EntryKind.STEP_FAILED}
        assert all(is_foldable(kind, effect) == of_steps for effect in plain)
    assert {kind for kind in EntryKind if is_foldable(kind, 0)} == {5, 6, 7, 8}
    assert not is_foldable(12, 0)


@pytest.mark.parametrize(
    "detail",
    [
        None,
        b"",
        b"\x83",
        dump([2, None, None, None]),
        dump([1, None, None]),
        dump([4, None, None]),
        dump(["2", None, None]),
        dump([2, HMAC, None]),
        dump([2, None, HMAC]),
        dump([2, HMAC[1:], HMAC]),
        dump([2, HMAC, HMAC[1:]]),
        Span(2, None, None).detail() + b"\x00",
        Span(2, None, None).detail()[:-1],
        b"\x9f" + Span(2, None, None).detail()[1:] + b"\xff",
    ],
)
def test_any_other_detail_is_refused(detail: bytes | None) -> None:
    row = stored(b"", b"")._replace(detail=detail)
    with pytest.raises(DecodeError):
        Span.decode(row)
    with pytest.raises(DecodeError):
        unfolded(envelope(keyed=False), row)


def changed(place: int, value: object) -> bytes:
    item = [*ITEM[:7], None, NOW]
    item[place] = value
    return snapshot_of([dump(item)])


@pytest.mark.parametrize(
    ("snapshot", "what"),
    [
        (b"", "version"),
        (b"\x02" + changed(0, "0")[1:], "version"),
        (b"\x01", "truncated"),
        (changed(0, "0")[:-1], "truncated"),
        (changed(0, "0") + b"\x00", "deterministic|truncated"),
        (snapshot_of([]), "the entries of its range"),
        (snapshot_of([dump(ITEM), dump(ITEM)]), "the entries of its range"),
        (b"\x01" + dump({}), "the entries of its range"),
        (snapshot_of([dump("entry")]), "no entry 3"),
        (snapshot_of([dump(ITEM[:-1])]), "no entry 3"),
        (changed(0, 0), "no entry 3"),
        (changed(1, int(EntryKind.EFFECT_INTENT)), "no entry 3"),
        (changed(1, int(EntryKind.EXECUTION_STARTED)), "no entry 3"),
        (changed(1, int(EntryKind.CHECKPOINT)), "no entry 3"),
        (changed(2, "text"), "no entry 3"),
        (changed(4, int(EffectClass.EXACTLY_ONCE_GUARDED)), "no entry 3"),
        (changed(6, 7), "no entry 3"),
        (changed(7, HMAC[1:]), "no entry 3"),
        (changed(8, "now"), "no entry 3"),
        (snapshot_of([dump(ITEM)]), "hmac"),
    ],
)
def test_ec_38_a_snapshot_that_does_not_fit_is_refused_whole(snapshot: bytes, what: str) -> None:
    row = stored(Span(3, None, None).detail(), snapshot)
    with pytest.raises(DecodeError, match=what):
        unfolded(envelope(keyed=False), row)


def test_entries_with_and_without_stamps_are_no_range() -> None:
    other = [*ITEM[:7], None, NOW]
    row = stored(Span(2, HMAC, HMAC).detail(), snapshot_of([dump(other), dump(ITEM)]))
    with pytest.raises(DecodeError, match="hmac"):
        unfolded(envelope(keyed=False), row)
    end = stored(Span(2, HMAC, b"x" * 32).detail(), snapshot_of([dump(ITEM), dump(ITEM)]))
    with pytest.raises(DecodeError, match="hmac"):
        unfolded(envelope(keyed=False), end)


def test_inv_16_no_stored_row_is_taken_for_opened() -> None:
    """A plain payload in a sealed execution is damage, unless it came out of a checkpoint."""
    row = plain_row(intent_of(ID, 0))
    assert not isinstance(row, FoldedRow)
    sealing = envelope()
    with pytest.raises(Exception, match="plain in a sealed"):
        sealing.open(row._replace(payload=b"\x00\xf6"))
