"""The branches of a run while their code runs: whose task is whose, and how each is ended (INV-21).

A strand is a branch with its task. The root strand is the workflow itself; a parallel block has
one for each of its branches. Their coroutines are the engine's to close. Any other task that calls
steps was made by the workflow's code: it belongs to the branch in which it was made, as the
context says that it inherited, and is only cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from durable_core.engine.branch import Branch
from durable_core.engine.refused import foreign_task

if TYPE_CHECKING:
    from durable_core.engine.run import Run
    from durable_core.engine.spec import StepSpec

__all__ = ["Strand", "Strands"]


class Strand:
    """One branch while its code runs. Used by the event loop's thread alone."""

    __slots__ = ("branch", "depth", "inside", "over", "requests", "run", "task")

    def __init__(self, run: Run, branch: Branch, depth: int = 0) -> None:
        self.run = run
        self.branch = branch
        self.depth = depth
        """How many parallel blocks it lies in."""

        self.task: asyncio.Task[Any] | None = None
        self.over = False
        self.inside = 0
        """How many functions of steps run in the branch's own task: none or one."""

        self.requests = 0
        """How often its task had been asked to cancel when its step, or the function, began."""

    def must_close(self) -> bool:
        """Whether the branch's coroutine is to be closed: the run has ended.

        Not while a step's function runs in it, which is cancelled and may clean up. Asked whenever
        the coroutine is given control.
        """
        run = self.run
        run.ready_before = len(run.ready)
        return run.ended and not self.inside

    def call(
        self,
        spec: StepSpec,
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> Coroutine[Any, Any, Any]:
        """A direct call of a `@step` function in this branch; see `ActiveWorkflow`."""
        return self.run.call_in(self, spec, args, kwargs)

    def interrupt(self) -> None:
        """Have the branch's coroutine closed where it waits, since the run has ended.

        Its own code is closed when it next waits, and needs no cancellation; the function of a
        step that was cancelled already cleans up, and must not be cut off in that.
        """
        task = self.task
        if task is None:
            return
        if self.inside:
            if task.cancelling() > self.requests:
                return
        elif asyncio.current_task() is task:
            return
        task.cancel()


class Strands:
    """Those of one run, by their tasks. Used by the event loop's thread alone."""

    __slots__ = ("_by_task", "_foreign", "forked", "of")

    def __init__(self) -> None:
        self.forked = False
        """Whether there are more lines of code than the workflow's own."""

        self._by_task: dict[asyncio.Task[Any], Strand] = {}
        self.of: Callable[[Any], Strand | None] = self._by_task.get
        """The strand whose own task that is; None for any other task, and for None."""

        self._foreign: dict[asyncio.Task[Any], None] = {}

    @property
    def quiet(self) -> bool:
        """Whether the code of none runs."""
        return not self._by_task

    def add(self, strand: Strand, task: asyncio.Task[Any]) -> None:
        """`task` is the own one of `strand` from now on, and until it is done."""
        strand.task = task
        self._by_task[task] = strand
        self._count()
        task.add_done_callback(self._done)

    def enter(self, strand: Strand) -> None:
        """The current task is the own one of `strand` from now on, and until it says `leave`."""
        task = asyncio.current_task()
        if task is not None:
            strand.task = task
            self._by_task[task] = strand
            self._count()

    def leave(self, strand: Strand) -> None:
        """The code of `strand` has ended in its own task."""
        if strand.task is not None:
            self._done(strand.task)

    def note_foreign(self, name: str, task: asyncio.Task[Any] | None) -> None:
        """The current `task`, which the workflow made, calls the step `name`.

        `ExecutionError` in a thread, and in a callback of the event loop.
        """
        if task is None or all(own.get_loop() is not task.get_loop() for own in self._by_task):
            raise foreign_task(name)
        if task not in self._foreign:
            self._foreign[task] = None
            self._count()
            task.add_done_callback(self._foreign_done)

    def own(self) -> Strand | None:
        """The strand whose own task is the current one; None in a callback, and in a thread."""
        try:
            return self.of(asyncio.current_task())
        except RuntimeError:  # in a thread
            return None

    def interrupt(self) -> None:
        """The run has ended: have every strand closed."""
        for strand in list(self._by_task.values()):
            strand.interrupt()

    def abandon(self) -> None:
        """Cancel every strand, whatever it does."""
        for task in self._by_task:
            task.cancel()

    async def closed(self) -> None:
        """Close what is left, of a block that was never left, and wait for its end."""
        if self._by_task:
            self.interrupt()
            await asyncio.wait(set(self._by_task))

    def _done(self, task: asyncio.Task[Any]) -> None:
        strand = self._by_task.pop(task)
        strand.over = True
        strand.task = None  # whose context holds the strand: who leaves makes no cycle
        self._count()

    def _foreign_done(self, task: asyncio.Task[Any]) -> None:
        del self._foreign[task]
        self._count()

    def _count(self) -> None:
        self.forked = len(self._by_task) > 1 or bool(self._foreign)
