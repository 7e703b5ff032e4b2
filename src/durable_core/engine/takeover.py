"""From an execution that somebody owned to one that runs here, or that is given up (INV-15).

What is claimed is launched by the same task, under the lock of its execution, so that of several
tasks of one engine one claims, and a second claim does not fence the run that the first has begun.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from durable_core.contracts.exchange import Notice, NoticeKind
from durable_core.engine.execution import Execution
from durable_core.engine.ownership import Ownership
from durable_core.engine.parts import EngineParts
from durable_core.engine.roster import Roster
from durable_core.errors import DurableError, ExecutionError, ExecutionLocked, ExecutionTerminal
from durable_core.ids import ExecutionId
from durable_core.journal.lane import Lane
from durable_core.model.entries import ExecutionStarted
from durable_core.model.execution import NOBODY, TERMINAL, ExecutionRow, Status, status_of

__all__ = ["Takeover", "require_not_terminal"]

_LOG: Final = logging.getLogger("durable_core.engine")


class Takeover:
    """Claims and launches for one engine. For any task of its event loop."""

    def __init__(self, parts: EngineParts, roster: Roster, ownership: Ownership) -> None:
        self._parts = parts
        self._roster = roster
        self._ownership = ownership

    async def take_over(self, row: ExecutionRow) -> None:
        """Claim a running execution whose owner is dead or that this engine dropped; run it.

        `ExecutionLocked` if another engine was faster.
        """
        await self._roster.unbroken(self._take_over_alone(row))

    async def _take_over_alone(self, row: ExecutionRow) -> None:
        execution_id = ExecutionId(bytes=row.execution_id)
        async with self._roster.sole(execution_id):
            if self._roster.running(execution_id) is None:
                await self.take_over_now(row)

    async def take_over_now(self, row: ExecutionRow) -> None:
        """As `take_over`, for whoever holds the lock of the execution."""
        self._roster.require(row.workflow)
        async with self.claimed_lane(row) as lane:
            self._run(lane, lane.row)

    def run_claimed(self, row: ExecutionRow) -> None:
        """Run what was claimed for this engine a moment ago; nothing happens where it is in use.

        Without a wait, so that no other task of this engine comes between. `IntegrityError` if the
        row does not match its anchor, `ConfigError` if its key is missing.
        """
        if not self._roster.busy(ExecutionId(bytes=row.execution_id)):
            self._run(self._parts.journal.attach(row), row)

    async def give_back(self, row: ExecutionRow) -> None:
        """Let another engine try what was claimed here and cannot be run here."""
        execution_id = ExecutionId(bytes=row.execution_id)
        try:
            await self._ownership.release(execution_id, row.owner_epoch)
        except DurableError as error:
            _LOG.warning("execution %s stays with this engine: %s", execution_id, error)

    async def give_up(self, execution_id: ExecutionId, *, force: bool) -> ExecutionRow:
        """See `DurableEngine.release`."""
        async with self._roster.sole(execution_id):
            if self._roster.running(execution_id) is not None:
                message = f"execution {execution_id} runs in this engine; close it, or cancel"
                raise ExecutionError(message)
            row = await self._ownership.load(execution_id)
            self._parts.wire.verified(row)
            require_not_terminal(row)
            if await self._ownership.held_elsewhere(row):
                if not force:
                    raise self._ownership.locked(row)
                await self._parts.backend.evict(row.owner_id)
                row = await self._ownership.load(execution_id)
                require_not_terminal(row)
            released = await self._ownership.claim_for(row, NOBODY)
        if released is None:
            message = f"execution {execution_id} changed at that moment; look at it and try again"
            raise ExecutionLocked(message)
        self._parts.notices.hear(Notice(NoticeKind.WAITING, row.execution_id))
        return released

    @asynccontextmanager
    async def claimed_lane(self, row: ExecutionRow) -> AsyncIterator[Lane]:
        """The lane of an execution that is claimed now; forgotten on leaving unless it runs."""
        execution_id = ExecutionId(bytes=row.execution_id)
        # Before the claim: who cannot go on with it must not keep it from those who can.
        self._parts.wire.verified(row)
        try:
            yield self._parts.journal.attach(await self._ownership.claim(row))
        finally:
            if self._roster.running(execution_id) is None:
                self._parts.journal.detach(execution_id)

    async def reopen(self, lane: Lane, fresh: ExecutionStarted | None) -> None:
        """Put what stands still back to `running`, in a `fresh` generation or as it is; durable."""
        if fresh is None:
            await self._parts.writer.change_status(lane, Status.RUNNING)
        else:
            await self._parts.journal.append_acked(fresh)

    async def launch(self, lane: Lane, *, restart: bool) -> None:
        """Run the execution of a lane as it is stored behind everything that was appended."""
        heads = await self._parts.backend.heads([lane.row.execution_id])
        self._run(lane, heads[0], restart=restart)

    def _run(self, lane: Lane, row: ExecutionRow, *, restart: bool = False) -> None:
        workflow = self._roster.require(row.workflow)
        self._roster.launch(Execution(self._parts, workflow, lane, row, restart=restart))


def require_not_terminal(row: ExecutionRow) -> None:
    """`ExecutionTerminal` if the execution has ended."""
    if status_of(row.status) in TERMINAL:
        message = f"execution {ExecutionId(bytes=row.execution_id)} is {row.status} already"
        raise ExecutionTerminal(message)
