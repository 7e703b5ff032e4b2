"""Time as the journal sees it, behind a protocol so that a test can drive it."""

from __future__ import annotations

import time
from typing import Protocol

from attrs import frozen

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Wall-clock time. Safe to call from any thread."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        ...


@frozen
class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC, from the system clock."""
        return time.time_ns() // 1_000_000
