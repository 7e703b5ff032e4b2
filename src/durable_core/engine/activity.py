"""What goes on in one run: steps that were called, steps under way, and guarded effects."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from durable_core.engine.definition import ACTIVE
from durable_core.engine.eager import cancel_requests, start_at_once

if TYPE_CHECKING:
    from durable_core.engine.run import Run
    from durable_core.engine.sequence import Turn
    from durable_core.journal.lane import Lane
    from durable_core.replay.lookup import Found, Wanted

__all__ = ["Activity", "seen"]

T = TypeVar("T")

_NOBODY: Final = (None, None)
"""Stands for the coroutine and the caller of a step that nobody has called."""


class Activity:
    """Keeps the tasks of one run. Used by the event loop's thread alone.

    What is seldom there stands in dicts without values: an empty one, unlike an empty set, is no
    object that the garbage collector looks at, of which a thousand runs would have thousands.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._loop = run.loop
        self.under_way = 0
        """How many steps and waits have begun and are not done."""

        self._called: dict[str, tuple[Coroutine[Any, Any, Any], asyncio.Task[Any] | None]] = {}
        self._under_way: dict[str, tuple[asyncio.Task[Any], int]] = {}
        """Tasks, and how often each had been asked to cancel when it entered its step."""

        self._reads: dict[asyncio.Future[Any], None] = {}
        self._effects: dict[asyncio.Task[Any], None] = {}
        self._pauses: dict[asyncio.Future[None], None] = {}
        self._unmoved: dict[asyncio.Task[Any], None] = {}
        """Tasks that a cancellation did not stop, since they waited for a guarded effect."""

        self._owed: dict[asyncio.Task[Any], int] = {}
        """Tasks whose step outlasted a cancellation, and how often each had been asked then.

        Each leaves two turns later at the latest, when it is delivered.
        """

        self._doomed: dict[str, None] = {}

    @property
    def quiet(self) -> bool:
        """Whether nothing goes on: no step is under way or was only called, and no effect runs."""
        return not (self.under_way or self._called or self._reads or self._effects)

    @property
    def steps_to_begin(self) -> bool:
        """Whether steps were called whose coroutines have not begun."""
        return bool(self._called)

    @property
    def concurrent(self) -> bool:
        """Whether another step than the one that asks is under way, or may be about to be."""
        run = self._run
        return self.under_way > 1 or bool(self._called) or run.unsettled or run.forked

    @property
    def unhindered(self) -> bool:
        """Whether the function of a step that has just begun is to be called at once.

        Neither the journal nor an earlier run holds anything of it, nothing is done beside it, it
        does not count as cancelled, and there is nothing to wait for.
        """
        run = self._run
        return (
            run.caught_up
            and not run.inherits
            and run.parts.standing.held
            and not (run.folding.tight and run.folding.full)
            and not (self.under_way > 1 or self._called or self._doomed)
            and not (run.unsettled or run.strands.forked)
        )

    def may_answer(self, step_id: str, place: int) -> bool:
        """Whether a step that is awaited now may be told at once what stands at `place`.

        Of all that was called only it has not begun, and it cannot count as cancelled from the
        start; and nothing else goes on, or whatever does has come to wait for what stands behind.
        """
        run, called = self._run, self._called
        if (
            len(called) != 1
            or step_id not in called
            or self._owed
            or run.ended
            or not run.place.held
        ):
            return False
        if self.under_way or run.unsettled or run.strands.forked or run.cursor.beside:
            return run.sequence.is_next(place)
        return True

    def answered_at_once(self, step_id: str) -> None:
        """A step is done that was called; nobody has seen it under way."""
        del self._called[step_id]

    def called(
        self,
        step_id: str,
        coroutine: Coroutine[Any, Any, Any],
        task: asyncio.Task[Any] | None,
    ) -> None:
        """A step was called, in `task`; its coroutine has not begun."""
        self._called[step_id] = coroutine, task

    def entered(self, step_id: str, task: asyncio.Task[Any] | None) -> int:
        """A step's coroutine has begun in `task`; how often that had been asked to cancel.

        Without the request that the step before it outlasted: of one that outlasts it too, since
        its answer is recorded, the next one is told.
        """
        _, caller = self._called.pop(step_id, _NOBODY)
        self.under_way += 1
        requests = cancel_requests(task)
        strand = self._run.strands.of(task)
        if strand is not None:
            strand.requests = requests
        elif task is not None:
            self._under_way[step_id] = task, requests
        if self._owed and caller is task and self._is_owed(task):
            self._doomed[step_id] = None
            return requests - 1
        return requests

    def left(self, step_id: str) -> None:
        """A step's coroutine is done."""
        self.under_way -= 1
        if self._under_way:
            self._under_way.pop(step_id, None)
        if self._doomed:
            self._doomed.pop(step_id, None)

    def doom(self, step_id: str) -> None:
        """A step that is under way was cancelled while nothing was known of it yet."""
        self._doomed[step_id] = None

    def is_doomed(self, step_id: str) -> bool:
        """Whether a step counts as cancelled from the start.

        Its task called it behind a step that outlasted a cancellation, which nobody has withdrawn.
        """
        return step_id in self._doomed

    def outlasted(self, task: asyncio.Task[Any] | None) -> None:
        """A step of `task` returned, which was asked to cancel since the step began.

        The next step that the task awaits counts as cancelled; whatever else it awaits next is
        cancelled then, unless the block that had asked for it has been left.
        """
        if task is not None:
            self._owed[task] = task.cancelling()
            # Two turns, so that steps which it wraps into tasks have begun: they are journaled.
            self._loop.call_soon(self._loop.call_soon, self._deliver, task)

    def raise_owed(self) -> None:
        """Raise the cancellation that this task's last step outlasted, if there is one."""
        if self._is_owed(asyncio.current_task()):
            raise asyncio.CancelledError

    def _deliver(self, task: asyncio.Task[Any]) -> None:
        if self._is_owed(task) and not self._run.ended and task.cancel():
            task.uncancel()  # it is one and the same request

    def _is_owed(self, task: asyncio.Task[Any] | None) -> bool:
        if task is None or not self._owed:
            return False
        requests = self._owed.pop(task, None)
        return requests is not None and task.cancelling() >= requests

    def drop_unbegun(self) -> Iterator[str]:
        """Close the coroutines of steps that were called and never awaited; their ids."""
        while self._called:
            step_id, (coroutine, _) = self._called.popitem()
            coroutine.close()
            yield step_id

    def begin_effect(self, effect: Coroutine[Any, Any, T]) -> asyncio.Task[T] | tuple[T]:
        """Run a guarded effect in a task of its own, which nothing but the engine cancels.

        The task; or what came of it, in a tuple, where it waited for nothing.
        """
        context = contextvars.copy_context()
        # What it calls, a reconcile function say, stands outside of the workflow's branch.
        context.run(ACTIVE.set, None)
        task, returned = start_at_once(
            effect, "durable-effect", self._run.execution_id, context, self._loop
        )
        if returned is not None:
            return returned
        self._effects[task] = None
        task.add_done_callback(self._effect_done)
        return task

    async def outlast(self, work: asyncio.Future[Any]) -> bool:
        """Wait until `work` is done although the workflow cancels; whether it did.

        Raises `CancelledError` only where the run has ended; `work` goes on then.
        """
        cancelled = False
        while not work.done():
            # Less than `asyncio.shield`, which also carries an outcome, and a cancellation, over.
            waiter: asyncio.Future[None] = self._loop.create_future()
            wake = functools.partial(_wake, waiter)
            work.add_done_callback(wake)
            try:
                await waiter
            except asyncio.CancelledError:
                if self._run.ended:
                    raise
                cancelled = True
                self._note_unmoved()
            finally:
                work.remove_done_callback(wake)
                if not work.done():
                    work.add_done_callback(seen)
        return cancelled

    async def outlast_commit(self, lane: Lane, committed: asyncio.Future[int]) -> bool:
        """As `outlast`, of an append of `lane` that is acknowledged; raises what became of it.

        Waits for the append itself, which takes a turn of the loop less: a cancellation withdraws
        nothing from the queue.
        """
        try:
            await committed
        except asyncio.CancelledError:
            if self._run.ended:
                raise
            self._note_unmoved()
            await self.outlast_read(self._run.parts.writer.barrier(lane))
            return True
        return False

    async def outlast_read(self, reading: Coroutine[Any, Any, T]) -> tuple[T, bool]:
        """What `reading` returns, as `outlast` waits for it, and whether the workflow cancelled."""
        task = asyncio.ensure_future(reading)
        self._reads[task] = None
        try:
            cancelled = await self.outlast(task)
        finally:
            self._reads.pop(task, None)
            task.cancel()
        return task.result(), cancelled

    async def outlast_look_up(self, wanted: Wanted) -> tuple[Found, bool]:
        """What the journal says, read as far as that takes, and whether the workflow cancelled."""
        cursor, cancelled = self._run.cursor, False
        found = cursor.answer(wanted)
        while found is None:
            cancelled |= await self.outlast_load()
            found = cursor.answer(wanted)
        return found, cancelled

    async def outlast_load(self) -> bool:
        """Wait until more of the journal was read, or the workflow cancels; whether it did.

        Asked for at once, so that whoever looked in vain looks again before another answer is told.
        """
        loaded = self._run.sequence.beside(self._run.cursor.load)
        self._reads[loaded] = None
        try:
            error = await loaded
        except asyncio.CancelledError:
            if self._run.ended:
                raise
            self._note_unmoved()
            return True
        finally:
            self._reads.pop(loaded, None)
        if error is not None:
            raise error
        return False

    async def outlast_turn(self, waiting: Turn) -> bool:
        """Wait, as `outlast` does, until a turn has come, or there is nothing to wait for.

        Needs no task of its own, so that an answer follows the one before it at once.
        """
        turn: Turn | None = waiting
        sequence, reads, cancelled = self._run.sequence, self._reads, False
        while turn is not None:
            waited, reads[turn] = turn, None
            try:
                await waited
            except asyncio.CancelledError:
                if self._run.ended:
                    raise
                self._note_unmoved()
                cancelled = True
            finally:
                reads.pop(waited, None)
                turn = sequence.after(waited)
        return cancelled

    async def pause(self, seconds: float) -> bool:
        """Wait before the next attempt; False as soon as the run has ended."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        timer = self._loop.call_later(seconds, _wake, waiter)
        self._pauses[waiter] = None
        try:
            if not self._run.ended:
                await waiter
        finally:
            timer.cancel()
            self._pauses.pop(waiter, None)
        return not self._run.ended

    def interrupt(self) -> None:
        """The run has ended: cancel the steps that other tasks than the branches' perform."""
        for waiter in self._pauses:
            _wake(waiter)
        self._cancel_steps()

    def abandon(self) -> None:
        """Cancel guarded effects too: their intents stay open for their policies."""
        for task in (*self._stepping(), *self._effects):
            task.cancel()

    async def answered(self) -> None:
        """Let every step that is under way see what is recorded for it, if anything is."""
        while self._reads:
            await asyncio.wait(set(self._reads))
        if self._under_way:
            await asyncio.wait(self._stepping(), timeout=0)

    async def steps_cancelled(self) -> None:
        """Cancel every step that is under way, and wait for its end."""
        tasks = self._stepping()
        self._cancel_steps()
        if tasks:
            await asyncio.wait(tasks)

    async def effects_done(self) -> None:
        """Wait until the guarded effects that have begun are finished and journaled."""
        while self._effects:
            await asyncio.wait(set(self._effects))

    def _cancel_steps(self) -> None:
        for task, requests in self._under_way.values():
            # One that is cancelled already cleans up, and must not be cut off in that.
            if task.cancelling() <= requests or task in self._unmoved:
                self._unmoved.pop(task, None)
                task.cancel()

    def _stepping(self) -> set[asyncio.Task[Any]]:
        return {task for task, _ in self._under_way.values()}

    def _note_unmoved(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._unmoved[task] = None

    def _effect_done(self, task: asyncio.Task[Any]) -> None:
        self._effects.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._run.effect_failed(error)


def _wake(waiter: asyncio.Future[None], _: object = None) -> None:
    if not waiter.done():
        waiter.set_result(None)


def seen(work: asyncio.Future[Any]) -> None:
    """Take the error of `work` for known: whoever waited for it does not ask any more."""
    if not work.cancelled():
        work.exception()
