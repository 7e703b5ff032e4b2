"""Texts for many rows: one statement for each part of a batch, whatever the number of its rows.

For a driver that leaves the interpreter to others during a statement: behind each its thread waits
for it, under a busy event loop for as long as `sys.getswitchinterval()`. So a text exists for each
of a few sizes, and what a number of rows is short of the next size goes as rows of NULL, which the
text passes over. Each is prepared once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from durable_core.storage.binding import of_rows

__all__ = ["LARGEST", "Many", "each"]

T = TypeVar("T")

LARGEST: Final = 512
"""The most rows of a statement."""

_EACH: Final = 8
"""Up to so many there is a text for each number of rows; of a larger one up to a third is NULL."""

_SIZES: Final = (*range(1, _EACH), *(8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, LARGEST))
_FITTING: Final = [_SIZES[bisect_left(_SIZES, rows)] for rows in range(LARGEST + 1)]
"""The least size for each number of rows."""


class Many:
    """A text whose `{rows}` gives so many rows of so many `columns`, the first of which is no NULL.

    `passes_nulls` says that it has no use for rows of NULL: it looks for something by them.
    """

    def __init__(self, text: str, columns: int, *, passes_nulls: bool = True) -> None:
        row = f"({', '.join('?' * columns)})"
        skipping = "{}" if passes_nulls else "SELECT * FROM ({}) WHERE column1 IS NOT NULL"
        values = {size: f"VALUES {', '.join([row] * size)}" for size in _SIZES}
        self.columns = columns
        self.texts = {
            size: text.format(rows=rows if size <= _EACH else skipping.format(rows))
            for size, rows in values.items()
        }
        """By the number of rows."""


def each(
    execute: Callable[[str, list[object]], T],
    many: Many,
    rows: Sequence[Any],
    parameters: Callable[[Sequence[Any]], list[object]] = of_rows,
) -> Iterator[T]:
    """Run `many` for all rows in their order, of which there may be none: what each run gave."""
    for at in range(0, len(rows), LARGEST):
        chunk = rows[at : at + LARGEST]
        size, values = _FITTING[len(chunk)], parameters(chunk)
        values += [None] * (many.columns * (size - len(chunk)))
        yield execute(many.texts[size], values)
