"""A backend in memory that does what the contract says and nothing else: the reference of the kit.

Every call does its work before it first gives way to another task, so each is a transaction. It
notifies and evicts; what it holds is gone with the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Self

from attrs import define, field

from durable_core.conformance.tables import Tables
from durable_core.contracts import (
    BackendCapabilities,
    BackendSettings,
    BatchOutcome,
    Claimable,
    CommitBatch,
    EndedRow,
    ExecutionBackend,
    Fold,
    HeadChange,
    InboxRow,
    Journal,
    Notice,
    NoticeKind,
    OwnerLoad,
    PromiseRow,
    Stray,
    TimerRow,
    Usage,
)
from durable_core.errors import ConfigError, JournalUnavailable
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ANYONE, NOBODY, ExecutionRow, Status

__all__ = ["MemoryBackend", "MemoryDatabase"]

_RUNNING = Status.RUNNING.label


@define
class MemoryDatabase:
    """The tables, who holds which owner's lock, and who listens."""

    tables: Tables = field(factory=Tables)
    owners: dict[str, MemoryBackend] = field(factory=dict)
    listeners: dict[int, Callable[[Notice], None]] = field(factory=dict)

    def tell(self, kind: NoticeKind, execution_ids: Iterable[bytes]) -> None:
        """Let everybody hear it, each in a turn of the loop of its own."""
        loop = asyncio.get_running_loop()
        for execution_id in execution_ids:
            for hear in self.listeners.values():
                loop.call_soon(hear, Notice(kind, execution_id))


class MemoryBackend(ExecutionBackend):
    """One connection to a `MemoryDatabase`, and its journal as well."""

    name: ClassVar = "memory"
    capabilities: ClassVar = BackendCapabilities(shared=False, notifies=True, evicts=True)

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._closed = False
        self._announced: tuple[int, bytes] | None = None
        self._held: dict[str, Callable[[bool], None] | None] = {}

    @classmethod
    async def open(cls, url: str, settings: BackendSettings) -> Self:
        """An empty database of its own; another connection to one is made with the class itself."""
        if url != "memory:" or settings.must_exist:
            message = f"there is no journal at {url!r}; only memory: can be opened, and is empty"
            raise ConfigError(message)
        return cls(MemoryDatabase())

    @property
    def journal(self) -> Journal:
        """This backend."""
        return self

    @property
    def address(self) -> str:
        """The only URL there is."""
        return "memory:"

    @property
    def _tables(self) -> Tables:
        if self._closed:
            message = "the connection to memory: is closed; open the journal again"
            raise JournalUnavailable(message)
        return self._database.tables

    async def append(self, batch: CommitBatch) -> BatchOutcome:
        """All of it on a copy, which then takes the place of the tables."""
        work = self._tables.begin()
        uses_key = bool(batch.starts) or any(row.payload is not None for row in batch.rows)
        if uses_key and self._announced is not None:
            work.store_check(*self._announced)
        outcome = work.append(batch)
        self._tables.commit(work)
        if uses_key:
            self._announced = None
        self._database.tell(
            NoticeKind.ENDED,
            (
                change.execution_id
                for change in batch.changes
                if change.status != _RUNNING and change.execution_id not in outcome.unmatched
            ),
        )
        self._database.tell(
            NoticeKind.WAITING,
            (
                start.execution_id
                for start in batch.starts
                if start.owner_id == ANYONE
                and start.execution_id not in outcome.taken.keys() | outcome.unmatched
            ),
        )
        return outcome

    async def read_execution(self, execution_id: bytes) -> list[JournalRow]:
        """All rows by number."""
        return self._tables.entries_of(execution_id)

    async def read_execution_range(
        self, execution_id: bytes, after: int, limit: int
    ) -> list[JournalRow]:
        """A page of them."""
        rows = self._tables.entries_of(execution_id)
        return [row for row in rows if row.entry_no > after][:limit]

    async def finalize(self, change: HeadChange, closing: JournalRow) -> int | None:
        """A batch of one."""
        return (await self.append(CommitBatch((), (change,), (closing,)))).seqs[0]

    async def fold(self, fold: Fold) -> bool:
        """On a copy, which takes the place of the tables where it applies."""
        work = self._tables.begin()
        if self._announced is not None:
            work.store_check(*self._announced)
        if not work.fold(fold):
            return False
        self._tables.commit(work)
        self._announced = None
        return True

    async def ended(
        self, after: EndedRow | None, limit: int, *, newest_first: bool = False
    ) -> list[EndedRow]:
        """What comes behind it."""
        rows = self._tables.ended()
        if after is not None:
            place = after.finalized_at, after.execution_id
            rows = [
                row
                for row in rows
                if (row.finalized_at, row.execution_id) != place
                and ((row.finalized_at, row.execution_id) < place) == newest_first
            ]
        return rows[::-1][:limit] if newest_first else rows[:limit]

    async def open_usage(self) -> Usage:
        """Counted."""
        return self._tables.open_usage()

    async def prune(self, rows: Sequence[EndedRow]) -> frozenset[bytes]:
        """Delete what is as it was."""
        return self._tables.prune(rows)

    async def reclaim(self) -> bool:
        """What is deleted takes no space here."""
        self._tables.begin()
        return False

    async def close(self) -> None:
        """Release the locks, hear nothing any more."""
        self._closed = True
        self._database.listeners.pop(id(self), None)
        for owner_id in self._held:
            if self._database.owners.get(owner_id) is self:
                del self._database.owners[owner_id]
        self._held.clear()

    async def load(self, execution_id: bytes) -> ExecutionRow | None:
        """The row, or None."""
        return self._tables.executions.get(execution_id)

    async def find(self, workflow: str, execution_key: str) -> bytes | None:
        """Who has the key."""
        return self._tables.keys.get((workflow, execution_key))

    async def list_executions(
        self,
        *,
        statuses: Sequence[str] = (),
        workflow: str | None = None,
        after: bytes | None = None,
        limit: int = 100,
    ) -> list[ExecutionRow]:
        """What passes the filters, by id."""
        return self._tables.listed(statuses, workflow, after or b"")[:limit]

    async def heads(self, execution_ids: Sequence[bytes]) -> list[ExecutionRow]:
        """The rows of these; nothing is ever under way here."""
        rows = self._tables.executions
        return [rows[one] for one in execution_ids if one in rows]

    async def max_seq(self) -> int:
        """The last one that was given."""
        return self._tables.last_seq

    async def stored_seqs(self, execution_id: bytes, after: int, limit: int) -> list[int]:
        """The seqs of a page."""
        page = await self.read_execution_range(execution_id, after, limit)
        return [self._tables.seqs[row.execution_id, row.entry_no] for row in page]

    async def claim(
        self, expected: ExecutionRow, owner_id: str, now_ms: int
    ) -> ExecutionRow | None:
        """Raise the epoch where it and the status are as expected."""
        row = self._tables.executions.get(expected.execution_id)
        if row is None or (row.owner_epoch, row.status) != (expected.owner_epoch, expected.status):
            return None
        return self._claimed(row, owner_id, now_ms)

    def _claimed(self, row: ExecutionRow, owner_id: str, now_ms: int) -> ExecutionRow:
        epoch = row.owner_epoch + 1
        claimed = row._replace(owner_id=owner_id, owner_epoch=epoch, updated_at=now_ms)
        self._tables.executions[row.execution_id] = claimed
        if owner_id == NOBODY:
            self._database.tell(NoticeKind.WAITING, (row.execution_id,))
        return claimed

    async def running_owners(self) -> list[OwnerLoad]:
        """Counted over everything."""
        rows = self._tables.listed((_RUNNING,), None, b"")
        groups = [(row.owner_id, row.workflow, row.key_id) for row in rows]
        return [OwnerLoad(*group, groups.count(group)) for group in dict.fromkeys(groups)]

    async def claim_waiting(
        self, which: Claimable, owner_id: str, now_ms: int, limit: int
    ) -> list[ExecutionRow]:
        """The first ones that fit."""
        fitting = [
            row
            for row in self._tables.listed((_RUNNING,), None, b"")
            if row.owner_id in which.owners
            and row.workflow in which.workflows
            and (row.key_id is None or row.key_id in which.key_ids)
            and row.execution_id not in which.passed
        ]
        return [self._claimed(row, owner_id, now_ms) for row in fitting[:limit]]

    async def hold_owner_lock(
        self, owner_id: str, standing: Callable[[bool], None] | None = None
    ) -> None:
        """Take it, unless another connection has it."""
        if self._database.owners.setdefault(owner_id, self) is not self:
            message = f"the lock of owner {owner_id} is held by another engine"
            raise JournalUnavailable(message)
        self._held[owner_id] = standing

    async def owner_alive(self, owner_id: str) -> bool:
        """Whether anybody has it."""
        return owner_id in self._database.owners

    async def evict(self, owner_id: str) -> bool:
        """Take the lock away; its holder takes it again in a later turn of the loop."""
        holder = self._database.owners.pop(owner_id, None)
        if holder is not None:
            asyncio.get_running_loop().call_soon(holder._lost, owner_id)  # noqa: SLF001 - one class
        return True

    def _lost(self, owner_id: str) -> None:
        standing = self._held.get(owner_id)
        if standing is not None:
            standing(False)
        if owner_id in self._held:
            self._database.owners[owner_id] = self
        if standing is not None:
            standing(True)

    def listen(self, hear: Callable[[Notice], None]) -> None:
        """Hear what is committed on any connection."""
        self._database.listeners[id(self)] = hear

    async def key_checks(self) -> dict[int, bytes]:
        """What is stored."""
        return dict(self._tables.checks)

    def announce_key(self, key_id: int, check: bytes) -> None:
        """Keep it for the next batch or request that needs it."""
        self._announced = (key_id, check)

    async def strays(
        self,
        execution_id: bytes | None = None,  # noqa: ARG002 - there are none
        limit: int = 100,  # noqa: ARG002 - there are none
    ) -> list[Stray]:
        """None: nobody changes these tables but the contract."""
        return []

    async def post_inbox(self, row: InboxRow) -> bool:
        """File it, with the check of its key where it has a payload."""
        work = self._tables.begin()
        if row.payload is not None and self._announced is not None:
            work.store_check(*self._announced)
        filed = work.file(row)
        self._tables.commit(work)
        if row.payload is not None:
            self._announced = None
        if filed:
            self._database.tell(NoticeKind.REQUEST, (row.execution_id,))
        return filed

    async def read_inbox(self, owner_id: str | None = None, limit: int = 100) -> list[InboxRow]:
        """The oldest first."""
        tables = self._tables
        rows = [
            row
            for row in tables.requests.values()
            if owner_id in {None, tables.executions[row.execution_id].owner_id}
        ]
        rows.sort(key=lambda row: (row.created_at, row.execution_id, row.slot))
        return rows[:limit]

    async def remove_inbox(self, execution_id: bytes, slot: str) -> None:
        """Delete it, if it is there."""
        self._tables.requests.pop((execution_id, slot), None)

    async def find_promise(self, promise_id: bytes) -> PromiseRow | None:
        """The oldest that has the id."""
        rows = [row for row in self._tables.promises.values() if row.promise_id == promise_id]
        return min(rows, key=lambda row: (row.created_at, row.execution_id), default=None)

    async def promises_of(self, execution_id: bytes) -> list[PromiseRow]:
        """Those of one execution, the oldest first."""
        rows = self._tables.promises.values()
        own = [row for row in rows if row.execution_id == execution_id]
        return sorted(own, key=lambda row: (row.created_at, row.promise_id))

    async def timers_of(self, execution_id: bytes) -> list[TimerRow]:
        """Those of one execution, the next one that is due first."""
        own = [row for row in self._tables.timers.values() if row.execution_id == execution_id]
        return sorted(own, key=lambda row: (row.due_at, row.timer_id))

    async def probe(self) -> None:
        """Nothing can be wrong here but that it is closed."""
        self._tables.begin()
