"""The integrity chain: a MAC over every row that continues the one before, and an anchor (INV-16).

```
row:     BLAKE3-keyed(mac_key, "row v1" | hmac of the row before, or 32 zero bytes |
             field() of execution_id, entry_no, generation, step_id, entry_kind, fingerprint,
             idem_key, effect_class, detail, payload_version, created_at | BLAKE3(payload))
anchor:  BLAKE3-keyed(mac_key, "anchor v1" |
             field() of execution_id, workflow, kind, execution_key, key_id, sealed, stamped,
             status, generation, entry_count, head_hmac)
```
The payload is the blob as it lies on disk; the hash of no payload is that of the empty string.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from blake3 import blake3

from durable_core.contracts.cipher import Fields, entry_fields
from durable_core.errors import IntegrityError
from durable_core.ids import shown_id
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow, status_of
from durable_core.wire.fields import field, integer, text

__all__ = [
    "GENESIS",
    "AnchorPrefix",
    "Macs",
    "anchor_mac",
    "check_anchor",
    "check_row",
    "check_rows",
]

GENESIS: Final = bytes(32)
"""What stands in place of the hmac before an execution's first row."""

_TAIL: Final = struct.Struct(">IQIQ")
_PLACE: Final = struct.Struct(">6s32sI16sIQIQI")
_OF_A_STEP: Final = struct.Struct(">IQI32sI32sIQI")
_END: Final = struct.Struct(">IQIQ32s")
_STATE: Final = struct.Struct(">IQIQIQI32s")
_ROW: Final = b"row v1"
_DIGEST: Final = 32
_EMPTY: Final = blake3(b"").digest()
_STRANGE: Final = (
    IntegrityError,
    TypeError,
    ValueError,
    OverflowError,
    AttributeError,
    struct.error,
)
"""What columns lead to that no writer fills like that: other types, no status, no UTF-8."""


class Macs:
    """MACs under one key. Safe to use from any thread; never shows its key."""

    __slots__ = ("_idle", "_keyed")

    def __init__(self, mac_key: bytes) -> None:
        self._keyed = blake3(key=mac_key)
        # Making the hashers of a row costs more than half of its MAC. Those that were made lie
        # ready; each pair belongs to one call at a time.
        self._idle: list[tuple[blake3, blake3]] = []

    def of_row(
        self,
        before: bytes,
        fields: Fields,
        payload: bytes | None,
        payload_version: int,
        created_at: int,
    ) -> bytes:
        """The hmac (32 bytes) of a row after the row `before`.

        Of columns that `entry_fields` has packed, and of the rest.
        """
        place, digests, effect, detail = fields
        try:
            pair = self._idle.pop()
        except IndexError:
            pair = self._keyed.copy(), blake3()
        keyed, plain = pair
        blob = _EMPTY
        if payload is not None:
            plain.update(payload)
            blob = plain.digest()
            plain.reset()
        tail = _TAIL.pack(8, payload_version, 8, created_at)
        keyed.update(b"".join((_ROW, before, place, digests, effect, detail, tail, blob)))
        mac = keyed.digest()
        keyed.reset()
        self._idle.append(pair)
        return mac

    def follow(self, before: bytes, rows: Sequence[JournalRow]) -> bytes:
        """As `check_rows`, under this key."""
        try:
            pair = self._idle.pop()
        except IndexError:
            pair = self._keyed.copy(), blake3()
        keyed, plain = pair
        for row in rows:
            stamp, payload = row[11], row[9]
            if stamp is None:
                raise _damaged(row, "has no stamp in a stamped execution")
            if payload is not None and not payload:
                # Hashed like no payload at all, and no writer produces it.
                raise _damaged(row, "has an empty payload")
            try:
                blob = _EMPTY
                if payload is not None:
                    plain.update(payload)
                    blob = plain.digest()
                    plain.reset()
                keyed.update(_columns(before, row, blob))
                before = keyed.digest()
                keyed.reset()
                fits = hmac.compare_digest(before, stamp)
            except _STRANGE:
                raise _damaged(row, "has a column of the wrong type") from None
            if not fits:
                raise _damaged(row, "does not continue the chain")
        self._idle.append(pair)
        return before

    def of_anchor(self, data: bytes) -> bytes:
        """The MAC (32 bytes) of the canonical fields of an anchor."""
        return self._keyed.copy().update(data).digest()


def check_row(macs: Macs | None, before: bytes, row: JournalRow) -> bytes:
    """As `check_rows`, of one row."""
    return check_rows(macs, before, (row,))


def check_rows(macs: Macs | None, before: bytes, rows: Sequence[JournalRow]) -> bytes:
    """Verify rows that stand behind the row `before`, one behind the other; the last one's hmac.

    `IntegrityError` for the first that does not fit. `macs` is None for an unstamped execution,
    whose rows must carry no hmac.
    """
    if macs is not None:
        return macs.follow(before, rows)
    for row in rows:
        if row.hmac is not None:
            raise _damaged(row, "is stamped in an execution that is not")
    return GENESIS


def _columns(before: bytes, row: JournalRow, blob: bytes) -> bytes:
    """What is hashed of a stored row, whose payload has the digest `blob`."""
    execution_id, number, generation, step_id, kind, fingerprint, idem_key, effect = row[:8]
    detail, version, created_at = row[8], row[10], row[12]
    step = step_id.encode()
    if (
        detail is None
        or not (fingerprint and idem_key)
        or not len(before) == len(fingerprint) == len(idem_key) == _DIGEST
    ):
        tail = _TAIL.pack(8, version, 8, created_at)
        return b"".join((_ROW, before, *entry_fields(*row[:9]), tail, blob))
    # What most rows are, in fewer pieces.
    return b"".join(
        (
            _PLACE.pack(_ROW, before, 16, execution_id, 8, number, 8, generation, len(step)),
            step,
            _OF_A_STEP.pack(
                8, kind, _DIGEST, fingerprint, _DIGEST, idem_key, 8, effect, len(detail)
            ),
            detail,
            _END.pack(8, version, 8, created_at, blob),
        )
    )


@lru_cache(maxsize=256)
def _in_front(
    workflow: str, kind: str, key_id: int | None, sealed: int, stamped: int
) -> tuple[bytes, bytes]:
    """What the anchors of many executions have in common, in front of their key and behind it."""
    flags = integer(key_id) + integer(sealed) + integer(stamped)
    return text(workflow) + text(kind), flags


class AnchorPrefix:
    """The part of an anchor that never changes during an execution's life, encoded once."""

    __slots__ = ("_macs", "_prefix")

    def __init__(self, macs: Macs, row: ExecutionRow) -> None:
        self._macs = macs
        kind, flags = _in_front(row.workflow, row.kind, row.key_id, row.sealed, row.stamped)
        self._prefix = b"".join(
            (b"anchor v1", field(row.execution_id), kind, text(row.execution_key), flags)
        )

    def mac(self, status: int, generation: int, entry_count: int, head: bytes | None) -> bytes:
        """The anchor MAC (32 bytes) of the execution in this state."""
        if head and len(head) == _DIGEST:
            state = _STATE.pack(8, status, 8, generation, 8, entry_count, _DIGEST, head)
        else:
            state = integer(status) + integer(generation) + integer(entry_count) + field(head)
        return self._macs.of_anchor(self._prefix + state)


def anchor_mac(macs: Macs, row: ExecutionRow) -> bytes:
    """The anchor MAC of `row` as it stands; its own `anchor_mac` is not looked at."""
    prefix = AnchorPrefix(macs, row)
    return prefix.mac(status_of(row.status), row.generation, row.entry_count, row.head_hmac)


def check_anchor(macs: Macs | None, row: ExecutionRow) -> None:
    """Verify an execution's own row; `IntegrityError` if it is not what was written."""
    if row.stamped != (macs is not None) or row.stamped != (row.key_id is not None):
        raise _altered(row)
    if row.sealed and not row.stamped:
        raise _altered(row)
    try:
        if macs is None:
            status_of(row.status)
            fits = row.anchor_mac is None and row.head_hmac is None
        else:
            fits = hmac.compare_digest(anchor_mac(macs, row), row.anchor_mac or b"")
    except _STRANGE:
        raise _altered(row) from None
    if not fits:
        raise _altered(row)


def _damaged(row: JournalRow, what: str) -> IntegrityError:
    return IntegrityError(
        f"entry {row.entry_no} of execution {shown_id(row.execution_id)} {what}: the journal "
        "was changed outside durable-core; restore it from a backup",
    )


def _altered(row: ExecutionRow) -> IntegrityError:
    return IntegrityError(
        f"the record of execution {shown_id(row.execution_id)} does not match its anchor: it "
        "was changed outside durable-core; restore it from a backup",
    )
