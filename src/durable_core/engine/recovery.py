"""Finds executions that nobody runs, and runs them here: the dead owners', and those for anyone.

Carries the engine's half of INV-15 on the way in: what is claimed is claimed in one conditional
update that passes over whatever another engine is claiming, so that many engines share the work.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from durable_core.contracts.exchange import Claimable, OwnerLoad
from durable_core.engine.ownership import Ownership
from durable_core.engine.parts import EngineParts
from durable_core.engine.roster import Roster
from durable_core.engine.takeover import Takeover
from durable_core.errors import DurableError, ExecutionLocked, JournalUnavailable
from durable_core.ids import ExecutionId
from durable_core.model.execution import ANYONE, NOBODY, ExecutionRow, Status

__all__ = ["Recovery"]

_LOG: Final = logging.getLogger("durable_core.engine")
_UNBOUNDED: Final = 256
"""How many executions are recovered at once where no limit is configured."""

_SHARE: Final = 4
"""A claim takes a quarter of what an engine has room for, so that others get theirs meanwhile."""

_AT_ONCE: Final = 64
_ANYHOW: Final = 10
_PAGE: Final = 200


class Recovery:
    """Claims for one engine. Used by its watch alone, one call at a time.

    `recover`: also what belonged to an owner that died. `claim`: also what was started for anyone.
    """

    def __init__(
        self,
        parts: EngineParts,
        roster: Roster,
        ownership: Ownership,
        takeover: Takeover,
        *,
        recover: bool,
        claim: bool,
    ) -> None:
        self._parts = parts
        self._roster = roster
        self._ownership = ownership
        self._takeover = takeover
        self._recover = recover
        self._claim = claim
        self._limit = parts.config.max_concurrent_executions or _UNBOUNDED
        self._looks = 0
        self._reported: set[str] = set()
        self._refused: set[bytes] = set()

    @property
    def claims(self) -> bool:
        """Whether this engine runs what was started for anyone."""
        return self._claim

    async def claim_waiting(self) -> None:
        """Claim what waits for an engine: given up, or started for anyone where this one claims."""
        if self._recover or self._claim:
            await self._claim_from([NOBODY, ANYONE] if self._claim else [NOBODY])

    async def look(self) -> None:
        """Look who owns what is running, and claim what nobody runs any more.

        As much as there is room for; later rounds take the rest. Executions of workflows that are
        not registered here are left alone and reported once.
        """
        if not self._parts.standing.held:
            return  # others take this engine for dead: it would claim back what they claim
        loads = await self._parts.backend.running_owners()
        if not (self._recover or self._claim):
            await self._look_for_own(loads)
            return
        gone = await self._gone({load.owner_id for load in loads})
        self._report(load for load in loads if load.owner_id in gone and load.owner_id != ANYONE)
        await self._claim_from(sorted(gone))
        await self._look_for_own(loads)

    async def _look_for_own(self, loads: Iterable[OwnerLoad]) -> None:
        """Look among what this engine owns where more is stored as running than runs.

        What runs counts also starts that are on their way to the journal, behind which an orphan
        could hide as long as they keep coming: so now and then in any case.
        """
        own = self._parts.journal.owner_id
        stored = sum(load.executions for load in loads if load.owner_id == own)
        self._looks += 1
        if stored > self._roster.load or (stored and self._looks % _ANYHOW == 0):
            await self._take_up_own()

    async def _gone(self, owners: set[str]) -> set[str]:
        """Those of the owners whose executions are to be claimed here."""
        waiting = {NOBODY, ANYONE} if self._claim else {NOBODY}
        gone = owners & waiting
        if self._recover:
            others = owners - {NOBODY, ANYONE, self._parts.journal.owner_id}
            gone |= await self._ownership.gone(others)
        return gone

    async def _claim_from(self, owners: Sequence[str]) -> None:
        workflows = self._roster.names
        if not owners or not workflows or not self._parts.standing.held:
            return
        passed = await self._passed()
        while True:
            room = self._limit - self._roster.active
            self._parts.notices.backlog = room <= 0
            if room <= 0:
                return
            wanted = min(max(1, room // _SHARE), _AT_ONCE)
            which = Claimable(owners, workflows, self._key_ids, (*passed, *self._refused))
            own, now = self._parts.journal.owner_id, self._parts.clock.now_ms()
            try:
                rows = await self._parts.backend.claim_waiting(which, own, now, wanted)
            except JournalUnavailable as error:
                _LOG.info("what waits for an engine is recovered later: %s", error)
                return
            for row in rows:
                await self._adopt(row)
            if len(rows) < wanted:
                return

    @property
    def _key_ids(self) -> tuple[int, ...]:
        return tuple(self._parts.wire.keyring.key_ids)

    async def _passed(self) -> list[bytes]:
        """What ended here by a failure of this engine's own, until it has been claimed since.

        And for a while that doubles with each failure, or engines would hand it round for ever.
        """
        failed = self._roster.failed
        resting = self._roster.resting()
        if not failed:
            return resting
        rows = await self._parts.backend.heads(failed)
        failing = [row.execution_id for row in rows if self._roster.failure(row) is not None]
        return [*resting, *failing]

    async def _adopt(self, row: ExecutionRow) -> None:
        try:
            self._takeover.run_claimed(row)
        except DurableError as error:
            self._refuse(row, error)
            await self._takeover.give_back(row)

    async def _take_up_own(self) -> None:
        """Run what belongs to this engine and is not running.

        Its start landed after its caller had given up, or the store failed under it and commits
        again.
        """
        own = self._parts.journal.owner_id
        after: bytes | None = None
        while self._roster.active < self._limit:
            rows = await self._parts.backend.list_executions(
                statuses=(Status.RUNNING.label,), after=after, limit=_PAGE
            )
            for row in rows:
                if row.owner_id == own and not self._roster.busy(_id_of(row)):
                    await self._settle_own(row)
            if len(rows) < _PAGE:
                return
            after = rows[-1].execution_id

    async def _settle_own(self, row: ExecutionRow) -> None:
        """Run it, or let others have it where it cannot be run here."""
        failure = self._roster.failure(row)
        if failure is not None and isinstance(failure.error, JournalUnavailable):
            return  # it goes on when the store commits again
        unfit = row.execution_id in self._refused or failure is not None
        if unfit or self._roster.find(row.workflow) is None:
            await self._takeover.give_back(row)
        elif (self._recover or self._claim) and self._roster.active < self._limit:
            await self._take_over(row)

    async def _take_over(self, row: ExecutionRow) -> None:
        try:
            await self._takeover.take_over(row)
        except ExecutionLocked:
            return
        except JournalUnavailable as error:
            _LOG.info("execution %s is recovered later: %s", _id_of(row), error)
        except DurableError as error:
            self._refuse(row, error)

    def _refuse(self, row: ExecutionRow, error: DurableError) -> None:
        self._refused.add(row.execution_id)
        _LOG.error(
            "execution %s cannot be recovered: %s: %s", _id_of(row), type(error).__name__, error
        )

    def _report(self, loads: Iterable[OwnerLoad]) -> None:
        """Say once of each workflow and each key that executions wait for an engine with it."""
        for load in loads:
            if self._roster.find(load.workflow) is None:
                what = f"of workflow {load.workflow!r} wait for an engine that registers it"
            elif load.key_id is not None and load.key_id not in self._key_ids:
                what = f"under key id {load.key_id} wait for an engine with that key"
            else:
                continue
            if what not in self._reported:
                self._reported.add(what)
                _LOG.warning("executions %s; this one does not", what)


def _id_of(row: ExecutionRow) -> ExecutionId:
    return ExecutionId(bytes=row.execution_id)
