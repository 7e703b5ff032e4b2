"""One execution while it runs here: its branches, its steps under way, and how it is ended.

Carries INV-21: when the engine itself fails, the run is *ended*. Its coroutine is closed instead
of resumed, its further calls are refused, its outcome is discarded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NoReturn

from durable_core.engine.activity import Activity
from durable_core.engine.branch import Branch
from durable_core.engine.call import StepCall
from durable_core.engine.cells import Cells
from durable_core.engine.definition import ACTIVE, Workflow
from durable_core.engine.folding import Folding
from durable_core.engine.mailbox import Mailbox
from durable_core.engine.parts import EngineParts
from durable_core.engine.perform import called, perform
from durable_core.engine.places import Place
from durable_core.engine.refused import ended, foreign_task, no_branch, outlived
from durable_core.engine.sequence import Sequence
from durable_core.engine.spec import StepSpec
from durable_core.engine.strand import Strand, Strands, running_task
from durable_core.errors import DecodeError, ExecutionError
from durable_core.ids import ExecutionId, StepId
from durable_core.journal.lane import Lane
from durable_core.model.effects import EffectClass
from durable_core.model.entries import EffectIntent, StepFailure, StepResult, TimerArmed, TimerFired
from durable_core.replay.cursor import ReplayCursor
from durable_core.replay.lookup import Found, Recorded
from durable_core.telemetry import AttributeValue

__all__ = ["Run"]

_LOG: Final = logging.getLogger("durable_core.engine")
_OF_STEPS: Final = (StepResult, StepFailure)


class Run:
    """The state of one generation of an execution. Used by the event loop's thread alone."""

    def __init__(
        self,
        parts: EngineParts,
        workflow: Workflow[..., Any],
        lane: Lane,
        cursor: ReplayCursor,
        generation: int,
        place: Place,
    ) -> None:
        self.parts = parts
        self.workflow = workflow
        self.lane = lane
        self.cursor = cursor
        self.generation = generation
        self.place = place
        self.loop = asyncio.get_running_loop()
        self.execution_id = ExecutionId(bytes=lane.row.execution_id)
        self.name = str(self.execution_id)
        self.root = Strand(self, Branch(lane.row.execution_id))
        self.strands = Strands()
        self.sequence = Sequence()
        self.mailbox = Mailbox()

        self.error: Exception | None = None
        self.ended = False
        """Whether it takes no more calls: its workflow is over, or the engine ended it."""

        self.blocking_intents: list[EffectIntent] = []
        """What the journal still lacks for an operator to settle the steps that block the run."""

        self.only_idempotent = True
        self.activity = Activity(self)
        self.folding = Folding(self)
        self._cells: Cells | None = None
        self._checkpoints = 0
        self._prompt_upto = 0

    @property
    def forked(self) -> bool:
        """Whether it has, or its journal holds, more lines of code than the workflow's own."""
        return self.strands.forked or self.cursor.beside > 0

    @property
    def cells(self) -> Cells:
        """What is known of promises that the program has made, and of signals, by their ids."""
        if self._cells is None:
            self._cells = Cells(self.cursor)
        return self._cells

    @property
    def branch(self) -> Branch:
        """The branch in which the caller stands."""
        return self._strand_of_caller("the context").branch

    def call(
        self,
        spec: StepSpec,
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> Coroutine[Any, Any, Any]:
        """Take the next step id now; the coroutine performs the step (INV-2).

        In another task than the branch's own the step takes no position, and is matched by content.
        """
        name = spec.descriptor.name
        strand = self._strand_of_caller(name)
        task = running_task()
        own = self.strands.of(task) is strand
        if not own:
            self.strands.note_foreign(name, task)
        self.folding.require_room()
        try:
            call = StepCall.make(
                self.execution_id,
                self.generation,
                self.lane.envelope.keys,
                self.parts.codec,
                strand.branch.by_position if own else strand.branch.by_content,
                spec,
                args,
                kwargs,
            )
        except DecodeError as error:
            message = f"step {name!r} cannot be called: {error}"
            raise DecodeError(message) from error
        guarded = spec.descriptor.guarded
        self.folding.issue(call.step_id, guarded=guarded)
        if guarded and not self.cursor.prior.empty:
            # Whoever is performed before it must not take its effect of an earlier run for lost.
            self.cursor.prior.consume(call.idem_key)
        return perform(self, call, task)

    def take_place(self, what: str) -> StepId:
        """The next step id, for `what` stands there now; raises as `call` does.

        Also refused in another task than the branch's own: what is no step has no content by which
        it could be matched.
        """
        strand = self._strand_of_caller(what)
        if self.strands.own() is not strand:
            raise foreign_task(what)
        self.folding.require_room()
        step_id = strand.branch.next_step()
        self.folding.issue(step_id)
        return step_id

    def checkpoint(self) -> Coroutine[Any, Any, None]:
        """The coroutine folds all that is finished. It takes no place; raises as `take_place`."""
        what = "ctx.checkpoint()"
        if self.strands.own() is not self._strand_of_caller(what):
            raise foreign_task(what)
        self._checkpoints += 1
        return called(self, f"checkpoint {self._checkpoints}", _fold)

    def note_effect(self, effect: int) -> None:
        """Remember whether everything journaled in this generation is idempotent."""
        if self.only_idempotent and effect != EffectClass.IDEMPOTENT:
            self.only_idempotent = False

    async def complete(
        self, entry: StepResult | StepFailure | TimerFired, *, prompt: bool = False
    ) -> None:
        """Journal what the program is then told; concurrent steps are told of in that order.

        So the program sees live, one after the other, what a replay will show it.
        """
        await self.journal(entry, prompt=prompt)
        if not self.ended:
            await self.told(self.lane.accepted_count)

    async def room(self) -> bool:
        """Wait until an acknowledged entry is taken at once; whether the workflow cancelled then.

        Whoever asks next what the journal will hold, and then appends without a wait, knows that
        nothing came between.
        """
        cancelled = False
        if not self.parts.writer.has_room:
            _, cancelled = await self.activity.outlast_read(self.parts.writer.room())
        return cancelled

    async def told(self, place: int) -> bool:
        """Return when it is the turn of what stands at `place` (an `entry_no`) in the journal.

        Whether the workflow cancelled meanwhile, which does not end the wait.
        """
        if not (self.activity.concurrent or self.sequence.busy) or self.sequence.is_next(place):
            return False
        return await self.activity.outlast_turn(place)

    async def journal(
        self, entry: StepResult | StepFailure | TimerArmed | TimerFired, *, prompt: bool = False
    ) -> bool:
        """Add an entry. A prompt one shares the commit of the next acknowledged one (INV-20).

        Buffered; when the queue has no room it waits for its commit, so that nothing is lost.
        Whether the workflow cancelled meanwhile, which does not end the wait.
        """
        cancelled = False
        if isinstance(entry, _OF_STEPS):
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
        self.ended = True
        self.strands.interrupt()
        self.activity.interrupt()

    async def halt(self, error: Exception) -> NoReturn:
        """End the run from within a step; never returns to the workflow."""
        self.end(error)
        await self.halted()

    async def halted(self) -> NoReturn:
        """Wait to be closed with the run that has ended."""
        if self.strands.own() is None:
            raise asyncio.CancelledError
        while True:
            await self.loop.create_future()

    def waiting(self) -> AbstractAsyncContextManager[None]:
        """A block in which the step or wait that enters it only waits, and needs no place."""
        return self.place.waiting(self.activity.under_way)

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
        self.ended = True
        await self.activity.steps_cancelled()
        await self.strands.closed()
        await self.folding.ended()

    def abandon(self) -> None:
        """Cancel everything, guarded functions too: their intents stay open for their policies."""
        self.strands.abandon()
        self.activity.abandon()

    def effect_failed(self, error: BaseException) -> None:
        """A guarded effect has raised, which can only be a failure of the engine."""
        if not isinstance(error, Exception):
            error = ExecutionError(type(error).__name__)
        self.end(error)

    def _strand_of_caller(self, name: str) -> Strand:
        """The strand in whose branch the caller stands; `ExecutionError` if there is none."""
        strand = ACTIVE.get()
        if not isinstance(strand, Strand) or strand.run is not self:
            raise ended(self.execution_id, name) if self.ended else no_branch(name)
        if self.ended:
            if self.error is not None and self.strands.own() is None:
                # A task that the workflow made sees nothing to catch, and goes no further (INV-21).
                raise asyncio.CancelledError
            raise ended(self.execution_id, name)
        if strand.over:
            raise outlived(name, strand.branch)
        return strand


async def _fold(run: Run) -> None:
    await run.folding.fold()
