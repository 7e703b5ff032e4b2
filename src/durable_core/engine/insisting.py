"""Asks the store again for what is no append: claims and requests (the writer does it for appends).

An attempt whose answer was lost may have landed. Whoever insists looks for that before it believes
that somebody else was faster.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from durable_core.errors import TransientStoreError

__all__ = ["insist"]

T = TypeVar("T")

_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.5


async def insist(ask: Callable[[], Awaitable[T]], patience_ms: int) -> tuple[T, bool]:
    """The answer, and whether an earlier attempt may have landed without one.

    Asks again after `TransientStoreError` for about `patience_ms`; then raises the last one.
    """
    deadline = time.monotonic() + patience_ms / 1000
    pause = _FIRST_PAUSE_S
    unseen = False
    while True:
        try:
            return await ask(), unseen
        except TransientStoreError as error:
            unseen |= error.landed_unknown
            if time.monotonic() + pause > deadline:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
