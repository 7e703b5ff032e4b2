"""The parameters of a statement for many rows, for a driver that binds a `bytearray` as it is.

As `sqlite3` does with ints, floats, texts and bytearrays: of any other value it looks for an
adapter first, which takes five times as long. Where all rows have the same columns each is taken
apart at once, and a sum is how `bytes` become a `bytearray` in half the time of a call.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final

from durable_core.contracts.exchange import HeadChange
from durable_core.model.entries import JournalRow

__all__ = ["of_advances", "of_entries", "of_rows"]

_NO_BYTES: Final = bytearray()


def of_rows(rows: Iterable[Iterable[object]]) -> list[object]:
    """All values of `rows`, one after the other."""
    empty = _NO_BYTES
    return [
        empty + value if isinstance(value, bytes) else value for value in chain.from_iterable(rows)
    ]


def of_entries(rows: Iterable[JournalRow]) -> list[object]:
    """As `of_rows`, of entries."""
    empty, values = _NO_BYTES, list[object]()
    for (
        one,
        number,
        generation,
        step,
        kind,
        mark,
        key,
        effect,
        detail,
        blob,
        version,
        mac,
        at,
    ) in rows:
        values += (
            empty + one if one.__class__ is bytes else one,
            number,
            generation,
            step,
            kind,
            empty + mark if mark.__class__ is bytes else mark,
            empty + key if key.__class__ is bytes else key,
            effect,
            empty + detail if detail.__class__ is bytes else detail,
            empty + blob if blob.__class__ is bytes else blob,
            version,
            empty + mac if mac.__class__ is bytes else mac,
            at,
        )
    return values


def of_advances(changes: Iterable[HeadChange]) -> list[object]:
    """As `of_rows`, of changes that keep the status, without that and `finalized_at`."""
    empty, values = _NO_BYTES, list[object]()
    for one, epoch, expected, before, _, generation, count, head, anchor, at, _ in changes:
        values += (
            empty + one if one.__class__ is bytes else one,
            epoch,
            expected,
            before,
            generation,
            count,
            empty + head if head.__class__ is bytes else head,
            empty + anchor if anchor.__class__ is bytes else anchor,
            at,
        )
    return values
