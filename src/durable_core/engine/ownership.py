"""Who may run an execution: claims, and whether an owner lives (INV-15)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from durable_core.engine.insisting import insist
from durable_core.engine.parts import EngineParts
from durable_core.errors import (
    ExecutionLocked,
    ExecutionNotFound,
    IntegrityError,
)
from durable_core.ids import ExecutionId
from durable_core.model.execution import ANYONE, NOBODY, ExecutionRow, Status

__all__ = ["Ownership"]

_FIRST_POLL: Final = 0.05
_LONGEST_POLL: Final = 1.0
_RECONNECTING: Final = 0.3
"""How long an owner may be without its lock before others take it for dead."""

_UNSETTLED: Final = 3.0
"""How long others get to come back after this engine has lost its own lock."""


class Ownership:
    """Claims executions for one engine."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._owner_id = parts.journal.owner_id

    async def load(self, execution_id: ExecutionId) -> ExecutionRow:
        """The committed row; `ExecutionNotFound` if there is none."""
        row = await self._parts.backend.load(execution_id.bytes)
        if row is None:
            message = f"no execution {execution_id} in this journal"
            raise ExecutionNotFound(message)
        return row

    async def find(self, workflow: str, key: str) -> ExecutionRow | None:
        """The execution that has this key, or None.

        `IntegrityError` if its own record, which an anchor covers, names another key: then the
        table of keys was changed (INV-16).
        """
        found = await self._parts.backend.find(workflow, key)
        row = None if found is None else await self._parts.backend.load(found)
        if row is None or found is None:
            return None  # also where it was pruned between the two looks
        if (row.workflow, row.execution_key) != (workflow, key):
            message = (
                f"the table of keys leads to execution {ExecutionId(bytes=found)}, which has "
                "another key: the journal was changed outside durable-core; restore it from a "
                "backup"
            )
            raise IntegrityError(message)
        return row

    async def held_elsewhere(self, row: ExecutionRow) -> bool:
        """Whether another owner that lives has the execution."""
        return await self._alive(row.owner_id)

    async def gone(self, owners: Iterable[str]) -> set[str]:
        """Those of the owners that live no more, so that what they own is to be taken over.

        Where a connection holds the lock, an owner that lives may be between two connections: it
        has to be missed twice. And when this engine has just lost its own, all others may have:
        then nobody is said to be gone for a while.
        """
        backend = self._parts.backend
        missed = {one for one in owners if one != ANYONE and not await self._alive(one)}
        others = missed - {NOBODY, self._owner_id}
        if not backend.capabilities.shared or not others:
            return missed
        if not self._parts.standing.held_for(_UNSETTLED):
            return missed - others
        await asyncio.sleep(_RECONNECTING)
        return missed - {one for one in others if await self._alive(one)}

    async def _alive(self, owner_id: str) -> bool:
        return owner_id != self._owner_id and await self._parts.backend.owner_alive(owner_id)

    async def claim(self, row: ExecutionRow) -> ExecutionRow:
        """Become the owner of an execution whose owner is dead, or is this engine itself.

        `ExecutionLocked` if a live owner has it, or if somebody else claims it first.
        """
        if await self.held_elsewhere(row):
            raise self.locked(row)
        claimed = await self.claim_for(row, self._owner_id)
        if claimed is None:
            raise self.locked(row)
        return claimed

    async def claim_for(self, row: ExecutionRow, owner_id: str) -> ExecutionRow | None:
        """Make `owner_id` the owner, whoever has it now; None where the row has changed since.

        Asked again after transient trouble. An attempt without an answer counts if it landed: for
        one epoch there is one owner.
        """
        backend, now = self._parts.backend, self._parts.clock.now_ms()
        patience = self._parts.config.journal_ack_timeout_ms
        claimed, unseen = await insist(lambda: backend.claim(row, owner_id, now), patience)
        if claimed is not None or not unseen:
            return claimed
        stored = await backend.load(row.execution_id)
        if stored is None or stored.owner_epoch != row.owner_epoch + 1:
            return None
        return stored if stored.owner_id == owner_id else None

    async def release(self, execution_id: ExecutionId, epoch: int) -> int:
        """Give up a running execution that this engine cannot go on with; the epoch after that.

        Any engine that has its workflow may claim it then. Nothing happens, and `epoch` is
        returned, where somebody has claimed it or it has ended since.
        """
        row = await self._parts.backend.load(execution_id.bytes)
        if row is None or row.owner_epoch != epoch or row.status != Status.RUNNING.label:
            return epoch
        released = await self.claim_for(row, NOBODY)
        return epoch if released is None else released.owner_epoch

    async def wait_until_idle(
        self,
        execution_id: ExecutionId,
        can_take_over: Callable[[ExecutionRow], bool],
    ) -> ExecutionRow:
        """Wait for an execution that runs elsewhere until it ends, blocks, or its owner dies.

        A notice of its end wakes this where the backend notifies; otherwise, and as a fallback, it
        polls: from 50 ms between polls up to 1 s. A dead owner counts only where `can_take_over`
        agrees; what was started for anyone is left to those who claim.
        """
        notifies = self._parts.backend.capabilities.notifies
        pause = _LONGEST_POLL if notifies else _FIRST_POLL
        with self._parts.notices.of_the_end(execution_id.bytes) as ended:
            while True:
                row = await self.load(execution_id)
                if row.status != Status.RUNNING.label:
                    return row
                if can_take_over(row) and await self.gone([row.owner_id]):
                    return row
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await ended.wait()
                ended.clear()
                pause = min(pause * 2, _LONGEST_POLL)

    def locked(self, row: ExecutionRow) -> ExecutionLocked:
        """The error for an execution that somebody else owns."""
        execution_id = ExecutionId(bytes=row.execution_id)
        return ExecutionLocked(
            f"execution {execution_id} is owned by a live engine; wait for it, stop that process, "
            "or send it a request",
        )
