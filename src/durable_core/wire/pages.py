"""Opens what a page of verified rows holds at once, which costs less than one after the other.

What cannot be opened is left as it is stored: `ExecutionEnvelope.open` meets it again when somebody
asks for it, and says what is wrong with it. The limit of a payload comes first here too (INV-11).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from durable_core.contracts.cipher import BoundCipher, ManyOpens, encode_aad
from durable_core.model.entries import PAYLOAD_VERSION, EntryKind, JournalRow, OpenedRow
from durable_core.wire.envelope import FRAME, ExecutionEnvelope

__all__ = ["open_page"]

_RESULT: Final = int(EntryKind.STEP_RESULT)
_RESOLVED: Final = int(EntryKind.PROMISE_RESOLVED)
_LARGEST: Final = 4096
"""In bytes, what is opened with its page: what is larger gains little, and is held once, as it is
stored, until it is asked for."""


def open_page(
    envelope: ExecutionEnvelope, rows: Sequence[JournalRow], generation: int
) -> Sequence[JournalRow]:
    """`rows` in their order: results of that generation, and resolutions, opened where they can be.

    What is in one page is sealed in one way, but for the page in which the key changed: what is
    sealed otherwise than the first of it stays as it is.
    """
    if not envelope.sealed:
        return rows
    limit, frame = min(_LARGEST, envelope.wire.max_payload_bytes), b""
    places: list[int] = []
    sealed: list[tuple[bytes, bytes]] = []
    for at, row in enumerate(rows):
        blob = row[9]
        if (
            ((row[4] != _RESULT or row[2] != generation) and row[4] != _RESOLVED)
            or row.__class__ is not JournalRow
            or row[10] != PAYLOAD_VERSION
            or blob is None
            or not FRAME < len(blob) <= limit
        ):
            continue
        frame = frame or blob[:FRAME]
        if blob[:FRAME] == frame:
            places.append(at)
            aad = encode_aad(*row[:5], row[7], PAYLOAD_VERSION, row[5], row[6], row[8])
            sealed.append((blob[FRAME:], aad))
    if not places:
        return rows
    opened = list(rows)
    try:
        plain = _opened(envelope.wire.bound(frame[0], frame[1]), sealed)
        for at, payload in zip(places, plain, strict=True):
            if payload:  # of nothing, nothing was opened
                row = rows[at]
                opened[at] = tuple.__new__(OpenedRow, (*row[:9], payload, *row[10:]))
    except Exception:  # noqa: BLE001 - ciphers are foreign code; `open` meets it again
        return rows
    return opened


def _opened(cipher: BoundCipher, sealed: Sequence[tuple[bytes, bytes]]) -> Sequence[bytes]:
    if isinstance(cipher, ManyOpens):
        return cipher.open_each(sealed)
    return [cipher.open(body, aad) for body, aad in sealed]
