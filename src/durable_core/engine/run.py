"""One execution while it runs here: its branches, its steps under way, and how it is ended.

Carries INV-21: when the engine itself fails, the run is *ended*. Its coroutine is closed instead
of resumed, its further calls are refused, its outcome is discarded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, NoReturn

from attrs import define, field

from durable_core.engine.activity import Activity
from durable_core.engine.branch import Branch
from durable_core.engine.call import StepCall
from durable_core.engine.definition import ACTIVE
from durable_core.engine.folding import Folding
from durable_core.engine.journaling import JournaledRun
from durable_core.engine.perform import called, perform
from durable_core.engine.places import Waiting
from durable_core.engine.refused import ended, foreign_task, no_branch, outlived
from durable_core.engine.spec import StepSpec
from durable_core.engine.strand import Strand
from durable_core.errors import DecodeError, ExecutionError
from durable_core.ids import StepId
from durable_core.replay.lookup import Found, Recorded
from durable_core.telemetry import AttributeValue

__all__ = ["Run"]

_LOG: Final = logging.getLogger("durable_core.engine")

_FIRST: Final = 0
"""The place of what is told before anything that the journal holds."""


@define(eq=False, repr=False)
class Run(JournaledRun):
    """One generation of an execution. Used by the event loop's thread alone."""

    folding: Folding = field(init=False)
    _checkpoints: int = field(init=False, default=0)
    _left: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.activity = Activity(self)
        self.folding = Folding(self)

    @property
    def forked(self) -> bool:
        """Whether it has, or its journal holds, more lines of code than the workflow's own."""
        return self.strands.forked or self.cursor.beside > 0

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
        return self.call_in(self._strand_of_caller(spec.descriptor.name), spec, args, kwargs)

    def call_in(
        self,
        strand: Strand,
        spec: StepSpec,
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> Coroutine[Any, Any, Any]:
        """As `call`, by somebody who is known to stand in the branch of `strand`."""
        if self.ended or strand.over:
            self._refuse(strand, spec.descriptor.name)
        try:
            task = asyncio.current_task()
        except RuntimeError:
            raise foreign_task(spec.descriptor.name) from None  # in a thread
        own = task is not None and task is strand.task
        if own:
            self.unsettled = len(self.ready) > self.ready_before
        else:
            self.strands.note_foreign(spec.descriptor.name, task)
        if self.folding.tight:
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
            message = f"step {spec.descriptor.name!r} cannot be called: {error}"
            raise DecodeError(message) from error
        guarded = spec.descriptor.guarded
        self.folding.issue(call.step_id, guarded)
        if guarded and not self.cursor.prior.empty:
            # Whoever is performed before it must not take its effect of an earlier run for lost.
            self.cursor.prior.consume(call.idem_key)
        return perform(self, call, task)

    def take_place(self, what: str) -> tuple[StepId, Branch]:
        """The next step id, for `what` stands there now, and its branch; raises as `call` does.

        Also refused in another task than the branch's own: what is no step has no content by which
        it could be matched.
        """
        strand = self._strand_of_caller(what)
        if self.strands.own() is not strand:
            raise foreign_task(what)
        if self.folding.tight:
            self.folding.require_room()
        self.unsettled = len(self.ready) > self.ready_before
        branch = strand.branch
        step_id = branch.next_step()
        self.folding.issue(step_id)
        return step_id, branch

    def checkpoint(self) -> Coroutine[Any, Any, None]:
        """The coroutine folds all that is finished. It takes no place; raises as `take_place`."""
        what = "ctx.checkpoint()"
        if self.strands.own() is not self._strand_of_caller(what):
            raise foreign_task(what)
        self._checkpoints += 1
        return called(self, f"checkpoint {self._checkpoints}", _fold)

    def catch_up(self) -> None:
        """What the journal and earlier runs hold is known, once it was read to the end."""
        if not self.cursor.replaying:
            self.caught_up = True
            self.inherits = not self.cursor.prior.empty

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
        if self.error is not None or self._left:
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

    async def going_on(self) -> None:
        """Return when the run, which has not ended, has its place."""
        if self.ended:
            await self.halted()
        await self.place.take()

    def waiting(self) -> Waiting:
        """A block in which the step or wait that enters it only waits, and needs no place."""
        return self.place.waiting(self.activity.under_way)

    @property
    def quiet(self) -> bool:
        """Whether there is nothing for `settle_down` to do, nor anything left to be replayed."""
        return (
            not self.ended
            and self.activity.quiet
            and self.strands.quiet
            and self.folding.quiet
            and not self.cursor.replaying
        )

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

    def leave(self) -> None:
        """It has settled down and is not gone on with: the last thing that is done to it.

        What belongs to it leads back to it, and would be freed by the garbage collector alone.
        Whoever still holds a context of it finds that it has ended.
        """
        self._left = True
        del self.activity, self.folding

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
        if self.ended or strand.over:
            self._refuse(strand, name)
        return strand

    def _refuse(self, strand: Strand, name: str) -> NoReturn:
        """Raise why what stands in the branch of `strand`, or in any, takes no more calls."""
        if not self.ended:
            raise outlived(name, strand.branch)
        if self.error is not None and self.strands.own() is None:
            # A task that the workflow made sees nothing to catch, and goes no further (INV-21).
            raise asyncio.CancelledError
        raise ended(self.execution_id, name)


async def _fold(run: Run) -> None:
    """Fold, unseen by the program: as on replay, which folds nothing.

    What was called has begun, nobody is told of anything meanwhile, and no cancellation ends it.
    """
    await run.told(_FIRST)
    if not run.cursor.replaying:
        with run.sequence.held():
            await run.activity.outlast_read(run.folding.fold())
