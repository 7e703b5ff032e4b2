"""An answer that another thread gives, told before those who wait for it are woken.

A task that waits for a future goes on a turn of the event loop behind its result, and whom it then
tells goes on a turn behind that. Told at once, both go on in the same turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Answer"]

T = TypeVar("T")


class Answer(asyncio.Future[T]):
    """A future whose result `told` hears first; where it fails or is cancelled, nobody does."""

    def __init__(self, told: Callable[[T], Any], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._told = told

    def set_result(self, result: T) -> None:
        """Tell the result, then wake those who wait, whatever becomes of the telling."""
        try:
            self._told(result)
        finally:
            super().set_result(result)
