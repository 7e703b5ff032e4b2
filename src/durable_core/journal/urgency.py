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
        self._intake = intake
        self._intervals = (settings.flush_interval_ms / 1000, settings.prompt_interval_ms / 1000)
        self._timers = (_Timer(intake), _Timer(intake))
        self._at_rest = True

    def arm(self, *, prompt: bool) -> None:
        """Have what was accepted last committed when its interval is over."""
        timer, intake = self._timers[prompt], self._intake
        timer.newest = intake.accepted
        if timer.oldest <= intake.urgent or timer.oldest <= intake.settled:
            timer.begin(self._intervals[prompt], at_rest=self._at_rest)

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
    """`oldest` is the number of the append that `_deadline` belongs to, `newest` of the last one.

    A batch takes what is there when it is formed: it may take the oldest along and leave one that
    was armed behind it. That one has no deadline of its own noted, and is committed at this one.
    """

    def __init__(self, intake: Intake) -> None:
        self.oldest = 0
        self.newest = 0
        self._intake = intake
        self._deadline = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def begin(self, seconds: float, *, at_rest: bool) -> None:
        """The newest is the oldest of those that need one."""
        self.oldest = self.newest
        self._deadline = asyncio.get_running_loop().time() + seconds
        if at_rest:
            self.set()

    def set(self) -> None:
        """See that something fires at the deadline of what nobody has taken along."""
        if self._handle is None and not self._all_served:
            loop = asyncio.get_running_loop()
            self._handle = loop.call_at(self._deadline, self._fire, loop)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = None
        if self._all_served:
            return
        if loop.time() < self._deadline:
            # Set for an append that has been taken along since; the oldest of now has time left.
            self._handle = loop.call_at(self._deadline, self._fire, loop)
            return
        self._intake.urge(self._intake.accepted)

    @property
    def _all_served(self) -> bool:
        """Whether the newest is committed, or about to be, without this timer."""
        return self.newest <= self._intake.urgent or self.newest <= self._intake.settled
