"""The fold of one execution, and the cap that it makes room under (EC-38).

At 90 % of `max_steps_per_execution` finished entries are folded into checkpoints, beside the steps
and one fold at a time; `ctx.checkpoint()` does it at once. What cannot be folded counts towards the
cap: steps under way, and guarded ones.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from durable_core.contracts.exchange import Fold
from durable_core.engine.activity import seen
from durable_core.engine.gathering import Gathering, gather
from durable_core.engine.insisting import insist
from durable_core.errors import (
    DurableError,
    EntryRejected,
    ExecutionFenced,
    IntegrityError,
    PayloadError,
    StepCapExceeded,
)
from durable_core.model.execution import Status

if TYPE_CHECKING:
    from durable_core.engine.run import Run

__all__ = ["Folding"]

_LOG: Final = logging.getLogger("durable_core.engine")
_BEGINS_AT: Final = 0.9
_APART: Final = 0.01


class Folding:
    """Of one run. Used by the event loop's thread alone."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._limit = run.parts.config.max_steps_per_execution
        self._enough = max(1, int(self._limit * _BEGINS_AT))
        self.tight = False
        """Whether so many places were taken that there may be no room for more."""

        self._issued = 0
        self._settled = 0
        """Places that are over and are no guarded steps: what they have in the journal can go."""

        self._folded = 0
        self._left = 0
        self._under_way: dict[str, bool] = {}
        self._done: Gathering | None = None
        self._lock: asyncio.Lock | None = None
        self._task: asyncio.Task[None] | None = None
        self._applying: asyncio.Future[bool] | None = None
        self._next_at = 0

    @property
    def quiet(self) -> bool:
        """Whether nothing was ever folded: nothing goes on beside the steps."""
        return self._task is None and self._applying is None

    @property
    def unfolded(self) -> int:
        """How many places the program has taken that are not folded."""
        return self._issued - max(self._folded, self._run.cursor.folded)

    @property
    def full(self) -> bool:
        """Whether a step should wait until room was made."""
        return self.unfolded >= self._limit and not self._run.cursor.replaying

    def require_room(self) -> None:
        """`StepCapExceeded` where no fold could make room for one more place."""
        if self._issued - self._settled + self._left >= self._limit:
            message = (
                f"execution {self._run.execution_id} has max_steps_per_execution = {self._limit} "
                "steps that cannot be folded, since they are guarded or under way; raise the limit "
                "or split the workflow"
            )
            raise StepCapExceeded(message)

    def issue(self, step_id: str, guarded: bool = False) -> None:  # noqa: FBT001, FBT002 - hot
        """The program has taken a place."""
        self._issued += 1
        self._under_way[step_id] = guarded
        if self._issued >= self._enough:
            self.tight = True
            self._begin_if_due()

    def _begin_if_due(self) -> None:
        due = self.unfolded >= self._enough and self._issued >= self._next_at
        if due and not self._run.cursor.replaying:
            self._next_at = self._issued + max(1, int(self._limit * _APART))
            if self._task is None or self._task.done():
                name = f"durable-fold-{self._run.execution_id}"
                self._task = asyncio.create_task(self._in_background(), name=name)

    def settle(self, step_id: str) -> None:
        """What stands at a place is over; nothing happens for what took none."""
        guarded = self._under_way.pop(step_id, None)
        if guarded is not None:
            self._settled += not guarded

    async def make_room(self) -> None:
        """Return when a fold has been tried since there was no room. Raises as `fold` does."""
        async with self._turn:
            if self.full and self._settled > self._folded + self._left:
                await self._fold()

    async def fold(self) -> None:
        """Fold all that is finished; durable at return. A run that replays has done it before.

        Raises `ExecutionFenced`, `IntegrityError`, and what the store raises for longer than an
        acknowledgement may take.
        """
        if self._run.cursor.replaying:
            return
        async with self._turn:
            await self._fold()

    async def ended(self) -> None:
        """The run is over: give up what goes on beside it, but for a transaction under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._applying is not None and not self._applying.done():
            await asyncio.wait({self._applying})

    @property
    def _turn(self) -> asyncio.Lock:
        if self._lock is None:
            self._lock = asyncio.Lock()
        return self._lock

    @property
    def _behind(self) -> Gathering:
        """Where the last fold has ended."""
        return self._done or Gathering.begin(self._run.lane.envelope)

    async def _in_background(self) -> None:
        run = self._run
        try:
            async with self._turn:
                await self._fold()
        except PayloadError as error:
            run.end(error)
        except DurableError as error:
            if not run.ended:
                _LOG.warning("execution %s could not be folded: %s", run.execution_id, error)

    async def _fold(self) -> None:
        run, settled = self._run, self._settled
        await run.parts.writer.barrier(run.lane)
        upto = run.lane.committed.entries
        patience = run.parts.config.journal_ack_timeout_ms
        while self._behind.read_to < upto:
            await insist(lambda: self._fold_some(upto), patience)
        self._folded = settled - self._left

    async def _fold_some(self, upto: int) -> None:
        """One transaction. Where its answer was lost, the next one reads what it did.

        One without an answer may still commit until the next one begins, which finds other rows
        then than it has gathered; once.
        """
        gathering = await self._gather(upto)
        if not await self._apply(gathering):
            gathering = await self._gather(upto)
            if not await self._apply(gathering):
                raise await self._why_not()
        self._left += gathering.left
        self._done = gathering

    async def _gather(self, upto: int) -> Gathering:
        run, is_open = self._run, self._under_way.__contains__
        envelope, generation = run.lane.envelope, run.generation
        try:
            return await gather(run.parts, envelope, self._behind, upto, generation, is_open)
        except DurableError:
            raise
        except Exception as error:  # noqa: BLE001
            # Ciphers are foreign code, and what they say may show what was to be sealed (INV-5).
            message = f"entries could not be folded: {type(error).__name__}"
            raise EntryRejected(message) from None

    async def _apply(self, gathering: Gathering) -> bool:
        if not gathering.ranges:
            return True
        parts, row = self._run.parts, self._run.lane.row
        fold = Fold(row.execution_id, row.owner_epoch, Status.RUNNING.label, gathering.ranges)
        parts.failpoints.reach("engine.fold.before")
        applying = asyncio.ensure_future(parts.backend.journal.fold(fold))
        applying.add_done_callback(seen)
        self._applying = applying
        applied = await asyncio.shield(applying)
        if applied:
            parts.failpoints.reach("engine.fold.committed")
        return applied

    async def _why_not(self) -> DurableError:
        row = self._run.lane.row
        heads = await self._run.parts.backend.heads([row.execution_id])
        standing = [(head.owner_epoch, head.status) for head in heads]
        if standing == [(row.owner_epoch, Status.RUNNING.label)]:
            return IntegrityError(
                f"entries of execution {self._run.execution_id} changed while they were folded, "
                "outside durable-core: nothing was folded; restore the journal from a backup"
            )
        return ExecutionFenced(
            f"execution {self._run.execution_id} was taken over or has ended: nothing was folded"
        )
