"""Checkpoints: entries that follow one another, kept together in one that stands in their place.

```
detail   CBOR [first entry_no, hmac before that, last folded hmac]      null where there are none
payload  0x01 | CBOR array of the folded entries, in order, each of them
         [step id, entry kind, fingerprint, idem_key, effect class, detail, payload, hmac,
          created_at]
```
The checkpoint has the `entry_no` of the last entry that it stands for, and their generation. Its
own row continues the entry before the range, and the row behind it continues the last folded
hmac, which it carries: so the chain goes on, and an anchor stays what it was (INV-16). The payloads
of the entries are opened first, and sealed together with the checkpoint, under the current key.

Guarded effects are never folded: INV-13 rests on their own rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from durable_core.errors import DecodeError
from durable_core.ids import ExecutionId
from durable_core.model.effects import EffectClass
from durable_core.model.entries import (
    PAYLOAD_VERSION,
    PROMISE_KINDS,
    TIMER_KINDS,
    Checkpoint,
    EntryKind,
    FoldedRow,
    JournalRow,
)
from durable_core.wire.cbor import ARRAY, dump, head, load
from durable_core.wire.envelope import ExecutionEnvelope

__all__ = [
    "Span",
    "checkpoint_of",
    "folded_item",
    "head_behind",
    "is_foldable",
    "part_size",
    "snapshot_of",
    "unfolded",
]

_VERSION: Final = b"\x01"
_HMAC: Final = 32
_FIRST: Final = 2
"""An execution's first entry is the start of its first generation, which is never folded."""

_OF_STEPS: Final = frozenset({EntryKind.STEP_RESULT, EntryKind.STEP_FAILED})
_FOLDED: Final = _OF_STEPS | TIMER_KINDS | PROMISE_KINDS
_PLAIN: Final = frozenset({EffectClass.IDEMPOTENT, EffectClass.AT_LEAST_ONCE})
_LONGEST_HEAD: Final = 6


def is_foldable(kind: int, effect_class: int) -> bool:
    """Whether an entry of that kind and class may be folded, once it is finished."""
    if kind in _OF_STEPS:
        return effect_class in _PLAIN
    return kind in _FOLDED and effect_class == 0


@frozen
class Span:
    """What a checkpoint says in clear of the range that it stands for."""

    first: int
    before: bytes | None
    last: bytes | None

    def detail(self) -> bytes:
        """The detail of the entry."""
        return dump([self.first, self.before, self.last])

    @classmethod
    def decode(cls, row: JournalRow) -> Span:
        """That of a checkpoint's row; `DecodeError` for anything that `detail` does not write."""
        match load(row.detail or b""):
            case [int() as first, None, None] if _FIRST <= first <= row.entry_no:
                return cls(first, None, None)
            case [int() as first, bytes() as before, bytes() as last] if (
                _FIRST <= first <= row.entry_no and len(before) == len(last) == _HMAC
            ):
                return cls(first, before, last)
            case _:
                message = (
                    f"the detail of the checkpoint in entry {row.entry_no} does not follow the "
                    "format"
                )
                raise DecodeError(message)


def head_behind(row: JournalRow) -> bytes | None:
    """The hmac that the row behind this one continues; None in an unstamped execution.

    `DecodeError` for a checkpoint that does not say which.
    """
    return Span.decode(row).last if row.entry_kind == EntryKind.CHECKPOINT else row.hmac


def folded_item(row: JournalRow, payload: bytes | None) -> bytes:
    """A verified entry as it stands in a snapshot, `payload` being what opening it gave."""
    return dump(
        [
            row.step_id,
            int(row.entry_kind),
            row.fingerprint,
            row.idem_key,
            int(row.effect_class),
            row.detail,
            payload,
            row.hmac,
            row.created_at,
        ]
    )


def part_size(items: int) -> int:
    """An upper bound of the bytes of a snapshot, when its items have so many."""
    return len(_VERSION) + _LONGEST_HEAD + items


def snapshot_of(items: Sequence[bytes]) -> bytes:
    """The plain payload of a checkpoint that holds these items."""
    return _VERSION + head(ARRAY, len(items)) + b"".join(items)


def checkpoint_of(
    envelope: ExecutionEnvelope,
    first: int,
    last: JournalRow,
    snapshot: bytes,
    before: bytes,
    now_ms: int,
) -> JournalRow:
    """The row that stands in place of the entries from `first` to `last`.

    The first of them continues the hmac `before`. Sealed under a fresh nonce. `PayloadTooLarge`
    for a snapshot above the limit.
    """
    envelope.wire.guard(snapshot)
    span = Span(first, None if last.hmac is None else before, last.hmac)
    entry = Checkpoint(
        ExecutionId(bytes=envelope.execution_id), last.generation, span.detail(), snapshot
    )
    return envelope.row_of(entry, last.entry_no, before, now_ms)


def unfolded(envelope: ExecutionEnvelope, row: JournalRow) -> list[FoldedRow]:
    """The entries that a verified checkpoint stands for, in order; never some of them.

    `DecodeError` for a snapshot that does not follow the format or does not fit its range, and as
    `ExecutionEnvelope.open` raises.
    """
    span = Span.decode(row)
    snapshot = envelope.open(row)
    if snapshot[:1] != _VERSION:
        raise _unreadable(row, "has a version that this build does not read: upgrade durable-core")
    items = load(snapshot[1:])
    if not isinstance(items, list) or len(items) != row.entry_no - span.first + 1:
        raise _unreadable(row, "does not hold the entries of its range")
    entries = [_entry(row, number, item) for number, item in enumerate(items, span.first)]
    stamped = span.last is not None
    if entries[-1].hmac != span.last or any((one.hmac is not None) != stamped for one in entries):
        raise _unreadable(row, "does not end with the hmac that it carries")
    return entries


def _entry(row: JournalRow, number: int, item: object) -> FoldedRow:
    match item:
        case [
            str() as step_id,
            int() as kind,
            bytes() | None as fingerprint,
            bytes() | None as idem_key,
            int() as effect,
            bytes() | None as detail,
            bytes() | None as payload,
            bytes() | None as mac,
            int() as created_at,
        ] if is_foldable(kind, effect) and (mac is None or len(mac) == _HMAC):
            columns = (
                *(row.execution_id, number, row.generation, step_id, kind),
                *(fingerprint, idem_key, effect, detail, payload),
                *(PAYLOAD_VERSION, mac, created_at),
            )
            return FoldedRow._make(columns)
        case _:
            raise _unreadable(row, f"holds no entry {number} that could be folded")


def _unreadable(row: JournalRow, what: str) -> DecodeError:
    return DecodeError(f"the checkpoint in entry {row.entry_no} {what}")
