"""Starts a task at once instead of at the loop's next turn.

A guarded function that waits for nothing then costs no turn at all, and any other one turn less.
Python 3.12 has eager tasks of its own; this is one for every version, made of what asyncio
documents for those who implement tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Generic, TypeVar

__all__ = ["start_at_once"]

T = TypeVar("T")


def start_at_once(
    coroutine: Coroutine[Any, Any, T],
    name: str,
    context: Context | None = None,
) -> tuple[asyncio.Task[T], tuple[T] | None]:
    """Run `coroutine` in a task of its own as far as its first wait, before this returns.

    The task, and the value in a tuple where there was nothing to wait for. The task itself is done
    at the loop's next turn then. To the code inside, the task is the current one from the start,
    with `context` or a copy of the current one, so that time limits hold on to the right one. Only
    for a caller that is itself a task; what `coroutine` raises is raised from the task alone.
    """
    loop = asyncio.get_running_loop()
    caller = asyncio.current_task()
    if caller is None:
        coroutine.close()
        message = "only a task starts another one at once"
        raise RuntimeError(message)
    context = copy_context() if context is None else context
    started = _Started(coroutine)
    # Not by the loop's factory, which may be asyncio's own eager one.
    task = asyncio.Task(started, loop=loop, name=name, context=context)
    asyncio.tasks._leave_task(loop, caller)  # noqa: SLF001 - documented under "Extending"
    asyncio.tasks._enter_task(loop, task)  # noqa: SLF001
    try:
        context.run(started.begin)
    finally:
        asyncio.tasks._leave_task(loop, task)  # noqa: SLF001
        asyncio.tasks._enter_task(loop, caller)  # noqa: SLF001
    return task, started.returned


class _Started(Coroutine[Any, Any, T], Generic[T]):
    """A coroutine whose first step was taken already; the task is told its outcome when it asks."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.returned: tuple[T] | None = None
        self._coroutine = coroutine
        self._raised: BaseException | None = None
        self._waited: object = None
        self._told = False

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
            self._told = True
            if isinstance(self._waited, asyncio.Future):
                self._waited.cancel()
        if isinstance(kind, BaseException):
            return self._coroutine.throw(kind)
        return self._coroutine.throw(kind, value, traceback)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._coroutine.__await__()
