"""When a buffered append must be committed at the latest, although nobody waits for it."""

from __future__ import annotations

import asyncio

from durable_core.journal.intake import Intake
from durable_core.journal.settings import WriterSettings

__all__ = ["Urgency"]


class Urgency:
    """Two timers, ordinary and prompt (INV-20), each for the oldest append that still needs one.

    An append that an acknowledged one has taken along needs none any more, so that a timer does
    not make a commit of its own out of whatever came after it. While the commit loop is at work no
    timer is set: most appends are taken along by then.
    """

    def __init__(self, settings: WriterSettings, intake: Intake) -> None:
        self._intervals = (settings.flush_interval_ms / 1000, settings.prompt_interval_ms / 1000)
        self._timers = (_Timer(intake), _Timer(intake))
        self._at_rest = True

    def arm(self, *, prompt: bool) -> None:
        """Have what was accepted last committed when its interval is over."""
        self._timers[prompt].arm(self._intervals[prompt], at_rest=self._at_rest)

    def at_work(self) -> None:
        """The commit loop looks at the queue, until it is `at_rest`."""
        self._at_rest = False

    def at_rest(self) -> None:
        """The commit loop waits: what it has left is due when its interval is over."""
        self._at_rest = True
        for timer in self._timers:
            timer.set()

    def cancel(self) -> None:
        """Disarm both timers."""
        for timer in self._timers:
            timer.cancel()


class _Timer:
    """`_oldest` is the number of the append that `_deadline` belongs to, `_newest` of the last one.

    A batch takes what is there when it is formed: it may take the oldest along and leave one that
    was armed behind it. That one has no deadline of its own noted, and is committed at this one.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._oldest = 0
        self._newest = 0
        self._deadline = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, seconds: float, *, at_rest: bool) -> None:
        self._newest = self._intake.accepted
        if not self._is_served(self._oldest):
            return
        self._oldest = self._newest
        self._deadline = asyncio.get_running_loop().time() + seconds
        if at_rest:
            self.set()

    def set(self) -> None:
        """See that something fires at the deadline of what nobody has taken along."""
        if self._handle is None and not self._is_served(self._newest):
            loop = asyncio.get_running_loop()
            self._handle = loop.call_at(self._deadline, self._fire, loop)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = None
        if self._is_served(self._newest):
            return
        if loop.time() < self._deadline:
            # Set for an append that has been taken along since; the oldest of now has time left.
            self._handle = loop.call_at(self._deadline, self._fire, loop)
            return
        self._intake.urge(self._intake.accepted)

    def _is_served(self, number: int) -> bool:
        """Whether that append is committed, or about to be, without this timer."""
        return number <= self._intake.urgent or number <= self._intake.settled
