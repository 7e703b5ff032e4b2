"""One execution while it runs here: its task, its steps under way, and how it is ended.

Carries INV-21: when the engine itself fails, the run is *ended*. Its coroutine is closed instead
of resumed, its further calls are refused, its outcome is discarded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, NoReturn

from durable_core.engine.branch import Branch
from durable_core.engine.call import StepCall
from durable_core.engine.definition import StepSpec, Workflow
from durable_core.engine.invoke import Attempted, Returned, TimedOut
from durable_core.engine.parts import EngineParts
from durable_core.engine.perform import perform
from durable_core.errors import DecodeError, ExecutionError, StepCapExceeded
from durable_core.ids import ExecutionId
from durable_core.journal.lane import Lane
from durable_core.model.effects import EffectClass
from durable_core.model.entries import EffectIntent, StepFailure, StepResult
from durable_core.replay.cursor import ReplayCursor
from durable_core.replay.lookup import Found, Recorded
from durable_core.telemetry import AttributeValue

__all__ = ["Effect", "Run"]

_LOG: Final = logging.getLogger("durable_core.engine")

Effect = Coroutine[Any, Any, Returned | Attempted | TimedOut]


class Run:
    """The state of one generation of an execution. Used by the event loop's thread alone."""

    def __init__(
        self,
        parts: EngineParts,
        workflow: Workflow[..., Any],
        lane: Lane,
        cursor: ReplayCursor,
        generation: int,
    ) -> None:
        self.parts = parts
        self.workflow = workflow
        self.lane = lane
        self.cursor = cursor
        self.generation = generation
        self.execution_id = ExecutionId(bytes=lane.row.execution_id)
        self.branch = Branch(lane.row.execution_id)
        self._effect_name = f"durable-effect-{self.execution_id}"
        self.error: Exception | None = None
        self.over = False
        self.blocking_intent: EffectIntent | None = None
        self.only_idempotent = True
        self._prompt_upto = 0
        self.task: asyncio.Task[Any] | None = None
        self._issued: dict[str, Coroutine[Any, Any, Any]] = {}
        self._under_way: dict[str, asyncio.Task[Any]] = {}
        self._effects: set[asyncio.Task[Returned | Attempted | TimedOut]] = set()

    @property
    def ended(self) -> bool:
        """Whether this run takes no more calls: its workflow is over, or the engine ended it."""
        return self.over or self.error is not None

    def owns_current_task(self) -> bool:
        """Whether the caller stands in the workflow's own branch."""
        return asyncio.current_task() is self.task

    def call(
        self,
        spec: StepSpec,
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> Coroutine[Any, Any, Any]:
        """Take the next step id now; the coroutine performs the step (INV-2)."""
        self._require_own_branch(spec.descriptor.name)
        if self.branch.steps >= self.parts.config.max_steps_per_execution:
            message = (
                f"execution {self.execution_id} has issued max_steps_per_execution = "
                f"{self.branch.steps} steps; raise the limit or split the workflow"
            )
            raise StepCapExceeded(message)
        try:
            call = StepCall.make(
                self.execution_id,
                self.generation,
                self.lane.envelope.keys,
                self.parts.codec,
                self.branch,
                spec,
                args,
                kwargs,
            )
        except DecodeError as error:
            message = f"step {spec.descriptor.name!r} cannot be called: {error}"
            raise DecodeError(message) from error
        coroutine = perform(self, call)
        self._issued[call.step_id] = coroutine
        return coroutine

    def entered(self, call: StepCall) -> None:
        """A step's coroutine has begun."""
        self._issued.pop(call.step_id, None)
        task = asyncio.current_task()
        if task is not None and task is not self.task:
            self._under_way[call.step_id] = task

    def left(self, call: StepCall) -> None:
        """A step's coroutine is done."""
        self._under_way.pop(call.step_id, None)

    def begin_effect(self, effect: Effect) -> asyncio.Task[Returned | Attempted | TimedOut]:
        """Run a guarded function in a task of its own, which nothing but the engine cancels."""
        task = asyncio.create_task(effect, name=self._effect_name)
        self._effects.add(task)
        task.add_done_callback(self._effect_done)
        return task

    def note_effect(self, effect: int) -> None:
        """Remember whether everything journaled in this generation is idempotent."""
        if effect != EffectClass.IDEMPOTENT:
            self.only_idempotent = False

    async def journal(self, entry: StepResult | StepFailure, *, prompt: bool = False) -> None:
        """Close a step. A prompt entry shares the commit of the next acknowledged one (INV-20).

        Buffered; when the queue has no room it waits for its commit, so that nothing is lost.
        """
        self.note_effect(entry.effect_class)
        self.parts.failpoints.reach("engine.queue.before")
        await self.parts.writer.append_soon(self.lane, entry, prompt=prompt)
        if prompt:
            self._prompt_upto = self.lane.accepted_count
        self.parts.failpoints.reach("engine.queue.after")

    def commit_prompt_results(self) -> None:
        """The workflow suspends: let a guarded result that waits be committed now (INV-20).

        Results of other classes keep waiting for company, at most the flush interval.
        """
        if self._prompt_upto > self.lane.committed.entries:
            self.parts.writer.nudge()

    def span_attributes(self, call: StepCall, found: Found) -> dict[str, AttributeValue]:
        """The attributes of a step's span."""
        return {
            "durable.execution_id": self.execution_id,
            "durable.step": call.descriptor.name,
            "durable.step_id": call.step_id,
            "replayed": isinstance(found, Recorded),
        }

    def end(self, error: Exception) -> None:
        """End the run with `error`; the first one counts. Journals nothing."""
        if self.error is not None:
            return
        self.error = error
        for task in (self.task, *self._under_way.values()):
            if task is not None:
                task.cancel()

    async def halt(self, error: Exception) -> NoReturn:
        """End the run from within a step; never returns to the workflow."""
        self.end(error)
        await self.halted()

    async def halted(self) -> NoReturn:
        """Wait to be closed with the run that has ended."""
        if asyncio.current_task() is not self.task:
            raise asyncio.CancelledError
        while True:
            await asyncio.get_running_loop().create_future()

    async def settle_down(self) -> None:
        """After the workflow's own code has ended: wait for what it left running.

        Guarded functions that have begun are finished and journaled; other steps still running
        are cancelled and journal nothing; steps that were never awaited are reported.
        """
        for step_id, coroutine in self._issued.items():
            coroutine.close()
            if not self.ended:
                _LOG.warning(
                    "step %s of execution %s was called and never awaited",
                    step_id,
                    self.execution_id,
                )
        self._issued.clear()
        tasks = set(self._under_way.values())
        if tasks and not self.ended:
            # One turn each, so that replayed steps consume their entries.
            await asyncio.wait(tasks, timeout=0)
        await self.effects_done()
        self.over = True
        for task in self._under_way.values():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def effects_done(self) -> None:
        """Wait until the guarded functions that have begun are finished and journaled."""
        while self._effects:
            await asyncio.wait(set(self._effects))

    def cancel_effects(self) -> None:
        """Give up on guarded functions: their intents stay open, and their policies decide."""
        for task in self._effects:
            task.cancel()

    def _effect_done(self, task: asyncio.Task[Returned | Attempted | TimedOut]) -> None:
        self._effects.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.end(_as_exception(task.exception()))

    def _require_own_branch(self, name: str) -> None:
        if self.ended:
            message = f"execution {self.execution_id} has ended here; step {name!r} was not called"
            raise ExecutionError(message)
        if not self.owns_current_task():
            message = (
                f"step {name!r} was called from a task that is not the workflow's own; create the "
                "steps in the workflow itself, as in asyncio.gather(ctx.step(a), ctx.step(b))"
            )
            raise ExecutionError(message)


def _as_exception(error: BaseException | None) -> Exception:
    return error if isinstance(error, Exception) else ExecutionError(type(error).__name__)
