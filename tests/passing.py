"""Time that passes when a test says so, so that it depends on no machine which limit it meets."""

from __future__ import annotations

import time

import pytest

__all__ = ["Passing"]


class Passing:
    """Moves the monotonic clock, by which event loops and time limits go, ahead of the real one.

    A test sets limits that no machine exceeds, and lets them pass at once where one is to expire.
    Timers that are due by then are called at the next turn of the loop, in the order of their
    times. The wall clock, threads and a database's own waits know nothing of it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = time.monotonic
        self._ahead = 0.0
        monkeypatch.setattr(time, "monotonic", self._now)

    def __call__(self, seconds: float) -> None:
        """That many seconds have passed."""
        self._ahead += seconds

    def _now(self) -> float:
        return self._real() + self._ahead
