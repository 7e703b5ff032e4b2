"""Python's garbage collector, set as docs/scaling.md says for a process that does nothing else."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["RELIEVED", "relieved"]

RELIEVED: Final = "collector relieved"
"""What a figure says that was taken so; bench/README.md says what that is."""

_THRESHOLD: Final = 10_000


@contextmanager
def relieved() -> Iterator[None]:
    """Have it look at nothing that is there already, and seldom at what is new; then as before."""
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_THRESHOLD)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
