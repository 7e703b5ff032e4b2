"""When a buffered append must be committed at the latest, although nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from durable_core.journal.settings import WriterSettings

__all__ = ["Urgency"]


class Urgency:
    """Two timers, each armed by the first append that needs it: ordinary and prompt (INV-20)."""

    def __init__(self, settings: WriterSettings, urge: Callable[[int], None]) -> None:
        self._intervals = (settings.flush_interval_ms / 1000, settings.prompt_interval_ms / 1000)
        self._urge = urge
        self._timers: list[asyncio.TimerHandle | None] = [None, None]
        self._upto = 0

    def arm(self, upto: int, *, prompt: bool) -> None:
        """Have everything accepted up to `upto` committed when its interval is over."""
        self._upto = upto
        if self._timers[prompt] is None:
            loop = asyncio.get_running_loop()
            self._timers[prompt] = loop.call_later(self._intervals[prompt], self._fire, prompt)

    def cancel(self) -> None:
        """Disarm both timers."""
        for timer in self._timers:
            if timer is not None:
                timer.cancel()
        self._timers = [None, None]

    def _fire(self, which: int) -> None:
        self._timers[which] = None
        self._urge(self._upto)
