"""Whether this engine counts as alive: whether it holds its owner lock (INV-15).

A lock that a connection holds can be lost while the process lives. Until it is taken again other
engines take this one for dead and claim what it runs. The fence refuses whatever it still sends;
so that it does not call functions in vain, it begins no step in that time.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import Final

from durable_core.errors import JournalUnavailable

__all__ = ["Standing"]

_LOG: Final = logging.getLogger("durable_core.engine")


class Standing:
    """Told by the backend, asked before each step. Used by the event loop's thread alone."""

    def __init__(self, patience_ms: int) -> None:
        self._patience = patience_ms / 1000
        self._held = asyncio.Event()
        self._held.set()
        self._regained_at = -math.inf
        self.held = True
        """Whether the owner lock is held right now, as far as the backend knows."""

    def change(self, held: bool) -> None:  # noqa: FBT001 - the backend's callback has one argument
        """The lock was lost, or taken again."""
        if held == self.held:
            return
        self.held = held
        if held:
            self._regained_at = time.monotonic()
            self._held.set()
            _LOG.warning("the owner lock is held again; steps go on")
        else:
            self._held.clear()
            _LOG.warning("the owner lock was lost; no step begins until it is held again")

    def held_for(self, seconds: float) -> bool:
        """Whether the lock has been held for that long, or was never lost."""
        return self.held and time.monotonic() - self._regained_at >= seconds

    async def regained(self) -> None:
        """Wait for the lock; `JournalUnavailable` if that takes longer than an acknowledgement."""
        try:
            async with asyncio.timeout(self._patience):
                await self._held.wait()
        except TimeoutError:
            message = (
                f"the owner lock was lost and not taken again for {self._patience:g} s; the "
                "execution goes on when the database can be reached"
            )
            raise JournalUnavailable(message) from None
