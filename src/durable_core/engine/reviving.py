"""Lets an execution that stands still run again in whichever engine has its workflow.

For who has the journal and not the code: nothing is replayed here. What a live owner has is asked
of that owner; everything else is claimed, put back to `running`, and given up.
"""

from __future__ import annotations

from contextlib import suppress

from durable_core.contracts.exchange import Notice, NoticeKind
from durable_core.engine.ownership import Ownership
from durable_core.engine.parts import EngineParts
from durable_core.engine.requests import RESUME, file_resume
from durable_core.engine.roster import Roster
from durable_core.engine.stored import open_intents, read_input
from durable_core.engine.takeover import Takeover, require_not_terminal
from durable_core.errors import ExecutionError, ExecutionLocked, JournalUnavailable
from durable_core.ids import ExecutionId
from durable_core.model.effects import OnAmbiguous
from durable_core.model.entries import ExecutionStarted
from durable_core.model.execution import ANYONE, NOBODY, ExecutionRow, Status, status_of
from durable_core.replay.detail import StepDetail

__all__ = ["Revival"]


class Revival:
    """Revives executions for one engine. For any task of its event loop."""

    def __init__(
        self, parts: EngineParts, roster: Roster, ownership: Ownership, takeover: Takeover
    ) -> None:
        self._parts = parts
        self._roster = roster
        self._ownership = ownership
        self._takeover = takeover

    async def revive(self, execution_id: ExecutionId, *, filed: bool = False) -> ExecutionRow:
        """See `DurableEngine.resume` with `run="anywhere"`; the row that was looked at.

        For a request that is `filed` already it is the owner's to answer: `ExecutionLocked` where
        another engine that lives has what stands still.
        """
        async with self._roster.sole(execution_id):
            row = await self._ownership.load(execution_id)
            if self._roster.running(execution_id) is not None:
                return row
            self._parts.wire.verified(row)
            match status_of(row.status):
                case Status.RUNNING:
                    await self._give_up(row)
                case Status.BLOCKED | Status.FAILED:
                    await self._restart(row, filed=filed)
                case _:
                    require_not_terminal(row)
            return row

    async def _give_up(self, row: ExecutionRow) -> None:
        if row.owner_id in {NOBODY, ANYONE}:
            return  # it waits for an engine already
        if await self._ownership.held_elsewhere(row):
            message = f"execution {_id_of(row)} runs in a live engine; there is nothing to resume"
            raise ExecutionLocked(message)
        if await self._ownership.claim_for(row, NOBODY) is None:
            raise self._ownership.locked(row)
        self._say_that_it_waits(row)

    async def answered(self, row: ExecutionRow) -> None:
        """Take a request to resume away: it has its answer with what was just reopened.

        Before that runs, and may stand still again: whoever asks then asks anew.
        """
        with suppress(JournalUnavailable):
            await self._parts.backend.remove_inbox(row.execution_id, RESUME)

    async def _restart(self, row: ExecutionRow, *, filed: bool) -> None:
        entry = None
        if row.status == Status.FAILED.label:
            payload = await read_input(self._parts, row)
            entry = ExecutionStarted(_id_of(row), row.generation + 1, payload)
        else:
            await self._require_no_word(row)
        if await self._ownership.held_elsewhere(row):
            if filed:
                raise self._ownership.locked(row)
            await file_resume(self._parts, row)
            return
        async with self._takeover.claimed_lane(row) as lane:
            await self._takeover.reopen(lane, entry)
            await self.answered(row)
            await self._ownership.release(_id_of(row), lane.row.owner_epoch)
        self._say_that_it_waits(row)

    async def _require_no_word(self, row: ExecutionRow) -> None:
        """`ExecutionError` where it would block again at once, for want of an operator's word."""
        held = [
            f"{intent.row.step_id} {intent.name!r}"
            for intent in await open_intents(self._parts, row)
            if StepDetail.decode(intent.row.detail).policy == OnAmbiguous.FAIL
        ]
        if held:
            message = (
                f"execution {_id_of(row)} waits for a word on guarded step {', '.join(held)}; "
                "settle it with engine.settle(...) or `durable settle`"
            )
            raise ExecutionError(message)

    def _say_that_it_waits(self, row: ExecutionRow) -> None:
        self._parts.notices.hear(Notice(NoticeKind.WAITING, row.execution_id))


def _id_of(row: ExecutionRow) -> ExecutionId:
    return ExecutionId(bytes=row.execution_id)
