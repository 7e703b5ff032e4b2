"""One execution while it runs here: its task, its steps under way, and how it is ended.

Carries INV-21: when the engine itself fails, the run is *ended*. Its coroutine is closed instead
of resumed, its further calls are refused, its outcome is discarded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, NoReturn

from durable_core.engine.activity import Activity
from durable_core.engine.branch import Branch
from durable_core.engine.call import StepCall
from durable_core.engine.definition import Workflow
from durable_core.engine.mailbox import Mailbox
from durable_core.engine.parts import EngineParts
from durable_core.engine.perform import perform
from durable_core.engine.promise import Cell
from durable_core.engine.sequence import Sequence
from durable_core.engine.spec import StepSpec
from durable_core.errors import DecodeError, ExecutionError, StepCapExceeded
from durable_core.ids import ExecutionId, StepId
from durable_core.journal.lane import Lane
from durable_core.model.effects import EffectClass
from durable_core.model.entries import EffectIntent, StepFailure, StepResult, TimerArmed, TimerFired
from durable_core.replay.cursor import ReplayCursor
from durable_core.replay.lookup import Found, Recorded
from durable_core.telemetry import AttributeValue

__all__ = ["Run"]

_LOG: Final = logging.getLogger("durable_core.engine")


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
        self.sequence = Sequence()
        self.cells: dict[bytes, Cell] = {}
        """What is known of promises that the program has made, and of signals, by their ids."""

        self.mailbox = Mailbox()

        self.task: asyncio.Task[Any] | None = None
        self.error: Exception | None = None
        self.over = False
        self.inside = 0
        """How many functions of steps run in the workflow's own task: none or one."""

        self.blocking_intents: list[EffectIntent] = []
        """What the journal still lacks for an operator to settle the steps that block the run."""

        self.only_idempotent = True
        self.activity = Activity(str(self.execution_id), lambda: self.ended, self._failed)
        self._prompt_upto = 0

    @property
    def ended(self) -> bool:
        """Whether this run takes no more calls: its workflow is over, or the engine ended it."""
        return self.over or self.error is not None

    @property
    def must_close(self) -> bool:
        """Whether the workflow's coroutine is to be closed: the run has ended.

        Not while a step's function runs in it, which is cancelled and may clean up.
        """
        return self.error is not None and not self.inside

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
        self._require_place(spec.descriptor.name)
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
        self.activity.called(call.step_id, coroutine)
        return coroutine

    def take_place(self, what: str) -> StepId:
        """The next step id, for `what` stands there now; raises as `call` does."""
        self._require_place(what)
        return self.branch.next_step()

    def note_effect(self, effect: int) -> None:
        """Remember whether everything journaled in this generation is idempotent."""
        if effect != EffectClass.IDEMPOTENT:
            self.only_idempotent = False

    async def complete(
        self, entry: StepResult | StepFailure | TimerFired, *, prompt: bool = False
    ) -> None:
        """Journal what the program is then told; concurrent steps are told of in that order.

        So the program sees live, one after the other, what a replay will show it.
        """
        await self.journal(entry, prompt=prompt)
        if (self.activity.concurrent or self.sequence.busy) and not self.ended:
            await self.told(self.lane.accepted_count)

    async def told(self, place: int) -> None:
        """Return when it is the turn of what stands at `place` (an `entry_no`) in the journal."""
        if self.activity.concurrent or self.sequence.busy:
            await self.activity.outlast_read(self.sequence.turn(place))

    async def journal(
        self, entry: StepResult | StepFailure | TimerArmed | TimerFired, *, prompt: bool = False
    ) -> bool:
        """Add an entry. A prompt one shares the commit of the next acknowledged one (INV-20).

        Buffered; when the queue has no room it waits for its commit, so that nothing is lost.
        Whether the workflow cancelled meanwhile, which does not end the wait.
        """
        cancelled = False
        if isinstance(entry, StepResult | StepFailure):
            self.note_effect(entry.effect_class)
        self.parts.failpoints.reach("engine.queue.before")
        writer = self.parts.writer
        if writer.takes_buffered:
            writer.offer(self.lane, entry, prompt=prompt)
        else:
            # At once where that can be: what the caller has looked at is still so then.
            appending = (
                writer.submit(self.lane, entry)
                if writer.has_room
                else asyncio.ensure_future(writer.append(self.lane, entry))
            )
            cancelled = await self.activity.outlast(appending)
            appending.result()
        if prompt:
            self._prompt_upto = self.lane.accepted_count
        self.parts.failpoints.reach("engine.queue.after")
        return cancelled

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
        # The workflow's own code is closed when it next waits, and needs no cancellation.
        from_workflow = self.owns_current_task() and not self.inside
        if self.task is not None and not from_workflow and not self._cleans_up():
            self.task.cancel()
        self.activity.interrupt()

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
        for step_id in self.activity.drop_unbegun():
            if not self.ended:
                _LOG.warning(
                    "step %s of execution %s was called and never awaited",
                    step_id,
                    self.execution_id,
                )
        if not self.ended:
            # Replayed steps consume their entries.
            await self.activity.answered()
        await self.activity.effects_done()
        self.over = True
        await self.activity.steps_cancelled()

    def abandon(self) -> None:
        """Cancel everything, guarded functions too: their intents stay open for their policies."""
        if self.task is not None:
            self.task.cancel()
        self.activity.abandon()

    def _cleans_up(self) -> bool:
        """Whether a step's function in the workflow's own task was cancelled already."""
        return bool(self.inside and self.task is not None and self.task.cancelling())

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, Exception):
            error = ExecutionError(type(error).__name__)
        self.end(error)

    def _require_place(self, name: str) -> None:
        self._require_own_branch(name)
        if self.branch.steps >= self.parts.config.max_steps_per_execution:
            message = (
                f"execution {self.execution_id} has issued max_steps_per_execution = "
                f"{self.branch.steps} steps; raise the limit or split the workflow"
            )
            raise StepCapExceeded(message)

    def _require_own_branch(self, name: str) -> None:
        if self.ended:
            message = f"execution {self.execution_id} has ended here; step {name!r} was not called"
            raise ExecutionError(message)
        if self.inside:
            message = (
                f"step {name!r} was called within another step; the function of a step calls plain "
                "functions, and the workflow calls steps"
            )
            raise ExecutionError(message)
        if not self.owns_current_task():
            message = (
                f"step {name!r} was called from a task that is not the workflow's own; create the "
                "steps in the workflow itself, as in asyncio.gather(ctx.step(a), ctx.step(b))"
            )
            raise ExecutionError(message)
