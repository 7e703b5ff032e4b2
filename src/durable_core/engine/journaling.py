"""How a run adds to its journal, and when its program is told of what it added."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from attrs import define, field

from durable_core.engine.activity import Activity
from durable_core.engine.state import RunState
from durable_core.model.effects import EffectClass
from durable_core.model.entries import Entry, StepFailure, StepResult, TimerArmed, TimerFired

__all__ = ["JournaledRun"]

_OF_STEPS: Final = (StepResult, StepFailure)


@define(eq=False, repr=False)
class JournaledRun(RunState):
    """The state of a run with its journal. Used by the event loop's thread alone."""

    activity: Activity = field(init=False)

    async def complete(
        self,
        entry: StepResult | StepFailure | TimerFired,
        *,
        prompt: bool = False,
        in_turn: bool = False,
    ) -> None:
        """Journal what the program is then told; concurrent steps are told of in that order.

        So the program sees live, one after the other, what a replay will show it. `in_turn` is as
        for `journal`.
        """
        waiting = self.completing(entry, prompt=prompt, in_turn=in_turn)
        if waiting is not None:
            await waiting

    def completing(
        self,
        entry: StepResult | StepFailure | TimerFired,
        *,
        prompt: bool = False,
        in_turn: bool = False,
    ) -> Coroutine[Any, Any, object] | None:
        """As `complete`, at once; what is left to wait for, where it is not the program's turn."""
        if not self._offered(entry, prompt=prompt):
            return self._append_and_tell(entry, prompt=prompt, in_turn=in_turn)
        if (self._sequence is not None or self.activity.concurrent) and not self.ended:
            return self.told(self.lane.accepted_count)
        return None

    async def _append_and_tell(
        self, entry: StepResult | StepFailure | TimerFired, *, prompt: bool, in_turn: bool
    ) -> None:
        place, _ = await self._append(entry, prompt=prompt, in_turn=in_turn)
        if not self.ended:
            await self.told(place)

    def submit(self, entry: Entry) -> tuple[int, asyncio.Future[int]]:
        """Queue an acknowledged entry for which there is room: its place, and its commit.

        Whoever is told what stands at that place waits for the commit, and then for `told`. Nobody
        is told before what stands behind it.
        """
        committed = self.parts.writer.submit(self.lane, entry)
        place = self.lane.accepted_count
        self.sequence.expect(place, committed)
        return place, committed

    async def room(self) -> bool:
        """Wait until an acknowledged entry is taken at once; whether the workflow cancelled then.

        Whoever asks next what the journal will hold, and then appends without a wait, knows that
        nothing came between.
        """
        cancelled, writer = False, self.parts.writer
        given = writer.has_room
        while not given:
            turn = writer.turn()
            try:
                cancelled |= await self.activity.outlast(turn)
                given = turn.result()
            finally:
                turn.cancel()  # of no effect on one that has come
        return cancelled

    async def told(self, place: int) -> bool:
        """Return when it is the turn of what stands at `place` (an `entry_no`) in the journal.

        Whether the workflow cancelled meanwhile, which does not end the wait.
        """
        if self.is_turn_of(place):
            return False
        return await self.activity.outlast_turn(self.sequence.turn(place))

    def is_turn_of(self, place: int) -> bool:
        """Whether what stands at `place` may be told now, without a wait."""
        return not (self.activity.concurrent or self._answers_in_turn) or self.sequence.is_next(
            place
        )

    async def journal(
        self,
        entry: StepResult | StepFailure | TimerArmed | TimerFired,
        *,
        prompt: bool = False,
        in_turn: bool = False,
    ) -> bool:
        """Add an entry. A prompt one shares the commit of the next acknowledged one (INV-20).

        Buffered; when the queue has no room it waits for its commit, so that nothing is lost.
        `in_turn`: the caller comes from `room`, and it is added at once. Whether the workflow
        cancelled meanwhile, which does not end the wait.
        """
        if self._offered(entry, prompt=prompt):
            return False
        _, cancelled = await self._append(entry, prompt=prompt, in_turn=in_turn)
        return cancelled

    def _offered(
        self, entry: StepResult | StepFailure | TimerArmed | TimerFired, *, prompt: bool
    ) -> bool:
        """Whether the queue had room for a buffered entry, which is in it then."""
        if (
            self.only_idempotent
            and isinstance(entry, _OF_STEPS)
            and entry.effect_class != EffectClass.IDEMPOTENT
        ):
            self.only_idempotent = False
        parts, traps = self.parts, self.parts.failpoints
        if traps.armed:
            traps.reach("engine.queue.before")
        if not parts.journal.writer.take(self.lane, entry, prompt=prompt):
            return False
        if prompt:
            self.prompt_upto = self.lane.accepted_count
        if traps.armed:
            traps.reach("engine.queue.after")
        return True

    async def _append(
        self,
        entry: StepResult | StepFailure | TimerArmed | TimerFired,
        *,
        prompt: bool,
        in_turn: bool = False,
    ) -> tuple[int, bool]:
        """Add an entry for which there is no room: once there is, or else acknowledged.

        Its place, and whether the workflow cancelled meanwhile.
        """
        if in_turn or self.parts.writer.has_room:  # which says no where room is kept for this run
            # At once where that can be: what the caller has looked at is still so then.
            place, committed = self.submit(entry)
            cancelled = await self.activity.outlast_commit(self.lane, committed)
        else:
            appending = asyncio.ensure_future(self._append_in_turn(entry))
            cancelled = await self.activity.outlast(appending)
            place = appending.result()
        if prompt:
            self.prompt_upto = self.lane.accepted_count
        self.parts.failpoints.reach("engine.queue.after")
        return place, cancelled

    async def _append_in_turn(self, entry: Entry) -> int:
        await self.parts.writer.room()
        place, committed = self.submit(entry)
        await committed
        return place

    def commit_prompt_results(self) -> None:
        """The workflow suspends: let a guarded result that waits be committed now (INV-20).

        Results of other classes keep waiting for company, at most the flush interval.
        """
        if self.prompt_upto > self.lane.committed.entries:
            self.parts.writer.nudge()

    @property
    def _answers_in_turn(self) -> bool:
        return self._sequence is not None and self._sequence.busy
