"""A real SQLite backend whose appends meet trouble on request; everything else is its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from attrs import define, field

from durable_core.contracts import BatchOutcome, CommitBatch, ExecutionBackend
from durable_core.ids import ExecutionId
from durable_core.journal import JournalWriter, JournalWriterHandle, WriterSettings
from durable_core.model.execution import ExecutionRow
from durable_core.wire.envelope import WireFormat
from tests.journals import OWNER, opened, wire_format

__all__ = ["FaultyBackend", "Landed", "Stall", "faulty"]


@define
class Landed:
    """The commit takes place, and its caller is told of `error` instead."""

    error: Exception


@define
class Stall:
    """The commit waits for `gate`; `reached` says that it waits."""

    reached: asyncio.Event = field(factory=asyncio.Event)
    gate: asyncio.Event = field(factory=asyncio.Event)


@define
class FaultyBackend:
    """Each append takes the next fault: an error to raise instead, a `Landed`, a `Stall`, None."""

    real: ExecutionBackend
    faults: deque[Exception | Landed | Stall | None] = field(factory=deque)
    probe_faults: deque[Exception] = field(factory=deque)
    batches: list[CommitBatch] = field(factory=list)
    head_faults: deque[Exception] = field(factory=deque)
    seq_faults: deque[Exception] = field(factory=deque)
    vanished: bool = False
    probed: asyncio.Event = field(factory=asyncio.Event)
    numbered: asyncio.Event = field(factory=asyncio.Event)
    """Set when the store has said which seq is the largest: a writer that starts goes on then."""

    @property
    def journal(self) -> FaultyBackend:
        return self

    async def append(self, batch: CommitBatch) -> BatchOutcome:
        self.batches.append(batch)
        fault = self.faults.popleft() if self.faults else None
        match fault:
            case Stall(reached=reached, gate=gate):
                reached.set()
                await gate.wait()
            case Landed(error=error):
                await self.real.journal.append(batch)
                raise error
            case Exception():
                raise fault
            case None:
                pass
        return await self.real.journal.append(batch)

    async def heads(self, execution_ids: Sequence[bytes]) -> list[ExecutionRow]:
        if self.head_faults:
            raise self.head_faults.popleft()
        return [] if self.vanished else await self.real.heads(execution_ids)

    async def max_seq(self) -> int:
        if self.seq_faults:
            raise self.seq_faults.popleft()
        largest = await self.real.max_seq()
        self.numbered.set()
        return largest

    async def probe(self) -> None:
        if self.probe_faults:
            raise self.probe_faults.popleft()
        await self.real.probe()
        self.probed.set()

    async def healthy(self) -> None:
        """Wait for the probe that succeeds, and for the writer to take note of it."""
        await self.probed.wait()
        await asyncio.sleep(0)

    async def steps_of(self, execution: ExecutionId) -> list[str]:
        """The steps that the execution's entries name, in order; nothing is missing between."""
        rows = await self.real.journal.read_execution(execution.bytes)
        assert [row.entry_no for row in rows] == list(range(1, len(rows) + 1))
        return [row.step_id for row in rows if row.step_id]

    def __getattr__(self, name: str) -> Any:
        if hasattr(self.real, name):
            return getattr(self.real, name)
        return getattr(self.real.journal, name)


@asynccontextmanager
async def faulty(
    url: str,
    settings: WriterSettings | None = None,
    wire: WireFormat | None = None,
) -> AsyncIterator[tuple[FaultyBackend, JournalWriterHandle]]:
    """A running writer on a backend that can be made to fail; losses are not raised at close."""
    async with opened(url) as real:
        await real.hold_owner_lock(OWNER)
        backend = FaultyBackend(real)
        writer = JournalWriter(cast("ExecutionBackend", backend), wire or wire_format(), settings)
        handle = JournalWriterHandle(writer, OWNER)
        await writer.start()
        try:
            yield backend, handle
        finally:
            backend.faults.clear()
            backend.probe_faults.clear()
            await _drained(handle)


async def _drained(handle: JournalWriterHandle) -> None:
    with_losses = handle.health().failed
    try:
        await handle.close()
    except Exception:
        if not with_losses:
            raise
