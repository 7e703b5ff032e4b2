"""What Python allocates while something is measured; everything is slower meanwhile."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Allocated", "traced"]


class Allocated:
    """The bytes that were allocated since tracing began and are not freed."""

    @property
    def now(self) -> int:
        """How many there are, garbage excepted."""
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    @property
    def peak(self) -> int:
        """How many there were at most since the last call of `reset_peak`."""
        return tracemalloc.get_traced_memory()[1]

    def reset_peak(self) -> None:
        """Begin to look for the peak here."""
        tracemalloc.reset_peak()


@contextmanager
def traced() -> Iterator[Allocated]:
    """Trace within the block."""
    gc.collect()
    tracemalloc.start()
    try:
        yield Allocated()
    finally:
        tracemalloc.stop()
