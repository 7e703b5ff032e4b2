"""`ctx.parallel()`: branches at the same time, each with step numbers of its own (EC-15).

The block takes one position of its branch, and its branches are numbered in the order in which they
are started. Nothing of a branch is numbered by what another one does, or by who is faster. Errors
and cancellation are those of `asyncio.TaskGroup`, which does the waiting.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from durable_core.engine.call import CURRENT
from durable_core.engine.definition import ACTIVE
from durable_core.engine.drive import Drive, RunEnded
from durable_core.engine.strand import Strand
from durable_core.errors import ConfigError, ExecutionError

if TYPE_CHECKING:
    from durable_core.engine.context import DurableContext
    from durable_core.engine.run import Run
    from durable_core.ids import StepId

__all__ = ["BranchTask", "ParallelBlock"]

P = ParamSpec("P")
T = TypeVar("T")


class BranchTask(Generic[T]):
    """A branch that was started; `result()` is there once its block was left."""

    def __init__(self, task: asyncio.Task[T], name: str) -> None:
        self._task = task
        self._name = name

    def result(self) -> T:
        """What the branch returned; raises what it raised, `CancelledError` if it was cancelled.

        `ExecutionError` while it runs.
        """
        if not self._task.done():
            message = f"{self._name} still runs; its result is there when its block has been left"
            raise ExecutionError(message)
        return self._task.result()

    def __repr__(self) -> str:
        return f"<BranchTask of {self._name}>"


class ParallelBlock:
    """What `ctx.parallel()` returns: to be entered once, by the branch that called it.

    Leaving it waits for all branches. When one fails, the others are cancelled, and the block
    raises an `ExceptionGroup` of what was raised; so does a body that fails.
    """

    def __init__(
        self,
        run: Run,
        parent: Strand,
        place: StepId,
        context_of: Callable[[Strand], DurableContext],
    ) -> None:
        self._run = run
        self._parent = parent
        self._place = place
        self._block = parent.branch.next_block()
        self._context_of = context_of
        self._group: asyncio.TaskGroup | None = None
        self._strands: list[Strand] = []
        self._left = False

    async def __aenter__(self) -> Self:
        if self._group is not None or self._run.strands.own() is not self._parent:
            message = (
                "a parallel block is entered once, by the branch that called ctx.parallel(), in "
                "its own task"
            )
            raise ExecutionError(message)
        self._run.sequence.deepen(self._parent.depth + 1)
        self._group = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left = True
        if self._group is None or isinstance(error, GeneratorExit):
            # The coroutine is being closed, and nothing may be waited for.
            for strand in self._strands:
                strand.interrupt()
        else:
            await self._group.__aexit__(kind, error, trace)

    def start(
        self,
        branch: Callable[Concatenate[DurableContext, P], Coroutine[Any, Any, T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> BranchTask[T]:
        """Run `branch(ctx, *args, **kwargs)` as the next branch, with a context of its own.

        It begins when the caller next waits. Arguments and result are not journaled: the branch
        runs again on replay, as the workflow does. Raises at once: `ExecutionError` outside of the
        block's body, `TypeError` for wrong arguments, `ConfigError` for what is no `async def`.
        """
        group, index = self._require_body(), len(self._strands)
        parent = self._parent
        strand = Strand(
            self._run,
            parent.branch.child(self._place, self._block, index),
            parent.depth + 1,
        )
        coroutine = branch(self._context_of(strand), *args, **kwargs)
        if not inspect.iscoroutine(coroutine):
            message = "a branch is an `async def` function whose first parameter is its context"
            raise ConfigError(message)
        driven = _driven(strand, coroutine)
        name = f"durable-branch-{self._run.execution_id}-{self._place}.{index}"
        try:
            self._run.activity.raise_owed()
            task = group.create_task(driven, name=name)
        except BaseException:
            driven.close()
            coroutine.close()
            raise
        self._strands.append(strand)
        # One that is cancelled before it began would be reported as never awaited.
        task.add_done_callback(lambda _: coroutine.close())
        self._run.strands.add(strand, task)
        return BranchTask(task, strand.branch.name)

    def __repr__(self) -> str:
        return f"<ParallelBlock at step {self._place} of execution {self._run.execution_id}>"

    def _require_body(self) -> asyncio.TaskGroup:
        run = self._run
        if self._group is None or self._left or run.strands.own() is not self._parent or run.ended:
            message = (
                "a branch is started in the body of its block, `async with ctx.parallel() as "
                "group`, by the branch that the block belongs to"
            )
            raise ExecutionError(message)
        return self._group


async def _driven(strand: Strand, coroutine: Coroutine[Any, Any, T]) -> T:
    ACTIVE.set(strand)
    CURRENT.set(None)
    try:
        return await Drive(coroutine, strand.must_close)
    except RunEnded:
        raise asyncio.CancelledError from None
