"""An event loop that counts, and whose course is the same in every run and on every machine.

The time stands still in it, so that no timer fires, and it looks at what comes from outside (an
answer of a connection's thread, bytes of a server) only when it has nothing else to do, one answer
at a time. To the program that is a store which takes longer than everything that it could still
do: how many turns it takes, and what shares a batch, depends on the program alone.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
from asyncio import SelectorEventLoop
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, TypeVar, TypeVarTuple
from weakref import WeakSet

__all__ = ["CountingLoop", "run_counted"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_LONGEST_S: Final = 30.0
"""No answer takes that long: whoever waits longer waits for a timer."""


class CountingLoop(SelectorEventLoop):
    """Counts since it was made; take differences."""

    def __init__(self) -> None:
        self.hops = 0
        """Answers that other threads have handed back: one for each job that they were given."""

        self.tasks = 0
        self._owner = threading.get_ident()
        self._known: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._answers: deque[asyncio.Handle] = deque()
        self._outside = _Outside(self._take_answer)
        super().__init__(self._outside)

    @property
    def turns(self) -> int:
        """How often the loop has looked for what is to be done next."""
        return self._outside.turns

    def time(self) -> float:
        """It is always the same time."""
        return 0.0

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Also where a task asks for its first turn, however it was made."""
        task = getattr(callback, "__self__", None)
        if isinstance(task, asyncio.Task) and task not in self._known:
            self._known.add(task)
            self.tasks += 1
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Of another thread it is kept until the loop has nothing else to do."""
        if threading.get_ident() == self._owner:
            return super().call_soon_threadsafe(callback, *args, context=context)
        handle = asyncio.Handle(callback, args, self, context)
        self._answers.append(handle)
        self._outside.wake()
        return handle

    def _take_answer(self) -> None:
        answer = self._answers.popleft()
        self.hops += 1
        self.call_soon(answer._run)


class _Outside(selectors.DefaultSelector):
    """Shows the loop nothing from outside as long as it has something to do by itself."""

    def __init__(self, take_answer: Callable[[], None]) -> None:
        super().__init__()
        self.turns = 0
        self._take_answer = take_answer
        self._answered, self._answering = socket.socketpair()
        super().register(self._answered, selectors.EVENT_READ)

    def wake(self) -> None:
        """An answer is there."""
        self._answering.send(b"\0")

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """One turn of the loop."""
        self.turns += 1
        if timeout == 0:
            return []
        events = super().select(_LONGEST_S)
        if not events:
            message = "only a timer would go on here, and the time stands still"
            raise RuntimeError(message)
        others = [event for event in events if event[0].fileobj is not self._answered]
        if len(others) < len(events):
            self._answered.recv(1)
            self._take_answer()
        return others

    def close(self) -> None:
        """The selector, and the way by which it is woken."""
        super().close()
        self._answered.close()
        self._answering.close()


def run_counted(work: Callable[[CountingLoop], Coroutine[Any, Any, T]]) -> T:
    """What `work` returns, run in a loop of its own."""
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, CountingLoop)
        return runner.run(work(loop))
