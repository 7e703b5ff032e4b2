"""A wrapper around any backend whose appends, heads and probes meet trouble on request.

Everything else is the wrapped backend's own, so that what is tested with it is tested against real
storage. Which kind of trouble it is, transient or for good, is the error that a test gives.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import ClassVar, NoReturn, Self

from attrs import define, evolve, field

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
    OwnerLoad,
    PromiseRow,
    Stray,
    TimerRow,
    Usage,
)
from durable_core.errors import ConfigError
from durable_core.ids import ExecutionId
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow

__all__ = ["Fault", "FaultyBackend", "Landed", "Stall"]


@define
class Landed:
    """The commit takes place, and its caller is told of `error` instead."""

    error: Exception


@define
class Stall:
    """The commit waits for `gate`; `reached` says that it waits."""

    reached: asyncio.Event = field(factory=asyncio.Event)
    gate: asyncio.Event = field(factory=asyncio.Event)


Fault = Exception | Landed | Stall
"""An error that is raised instead of the commit, an answer that is lost, or a delay."""


class FaultyBackend(ExecutionBackend):
    """Each append takes the next of `faults`; None, and an empty queue, are no fault.

    `head_faults`, `seq_faults` and `probe_faults` are raised instead of the answers of `heads`,
    `max_seq` and `probe`. While `vanished`, `heads` finds nothing. `batches` keeps what was handed
    over; `probed` and `numbered` are set when the real `probe` and `max_seq` have answered.
    """

    name: ClassVar = "faulty"
    capabilities: ClassVar = BackendCapabilities(shared=False, notifies=False, evicts=False)

    def __init__(self, real: ExecutionBackend) -> None:
        # An instance is what the backend is that it wraps; a class can declare only one thing.
        vars(self).update(name=real.name, capabilities=real.capabilities)
        self.real = real
        self.faults: deque[Fault | None] = deque()
        self.probe_faults: deque[Exception] = deque()
        self.head_faults: deque[Exception] = deque()
        self.seq_faults: deque[Exception] = deque()
        self.batches: list[CommitBatch] = []
        self.vanished = False
        self.probed = asyncio.Event()
        self.numbered = asyncio.Event()

    def plan(self, nth: int, fault: Fault) -> None:
        """Let the `nth` append from now on (the next one is 1) meet `fault`."""
        while len(self.faults) < nth:
            self.faults.append(None)
        self.faults[nth - 1] = fault

    async def healthy(self) -> None:
        """Wait for the probe that succeeds, and for the writer to take note of it."""
        await self.probed.wait()
        await asyncio.sleep(0)

    async def steps_of(self, execution: ExecutionId) -> list[str]:
        """The steps that the execution's entries name, in order; nothing is missing between."""
        rows = await self.real.journal.read_execution(execution.bytes)
        assert [row.entry_no for row in rows] == list(range(1, len(rows) + 1))
        return [row.step_id for row in rows if row.step_id]

    async def append(self, batch: CommitBatch) -> BatchOutcome:
        """Meet the next fault, or commit."""
        self.batches.append(batch)
        fault = self.faults.popleft() if self.faults else None
        match fault:
            case Stall(reached=reached, gate=gate):
                reached.set()
                await gate.wait()
            case Landed(error=error):
                await self.real.journal.append(evolve(batch, told=None))
                raise error
            case Exception():
                raise fault
            case None:
                pass
        return await self.real.journal.append(batch)

    async def heads(self, execution_ids: Sequence[bytes]) -> list[ExecutionRow]:
        """Raise, or answer."""
        if self.head_faults:
            raise self.head_faults.popleft()
        return [] if self.vanished else await self.real.heads(execution_ids)

    async def max_seq(self) -> int:
        """Raise, or answer."""
        if self.seq_faults:
            raise self.seq_faults.popleft()
        largest = await self.real.max_seq()
        self.numbered.set()
        return largest

    async def probe(self) -> None:
        """Raise, or probe."""
        if self.probe_faults:
            raise self.probe_faults.popleft()
        await self.real.probe()
        self.probed.set()

    # What follows is the wrapped backend's own.

    @classmethod
    async def open(cls, url: str, settings: BackendSettings) -> Self:
        """Refused: what is opened is the real one, which this class is then put around."""
        _refuse(url, settings)

    @property
    def journal(self) -> Journal:
        """This backend, whose appends meet the faults."""
        return self

    @property
    def address(self) -> str:
        """That of the real one."""
        return self.real.address

    async def close(self) -> None:
        await self.real.close()

    async def read_execution(self, execution_id: bytes) -> list[JournalRow]:
        return await self.real.journal.read_execution(execution_id)

    async def read_execution_range(
        self, execution_id: bytes, after: int, limit: int
    ) -> list[JournalRow]:
        return await self.real.journal.read_execution_range(execution_id, after, limit)

    async def finalize(self, change: HeadChange, closing: JournalRow) -> int | None:
        return await self.real.journal.finalize(change, closing)

    async def fold(self, fold: Fold) -> bool:
        return await self.real.journal.fold(fold)

    async def ended(
        self, after: EndedRow | None, limit: int, *, newest_first: bool = False
    ) -> list[EndedRow]:
        return await self.real.journal.ended(after, limit, newest_first=newest_first)

    async def open_usage(self) -> Usage:
        return await self.real.journal.open_usage()

    async def prune(self, rows: Sequence[EndedRow]) -> frozenset[bytes]:
        return await self.real.journal.prune(rows)

    async def reclaim(self) -> bool:
        return await self.real.journal.reclaim()

    async def load(self, execution_id: bytes) -> ExecutionRow | None:
        return await self.real.load(execution_id)

    async def find(self, workflow: str, execution_key: str) -> bytes | None:
        return await self.real.find(workflow, execution_key)

    async def list_executions(
        self,
        *,
        statuses: Sequence[str] = (),
        workflow: str | None = None,
        after: bytes | None = None,
        limit: int = 100,
    ) -> list[ExecutionRow]:
        return await self.real.list_executions(
            statuses=statuses, workflow=workflow, after=after, limit=limit
        )

    async def stored_seqs(self, execution_id: bytes, after: int, limit: int) -> list[int]:
        return await self.real.stored_seqs(execution_id, after, limit)

    async def claim(
        self, expected: ExecutionRow, owner_id: str, now_ms: int
    ) -> ExecutionRow | None:
        return await self.real.claim(expected, owner_id, now_ms)

    async def running_owners(self) -> list[OwnerLoad]:
        return await self.real.running_owners()

    async def claim_waiting(
        self, which: Claimable, owner_id: str, now_ms: int, limit: int
    ) -> list[ExecutionRow]:
        return await self.real.claim_waiting(which, owner_id, now_ms, limit)

    async def hold_owner_lock(
        self, owner_id: str, standing: Callable[[bool], None] | None = None
    ) -> None:
        await self.real.hold_owner_lock(owner_id, standing)

    async def owner_alive(self, owner_id: str) -> bool:
        return await self.real.owner_alive(owner_id)

    async def evict(self, owner_id: str) -> bool:
        return await self.real.evict(owner_id)

    def listen(self, hear: Callable[[Notice], None]) -> None:
        self.real.listen(hear)

    async def key_checks(self) -> dict[int, bytes]:
        return await self.real.key_checks()

    def announce_key(self, key_id: int, check: bytes) -> None:
        self.real.announce_key(key_id, check)

    async def strays(self, execution_id: bytes | None = None, limit: int = 100) -> list[Stray]:
        return await self.real.strays(execution_id, limit)

    async def post_inbox(self, row: InboxRow) -> bool:
        return await self.real.post_inbox(row)

    async def read_inbox(self, owner_id: str | None = None, limit: int = 100) -> list[InboxRow]:
        return await self.real.read_inbox(owner_id, limit)

    async def remove_inbox(self, execution_id: bytes, slot: str) -> None:
        await self.real.remove_inbox(execution_id, slot)

    async def find_promise(self, promise_id: bytes) -> PromiseRow | None:
        return await self.real.find_promise(promise_id)

    async def promises_of(self, execution_id: bytes) -> list[PromiseRow]:
        return await self.real.promises_of(execution_id)

    async def timers_of(self, execution_id: bytes) -> list[TimerRow]:
        return await self.real.timers_of(execution_id)


def _refuse(url: str, settings: BackendSettings) -> NoReturn:
    message = (
        f"a faulty backend opens nothing, {url!r} (durability {settings.durability.value}) "
        "neither; open the real one and put FaultyBackend around it"
    )
    raise ConfigError(message)
