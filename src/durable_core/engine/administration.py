"""Cancel, settle, resume, take over: what changes an execution from outside its workflow.

The owner writes; everybody else files a request. With no live owner the caller claims first.
"""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakValueDictionary

from durable_core.engine.ending import finish
from durable_core.engine.execution import Execution
from durable_core.engine.outcome import DID_NOT_RUN, finished_error
from durable_core.engine.ownership import Ownership
from durable_core.engine.parts import EngineParts
from durable_core.engine.requests import file_cancel, file_settle
from durable_core.engine.roster import Roster
from durable_core.engine.stored import OpenIntent, open_intents, read_input
from durable_core.errors import (
    ExecutionCancelled,
    ExecutionError,
    ExecutionLocked,
    ExecutionTerminal,
    PayloadError,
)
from durable_core.ids import ExecutionId, StepId
from durable_core.journal.lane import Lane
from durable_core.model.entries import ExecutionStarted, IntentSettled
from durable_core.model.execution import TERMINAL, ExecutionRow, Status, status_of

__all__ = ["Administration"]


class Administration:
    """Changes executions for one engine. For any task of its event loop."""

    def __init__(self, parts: EngineParts, roster: Roster, ownership: Ownership) -> None:
        self._parts = parts
        self._roster = roster
        self._ownership = ownership
        self._claims: WeakValueDictionary[ExecutionId, asyncio.Lock] = WeakValueDictionary()

    async def cancel(self, execution_id: ExecutionId) -> None:
        """See `DurableEngine.cancel`."""
        cancelled = ExecutionCancelled(f"execution {execution_id} was cancelled")
        running = self._roster.running(execution_id)
        if running is not None:
            running.stop(cancelled)
            outcome = await running.outcome()
            if outcome.error is not None and not isinstance(outcome.error, ExecutionCancelled):
                self._require_not_terminal(await self._ownership.load(execution_id))
            elif outcome.error is None:
                message = f"execution {execution_id} completed before it could be cancelled"
                raise ExecutionTerminal(message)
            return
        row = await self._ownership.load(execution_id)
        self._require_not_terminal(row)
        if await self._ownership.held_elsewhere(row):
            await file_cancel(self._parts, row)
            return
        lane = await self._claimed_lane(row)
        try:
            payload = finished_error(self._parts.failure_of(cancelled))
            await finish(self._parts, lane, Status.CANCELLED, payload)
        finally:
            self._parts.journal.detach(execution_id)

    async def resume(self, execution_id: ExecutionId) -> ExecutionRow:
        """See `DurableEngine.resume`."""
        row = await self._ownership.load(execution_id)
        if self._roster.running(execution_id) is not None:
            return row
        self._parts.wire.verified(row)
        status = status_of(row.status)
        if status in TERMINAL and status is not Status.FAILED:
            self._require_not_terminal(row)
        self._roster.require(row.workflow)
        if status is Status.RUNNING:
            await self.take_over(row)
            return row
        payload = await read_input(self._parts, row)
        if status is Status.BLOCKED and await self._ownership.held_elsewhere(row):
            message = f"execution {execution_id} belongs to a live engine; resume it there"
            raise ExecutionLocked(message)
        lane = await self._claimed_lane(row)
        if status is Status.FAILED:
            entry = ExecutionStarted(execution_id, row.generation + 1, payload)
            await self._parts.writer.append(lane, entry)
        else:
            await self._parts.writer.change_status(lane, Status.RUNNING)
        await self._launch(lane, restart=status is Status.BLOCKED)
        return row

    async def take_over(self, row: ExecutionRow) -> None:
        """Claim a running execution whose owner is dead or that this engine dropped; run it.

        Of the tasks of one engine that ask at once, one claims: a second claim would fence the run
        that the first one has just begun. `ExecutionLocked` if another engine was faster.
        """
        execution_id = ExecutionId(bytes=row.execution_id)
        workflow = self._roster.require(row.workflow)
        lock = self._claims.setdefault(execution_id, asyncio.Lock())
        async with lock:
            if self._roster.running(execution_id) is not None:
                return
            claimed = await self._ownership.claim(row)
            lane = self._parts.journal.attach(claimed)
            self._roster.launch(Execution(self._parts, workflow, lane, claimed))

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
        payload = b"\x01" + self._encode(value) if ran else DID_NOT_RUN
        self._parts.wire.guard(payload)
        await self._find_intent(row, step_id)
        if await self._ownership.held_elsewhere(row):
            if not await file_settle(self._parts, row, step_id, payload):
                message = f"step {step_id} of execution {execution_id} has a word waiting already"
                raise ExecutionError(message)
            return
        await self.journal_settlement(row, step_id, payload)

    async def journal_settlement(self, row: ExecutionRow, step_id: str, payload: bytes) -> None:
        """Append `intent_settled` and set `running` in one transaction, then go on with it here."""
        intent = (await self._find_intent(row, step_id)).row
        lane = await self._claimed_lane(row)
        entry = IntentSettled(
            ExecutionId(bytes=row.execution_id),
            row.generation,
            StepId(step_id),
            intent.fingerprint or b"",
            intent.idem_key or b"",
            intent.effect_class,
            payload,
            intent.detail,
        )
        await self._parts.writer.append(lane, entry)
        if self._roster.find(row.workflow) is not None:
            await self._launch(lane, restart=False)
        else:
            self._parts.journal.detach(entry.execution_id)

    async def _launch(self, lane: Lane, *, restart: bool) -> None:
        heads = await self._parts.backend.heads([lane.row.execution_id])
        workflow: Any = self._roster.require(heads[0].workflow)
        self._roster.launch(Execution(self._parts, workflow, lane, heads[0], restart=restart))

    async def _claimed_lane(self, row: ExecutionRow) -> Lane:
        return self._parts.journal.attach(await self._ownership.claim(row))

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

    def _encode(self, value: object) -> bytes:
        try:
            return self._parts.codec.encode(value)
        except PayloadError as error:
            message = f"the settled value is refused: {error}"
            raise type(error)(message) from error

    def _require_not_terminal(self, row: ExecutionRow) -> None:
        if status_of(row.status) in TERMINAL:
            message = f"execution {ExecutionId(bytes=row.execution_id)} is {row.status} already"
            raise ExecutionTerminal(message)
