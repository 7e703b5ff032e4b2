"""Starts a task at once instead of at the loop's next turn.

A guarded function that waits for nothing then costs no turn at all, nor a task unless it looks at
its own; any other one costs a turn less. Python 3.12 has eager tasks of its own; this is one for
every version, made of what asyncio documents for those who implement tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from operator import attrgetter
from types import TracebackType
from typing import Any, Generic, TypeVar

__all__ = ["cancel_requests", "start_at_once"]

T = TypeVar("T")


def start_at_once(
    coroutine: Coroutine[Any, Any, T],
    name: str,
    of: object = None,
    context: Context | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
) -> tuple[asyncio.Task[T], tuple[T] | None]:
    """Run `coroutine` in a task of its own as far as its first wait, before this returns.

    The task, and the value in a tuple where there was nothing to wait for. The task itself is done
    at the loop's next turn then, if anybody looks at it. To the code inside, the task is the
    current one from the start, with `context` or a copy of the current one, so that time limits
    hold on to the right one. If it is made it is named `name`, and `of` whom it is. Only for a
    caller in `loop`, or in the running one: a task or a callback; what `coroutine` raises is raised
    from the task alone.
    """
    loop = asyncio.get_running_loop() if loop is None else loop
    caller = asyncio.current_task(loop)
    started = _Started(coroutine)
    context = copy_context() if context is None else context
    task: _Task[T] = _UnmadeTask.__new__(_UnmadeTask)
    task.making = (started, loop, name, of, context)
    if caller is not None:
        asyncio.tasks._leave_task(loop, caller)  # noqa: SLF001 - documented under "Extending"
    asyncio.tasks._enter_task(loop, task)  # noqa: SLF001
    try:
        context.run(started.begin)
    finally:
        asyncio.tasks._leave_task(loop, task)  # noqa: SLF001
        if caller is not None:
            asyncio.tasks._enter_task(loop, caller)  # noqa: SLF001
    if started.returned is None:
        _make(task)
    return task, started.returned


def cancel_requests(task: asyncio.Task[Any] | None) -> int:
    """How often `task` has been asked to cancel, and that was not withdrawn.

    Makes no task: one that nobody has looked at was asked by nobody.
    """
    if task is None or type(task) is _UnmadeTask:
        return 0
    return task.cancelling()


class _Task(asyncio.Task[T]):
    """A task that can be made later than it begins."""

    __slots__ = ("making",)

    making: tuple[Coroutine[Any, Any, T], asyncio.AbstractEventLoop, str, object, Context]
    """What it is made of, as long as it is not."""


class _UnmadeTask(_Task[T]):
    """One that is not made yet: there is nothing of it but its identity.

    What is dear about a task is that the loop learns of it and takes a turn for it, in vain where
    its coroutine has waited for nothing. So it is made when anybody asks it for anything.
    """

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - whatever a task has
        _make(self)
        return getattr(self, name)

    def __await__(self) -> Generator[Any, None, T]:
        _make(self)
        return self.__await__()

    def __iter__(self) -> Generator[Any, None, T]:
        _make(self)
        return self.__iter__()


def _is_unmade(task: asyncio.Task[Any]) -> bool:
    return type(task) is _UnmadeTask


def _make(task: _Task[Any]) -> None:
    if not _is_unmade(task):
        return
    coroutine, loop, name, of, context = object.__getattribute__(task, "making")
    task.__class__ = _Task
    del task.making
    name = name if of is None else f"{name}-{of}"
    # Not by the loop's factory, which may be asyncio's own eager one.
    asyncio.Task.__init__(task, coroutine, loop=loop, name=name, context=context)


class _Started(Coroutine[Any, Any, T], Generic[T]):
    """A coroutine whose first step was taken already; the task is told its outcome when it asks."""

    # What `inspect` and asyncio's own messages look at.
    __name__ = property(attrgetter("_coroutine.__name__"))
    cr_await = property(attrgetter("_coroutine.cr_await"))
    cr_code = property(attrgetter("_coroutine.cr_code"))
    cr_frame = property(attrgetter("_coroutine.cr_frame"))
    cr_origin = property(attrgetter("_coroutine.cr_origin"))
    cr_running = property(attrgetter("_coroutine.cr_running"))
    cr_suspended = property(attrgetter("_coroutine.cr_suspended"))

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.returned: tuple[T] | None = None
        self._coroutine = coroutine
        self._raised: BaseException | None = None
        self._waited: object = None
        self._told = False
        self._cancelled: asyncio.CancelledError | None = None
        """What is raised when what it waits for is done, which could not be cancelled."""

    def begin(self) -> None:
        try:
            waited = self._coroutine.send(None)
            if isinstance(waited, asyncio.Future):
                # Nobody waits for it before the task asks; until then others may begin to.
                waited._asyncio_future_blocking = False  # noqa: SLF001 - documented there too
            self._waited = waited
        except StopIteration as stop:
            self.returned = (stop.value,)
        except BaseException as error:  # noqa: BLE001 - the task's, as if its own step had raised
            self._raised = error

    def send(self, value: object) -> object:
        if self._told:
            return self._coroutine.send(value)
        self._told = True
        if self._cancelled is not None:
            return self._coroutine.throw(self._cancelled)
        if self._raised is not None:
            raise self._raised
        if self.returned is not None:
            raise StopIteration(self.returned[0])
        if isinstance(self._waited, asyncio.Future):
            self._waited._asyncio_future_blocking = True  # noqa: SLF001
        return self._waited

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        value: object = None,
        traceback: TracebackType | None = None,
    ) -> object:
        if not self._told:
            # Cancelled before the turn in which the task would have learned how far it is.
            if self.returned is not None or self._raised is not None:
                return self.send(None)
            if isinstance(kind, asyncio.CancelledError):
                if self._cancelled is None and self._waits_on(kind):
                    return self._waited
            elif self._cancelled is not None:
                kind = self._cancelled
            self._told = True
        if isinstance(kind, BaseException):
            return self._coroutine.throw(kind)
        return self._coroutine.throw(kind, value, traceback)

    def _waits_on(self, error: asyncio.CancelledError) -> bool:
        """Cancel what is waited for; whether the task learns of `error` only when that is done.

        As any task that is cancelled while it waits: what cleans up, or refuses, is waited for.
        """
        waited = self._waited
        if not isinstance(waited, asyncio.Future):
            return False
        if waited.cancel(*error.args):
            self._told = True
        elif not waited.done():
            self._cancelled = error
        else:
            return False
        waited._asyncio_future_blocking = True  # noqa: SLF001
        return True

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._coroutine.__await__()
