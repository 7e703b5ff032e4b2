"""Cancel, settle, resume, take over: what changes an execution from outside its workflow.

The owner writes; everybody else files a request. With no live owner the caller claims first.
"""

from __future__ import annotations

import asyncio
from functools import partial

from durable_core.contracts.exchange import InboxRow
from durable_core.engine.call import CURRENT
from durable_core.engine.children import cancel_children
from durable_core.engine.ending import finish
from durable_core.engine.execution import Execution
from durable_core.engine.outcome import DID_NOT_RUN, finished_error
from durable_core.engine.ownership import Ownership
from durable_core.engine.parts import EngineParts
from durable_core.engine.requests import file_cancel, file_settle, settle_slot, stands
from durable_core.engine.reviving import Revival
from durable_core.engine.roster import Roster
from durable_core.engine.stored import OpenIntent, open_intents, read_input
from durable_core.engine.succession import Successions
from durable_core.engine.takeover import Takeover, require_not_terminal
from durable_core.errors import (
    ExecutionCancelled,
    ExecutionError,
    ExecutionLocked,
    ExecutionTerminal,
)
from durable_core.ids import ExecutionId, StepId
from durable_core.model.entries import ExecutionStarted, IntentSettled
from durable_core.model.execution import TERMINAL, ExecutionRow, Status, status_of

__all__ = ["Administration"]


class Administration:
    """Changes executions for one engine. For any task of its event loop."""

    def __init__(
        self,
        parts: EngineParts,
        roster: Roster,
        ownership: Ownership,
        takeover: Takeover,
        successions: Successions,
    ) -> None:
        self._parts = parts
        self._roster = roster
        self._ownership = ownership
        self._takeover = takeover
        self._successions = successions
        self._revival = Revival(parts, roster, ownership, takeover)

    async def cancel(self, execution_id: ExecutionId, *, filed: bool = False) -> None:
        """See `DurableEngine.cancel`.

        For a request that is `filed` with that execution it is the owner's to answer: where another
        engine that lives has it, `ExecutionLocked`, and the request has to stay.
        """
        filed_with = execution_id if filed else None
        while True:
            cancelled = ExecutionCancelled(f"execution {execution_id} was cancelled")
            running = self._roster.running(execution_id)
            if running is not None and await self._cancel_running(running, cancelled):
                return
            # It may have ended otherwise than as cancelled, and may run again by now.
            latest = await self._latest(execution_id)
            if latest != execution_id:
                execution_id = latest
                continue
            try:
                alone = self._cancel_alone(
                    execution_id, cancelled, filed=execution_id == filed_with
                )
                if await self._roster.unbroken(alone):
                    return
            except ExecutionTerminal:
                if await self._latest(execution_id) == execution_id:
                    raise
            await asyncio.sleep(0)

    async def _cancel_running(self, running: Execution, cancelled: ExecutionCancelled) -> bool:
        """Cancel what runs here; False where it ended otherwise, or was continued."""
        running.stop(cancelled)
        if _asked_within(running.execution_id):
            return True
        outcome = await running.outcome()
        if outcome.error is None and outcome.successor is None:
            message = f"execution {running.execution_id} completed before it could be cancelled"
            raise ExecutionTerminal(message)
        return isinstance(outcome.error, ExecutionCancelled)

    async def _latest(self, execution_id: ExecutionId) -> ExecutionId:
        row = await self._successions.latest(execution_id)
        return ExecutionId(bytes=row.execution_id)

    async def resume(self, execution_id: ExecutionId, *, anywhere: bool = False) -> ExecutionRow:
        """See `DurableEngine.resume`."""
        work = self._revival.revive if anywhere else self._resume
        return await self._roster.unbroken(work(execution_id))

    async def resume_filed(self, execution_id: ExecutionId) -> bool:
        """Follow a request, here if the workflow is registered here, and otherwise anywhere.

        Whether the request is gone with that; where it ran already, it is still there.
        `ExecutionLocked` where another engine that lives has it, and has to answer.
        """
        row = await self._ownership.load(execution_id)
        here = self._roster.find(row.workflow) is not None
        work = self._resume if here else partial(self._revival.revive, filed=True)
        row = await self._roster.unbroken(work(execution_id))
        return status_of(row.status) is not Status.RUNNING

    async def _resume(self, execution_id: ExecutionId) -> ExecutionRow:
        async with self._roster.sole(execution_id):
            row = await self._ownership.load(execution_id)
            if self._roster.running(execution_id) is not None:
                return row
            self._parts.wire.verified(row)
            status = status_of(row.status)
            if status in TERMINAL and status is not Status.FAILED:
                require_not_terminal(row)
            self._roster.require(row.workflow)
            if status is Status.RUNNING:
                await self._takeover.take_over_now(row)
                return row
            payload = await read_input(self._parts, row)
            if status is Status.BLOCKED and await self._ownership.held_elsewhere(row):
                message = f"execution {execution_id} belongs to a live engine; resume it there"
                raise ExecutionLocked(message)
            async with self._takeover.claimed_lane(row) as lane:
                entry = ExecutionStarted(execution_id, row.generation + 1, payload)
                await self._takeover.reopen(lane, entry if status is Status.FAILED else None)
                await self._revival.answered(row)
                await self._takeover.launch(lane, restart=status is Status.BLOCKED)
            return row

    async def settle(
        self,
        execution_id: ExecutionId,
        step_id: str,
        *,
        ran: bool,
        value: object = None,
    ) -> None:
        """See `DurableEngine.settle`. Runs the execution here if its workflow is registered."""
        row = await self._ownership.load(execution_id)
        payload = DID_NOT_RUN
        if ran:
            payload = b"\x01" + self._parts.codec.encode_by_class(value, "the settled value")
        self._parts.wire.guard(payload)
        await self._find_intent(row, step_id)
        if await self._ownership.held_elsewhere(row):
            if not await file_settle(self._parts, row, step_id, payload):
                message = f"step {step_id} of execution {execution_id} has a word waiting already"
                raise ExecutionError(message)
            return
        await self.journal_settlement(execution_id, step_id, payload)

    async def journal_settlement(
        self,
        execution_id: ExecutionId,
        step_id: str,
        payload: bytes,
        request: InboxRow | None = None,
    ) -> None:
        """Append `intent_settled` and set `running` in one transaction, then go on with it here.

        Where its workflow is not registered, it is given up, for whoever has it. The `request` that
        asks for it, or one that waits, is gone before the step can run again, and block again: it
        was about this once. `ExecutionLocked` where somebody else has answered it.
        """
        work = self._journal_settlement(execution_id, step_id, payload, request)
        await self._roster.unbroken(work)

    async def _journal_settlement(
        self,
        execution_id: ExecutionId,
        step_id: str,
        payload: bytes,
        request: InboxRow | None,
    ) -> None:
        async with self._roster.sole(execution_id):
            row = await self._ownership.load(execution_id)
            intent = (await self._find_intent(row, step_id)).row
            async with self._takeover.claimed_lane(row) as lane:
                # From here on nobody else answers it.
                if request is not None and not await stands(self._parts, request):
                    raise self._ownership.locked(row)
                entry = IntentSettled(
                    execution_id,
                    row.generation,
                    StepId(step_id),
                    intent.fingerprint or b"",
                    intent.idem_key or b"",
                    intent.effect_class,
                    payload,
                    intent.detail,
                )
                await self._parts.journal.append_acked(entry)
                await self._parts.backend.remove_inbox(row.execution_id, settle_slot(step_id))
                if self._roster.find(row.workflow) is not None:
                    await self._takeover.launch(lane, restart=False)
                else:
                    await self._ownership.release(execution_id, lane.row.owner_epoch)

    async def _cancel_alone(
        self, execution_id: ExecutionId, cancelled: ExecutionCancelled, *, filed: bool
    ) -> bool:
        """Cancel what does not run here; False where it changed hands meanwhile."""
        async with self._roster.sole(execution_id):
            if self._roster.running(execution_id) is not None:
                return False
            row = await self._ownership.load(execution_id)
            require_not_terminal(row)
            if await self._ownership.held_elsewhere(row):
                if filed:
                    raise self._ownership.locked(row)
                await file_cancel(self._parts, row)
                return True
            try:
                await self._cancel_idle(row, cancelled)
            except ExecutionLocked:
                return False  # claimed in this instant: its owner gets the request
            return True

    async def _cancel_idle(self, row: ExecutionRow, cancelled: ExecutionCancelled) -> None:
        payload = finished_error(self._parts.failure_of(cancelled))
        async with self._takeover.claimed_lane(row) as lane:
            await cancel_children(self._parts, row)
            await finish(self._parts, lane, Status.CANCELLED, payload, bounded=True)

    async def _find_intent(self, row: ExecutionRow, step_id: str) -> OpenIntent:
        if row.status == Status.BLOCKED.label:
            for intent in await open_intents(self._parts, row):
                if intent.row.step_id == step_id:
                    return intent
        message = (
            f"execution {ExecutionId(bytes=row.execution_id)} is {row.status} and not blocked by "
            f"an ambiguous effect at step {step_id!r}; nothing was settled"
        )
        raise ExecutionError(message)


def _asked_within(execution_id: ExecutionId) -> bool:
    """Whether a step of that execution asks, whose end it would wait for."""
    running = CURRENT.get()
    return running is not None and running.execution_id == execution_id
