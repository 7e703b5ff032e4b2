"""How a backend asks a server again for what it could not answer just now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from durable_core.errors import TransientStoreError

__all__ = ["ask_again"]

T = TypeVar("T")

_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.5


async def ask_again(attempt: Callable[[], Awaitable[T]], patience_s: float) -> T:
    """What `attempt` returns, tried again after `TransientStoreError` for up to `patience_s`.

    Only for what changes nothing: whether a commit may be repeated is the writer's decision.
    """
    clock = asyncio.get_running_loop()
    deadline = clock.time() + patience_s
    pause = _FIRST_PAUSE_S
    while True:
        try:
            return await attempt()
        except TransientStoreError:
            if clock.time() + pause > deadline:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
