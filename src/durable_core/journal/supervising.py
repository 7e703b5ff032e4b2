"""Restarts a loop that dies, until it ends by itself or has to be given up (INV-12)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

from durable_core.errors import JournalUnavailable

__all__ = ["supervised"]

_CRASHES_BEFORE_DEATH: Final = 3
_FIRST_PAUSE: Final = 0.02


async def supervised(
    run: Callable[[], Coroutine[None, None, None]],
    progress: Callable[[], int],
    note_crash: Callable[[BaseException | None], None],
) -> None:
    """Run the writer's loop `run`, and run it again when it raises or its task is cancelled.

    `JournalUnavailable` after three crashes in a row between which `progress` did not change;
    `note_crash` hears of each. A cancelled caller takes the loop with it.
    """
    crashes, reached = 0, -1
    while True:
        task = asyncio.create_task(run(), name="durable-journal-writer")
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        error = None if task.cancelled() else task.exception()
        if not task.cancelled() and error is None:
            return
        note_crash(error)
        crashes = crashes + 1 if reached == progress() else 1
        reached = progress()
        if crashes >= _CRASHES_BEFORE_DEATH:
            message = "the journal writer crashes on every start; reopen"
            raise JournalUnavailable(message) from error
        await asyncio.sleep(_FIRST_PAUSE * crashes)
