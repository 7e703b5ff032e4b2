"""Waits for outcomes, wherever an execution runs, and through all executions that continue it."""

from __future__ import annotations

from attrs import frozen

from durable_core.engine.outcome import Outcome
from durable_core.engine.ownership import Ownership
from durable_core.engine.parts import EngineParts
from durable_core.engine.roster import Roster
from durable_core.engine.stored import stored_outcome
from durable_core.engine.takeover import Takeover
from durable_core.errors import ExecutionLocked
from durable_core.ids import ExecutionId
from durable_core.model.execution import Status, status_of
from durable_core.wire.payload import UNTYPED

__all__ = ["Outcomes"]


@frozen
class Outcomes:
    """For any task of the event loop of one engine."""

    _parts: EngineParts
    _roster: Roster
    _ownership: Ownership
    _takeover: Takeover

    async def of(self, execution_id: ExecutionId) -> Outcome:
        """How the last of the executions that continue this one ended; see `DurableEngine`."""
        while True:
            self._roster.require_not_closed()
            execution = self._roster.running(execution_id)
            outcome = await (
                self._elsewhere(execution_id) if execution is None else execution.outcome()
            )
            if outcome.successor is None:
                return outcome
            execution_id = outcome.successor

    async def _elsewhere(self, execution_id: ExecutionId) -> Outcome:
        """Of one that does not run here, or only if it is taken over."""
        while True:
            self._roster.require_open()
            execution = self._roster.running(execution_id)
            if execution is not None:
                return await execution.outcome()
            if self._roster.has_failed(execution_id):
                failure = self._roster.failure(await self._ownership.load(execution_id))
                if failure is not None:
                    return failure
            row = await self._ownership.wait_until_idle(
                execution_id,
                lambda row: self._roster.find(row.workflow) is not None,
            )
            if self._roster.running(execution_id) is not None:
                continue
            if status_of(row.status) is not Status.RUNNING:
                workflow = self._roster.known(row.workflow)
                returns = UNTYPED if workflow is None else workflow.shape.returns
                return await stored_outcome(self._parts, row, returns)
            try:
                await self._takeover.take_over(row)
            except ExecutionLocked:
                continue  # somebody else was faster: wait for them
