"""While the store is at work on a batch, what waits is numbered, sealed and stamped already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from durable_core.conformance.faults import FaultyBackend, Stall
from durable_core.errors import EntryRejected
from durable_core.ids import ExecutionId, StepId
from durable_core.journal import JournalWriterHandle
from durable_core.model.entries import ExecutionFinished, ExecutionStarted
from durable_core.model.execution import Status
from durable_core.wire.envelope import WireFormat
from tests.ciphers import DefectiveCipher
from tests.journals import (
    ManualClock,
    begun,
    fresh_id,
    opened,
    reader_of,
    result_of,
    wire_format,
    writing,
)

FORMED = 1_700_000_001_000
"""When the batch in hand is formed; what is formed ahead is a second later, and the rest two."""


class Busy:
    """A writer whose store is at work on one entry, which it finishes when it is let go."""

    def __init__(
        self, backend: FaultyBackend, journal: JournalWriterHandle, clock: ManualClock
    ) -> None:
        self.backend = backend
        self.journal = journal
        self.clock = clock
        self._stall = Stall()

    async def begin(self, execution: ExecutionId) -> None:
        """Let the store be at work on the entry of step 0."""
        self.backend.faults.append(self._stall)
        self.held = asyncio.create_task(self.journal.append_acked(result_of(execution, 0)))
        await self._stall.reached.wait()
        self.clock.ms = FORMED + 1000

    def append(self, *entries: tuple[ExecutionId, int]) -> list[asyncio.Task[int]]:
        return [
            asyncio.create_task(self.journal.append_acked(result_of(execution, step)))
            for execution, step in entries
        ]

    async def form_ahead(self) -> None:
        """Do what the store says that there is time for; the clock goes on behind it."""
        await asyncio.sleep(0)
        work = self.backend.batches[-1].meanwhile
        assert work is not None
        work()
        self.clock.ms = FORMED + 2000

    def let_go(self) -> None:
        self._stall.gate.set()


@asynccontextmanager
async def busy(url: str, wire: WireFormat | None = None) -> AsyncIterator[Busy]:
    clock = ManualClock(FORMED)
    async with opened(url) as real:
        backend = FaultyBackend(real)
        async with writing(backend, wire, clock=clock) as journal:
            yield Busy(backend, journal, clock)


async def formed_at(one: Busy, execution: ExecutionId) -> dict[str, int]:
    """Step and age in seconds of each entry behind the start; the chain is verified."""
    reader = await reader_of(one.backend.real, execution)
    rows = await one.backend.real.journal.read_execution(execution.bytes)
    await reader.each(lambda _: None)
    assert [row.entry_no for row in rows] == list(range(1, len(rows) + 1))
    return {row.step_id: (row.created_at - FORMED) // 1000 for row in rows[1:]}


async def test_what_waits_is_formed_ahead_and_what_comes_later_behind_it(url: str) -> None:
    async with busy(url) as one:
        first, second = await begun(one.journal), await begun(one.journal)
        await one.begin(first)
        waiting = one.append(*[(first, step) for step in range(1, 20)], (second, 0))
        await one.form_ahead()
        waiting += one.append((first, 20), (second, 1))
        await asyncio.sleep(0)
        one.let_go()
        seqs = [await one.held, *[await task for task in waiting]]
        assert seqs == sorted(seqs)
        ahead = dict.fromkeys(map(str, range(1, 20)), 1)
        assert await formed_at(one, first) == {"0": 0, **ahead, "20": 2}
        assert await formed_at(one, second) == {"0": 1, "1": 2}


async def test_nothing_is_formed_ahead_where_nothing_is_under_way(url: str) -> None:
    async with busy(url) as one:
        execution = await begun(one.journal)
        one.clock.ms = FORMED + 1000
        waiting = one.append((execution, 0))
        await one.form_ahead()
        await waiting[0]
        assert await formed_at(one, execution) == {"0": 2}


async def test_ec_05_what_was_formed_ahead_behind_a_hole_is_not_written(url: str) -> None:
    async with busy(url) as one:
        first, second = await begun(one.journal), await begun(one.journal)
        await one.begin(first)
        waiting = one.append((first, 1), (second, 0))
        await one.form_ahead()
        one.journal._lane(first).failure = failure = EntryRejected("no row can hold it")
        one.let_go()
        await one.held
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert outcomes[0] is failure
        assert isinstance(outcomes[1], int)
        assert await one.backend.steps_of(first) == ["0"]
        assert await formed_at(one, second) == {"0": 1}


async def test_a_writer_that_dies_goes_on_with_what_was_formed_ahead(url: str) -> None:
    async with busy(url) as one:
        execution = await begun(one.journal)
        await one.begin(execution)
        waiting = one.append(*[(execution, step) for step in (1, 2)])
        await one.form_ahead()
        one.backend.faults.append(RuntimeError("the writer dies"))
        one.let_go()
        await asyncio.gather(one.held, *waiting)
        assert one.journal.health().restarts == 1
        assert await formed_at(one, execution) == {"0": 0, "1": 1, "2": 1}


async def test_ec_04_what_cannot_be_sealed_is_told_by_its_own_batch(url: str) -> None:
    cipher = DefectiveCipher(b"\x00refused")
    async with busy(url, wire_format(cipher=cipher)) as one:
        first, second = await begun(one.journal), await begun(one.journal)
        await one.begin(first)
        waiting = one.append((first, 1))
        refused = result_of(first, 2, b"\x00refused")
        waiting.append(asyncio.create_task(one.journal.append_acked(refused)))
        waiting += one.append((first, 3), (second, 0))
        await one.form_ahead()
        assert not any(task.done() for task in waiting)
        one.let_go()
        await one.held
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [int, EntryRejected, EntryRejected, int]
        assert await one.backend.steps_of(first) == ["0", "1"]
        assert await one.backend.steps_of(second) == ["0"]


async def test_nothing_is_formed_for_an_execution_that_has_failed(url: str) -> None:
    async with busy(url) as one:
        first, second = await begun(one.journal), await begun(one.journal)
        await one.begin(first)
        waiting = one.append((second, 0), (first, 1))
        await asyncio.sleep(0)
        failure = EntryRejected("an earlier one was refused")
        one.journal._lane(second).failure = failure
        await one.form_ahead()
        one.let_go()
        await one.held
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert outcomes[0] is failure
        assert await formed_at(one, first) == {"0": 0, "1": 1}
        assert await one.backend.steps_of(second) == []


async def test_what_continues_another_execution_begins_in_its_own_batch(url: str) -> None:
    async with busy(url) as one:
        other, execution = await begun(one.journal), await begun(one.journal)
        await one.begin(other)
        heir = one.journal.new_lane(fresh_id(), "checkout")
        end = ExecutionFinished(execution, 0, Status.COMPLETED, b"\x00\xf6", StepId(""), None)
        start = ExecutionStarted(ExecutionId(bytes=heir.row.execution_id), 0, b"\x80")
        lane = one.journal._lane(execution)
        handed = one.journal.writer.hand_on(lane, end, heir, [start])
        behind = one.append((other, 1))
        await one.form_ahead()
        one.let_go()
        await asyncio.gather(one.held, handed, *behind)
        assert await formed_at(one, execution) == {"": 2}
        assert await formed_at(one, other) == {"0": 0, "1": 2}
