"""A commit whose answer was lost, and that another owner has folded since: it has landed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from durable_core.conformance.faults import FaultyBackend, Landed, Stall
from durable_core.contracts import MasterKeys
from durable_core.errors import ExecutionFenced, TransientStoreError
from durable_core.ids import ExecutionId, JournalSeq
from durable_core.journal import JournalWriterHandle
from durable_core.model.entries import StepResult
from durable_core.wire.envelope import WireFormat
from tests.faults import faulty
from tests.folds import fold_stored
from tests.journals import (
    MASTER,
    OTHER_MASTER,
    begun,
    change,
    path_of,
    query,
    result_of,
    wire_format,
)

LOST = TransientStoreError("the line broke", landed_unknown=True)
ENTRIES = 4
WIRES = {"keyed": wire_format(), "unkeyed": wire_format(None)}
wires = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)


async def lost(
    backend: FaultyBackend,
    journal: JournalWriterHandle,
    execution: ExecutionId,
    meanwhile: Callable[[], Awaitable[object]],
) -> asyncio.Future[JournalSeq]:
    """Four appends that landed without an answer; `meanwhile` happens before they are retried."""
    stall = Stall()
    backend.faults.extend([Landed(LOST), stall])
    for step in range(ENTRIES - 1):
        journal.append_buffered(result_of(execution, step))
    waiting = asyncio.ensure_future(journal.append_acked(result_of(execution, ENTRIES - 1)))
    await stall.reached.wait()
    await meanwhile()
    stall.gate.set()
    return waiting


async def taken_over(backend: FaultyBackend, execution: ExecutionId) -> None:
    row = await backend.real.load(execution.bytes)
    assert row is not None
    assert await backend.real.claim(row, "owner-b", 1)


@wires
@pytest.mark.parametrize("upto", [2, 3, 5])
async def test_ec_38_what_landed_counts_although_it_was_folded(
    url: str, wire: WireFormat, upto: int
) -> None:
    async with faulty(url, wire=wire) as (backend, journal):
        execution = await begun(journal)

        async def meanwhile() -> None:
            await taken_over(backend, execution)
            await fold_stored(backend.real, execution, upto=upto, wire=wire)

        waiting = await lost(backend, journal, execution, meanwhile)
        seqs = dict(query(path_of(url), "SELECT entry_no, seq FROM durable_journal"))
        assert await waiting == seqs[ENTRIES + 1], "that of its checkpoint, where there is one"
        assert journal.health().failed == 0
        with pytest.raises(ExecutionFenced):
            await journal.append_acked(result_of(execution, ENTRIES))


@wires
async def test_what_another_owner_wrote_in_its_place_does_not_count(
    url: str, wire: WireFormat
) -> None:
    async with faulty(url, wire=wire) as (backend, journal):
        execution = await begun(journal)

        async def meanwhile() -> None:
            """It did not land here, and the other one has gone on and folded."""
            statement = "DELETE FROM durable_journal WHERE entry_no > 1"
            assert change(path_of(url), statement) == ENTRIES
            await taken_over(backend, execution)
            await other_history(backend, execution, wire)

        waiting = await lost(backend, journal, execution, meanwhile)
        with pytest.raises(ExecutionFenced):
            await waiting


async def other_history(backend: FaultyBackend, execution: ExecutionId, wire: WireFormat) -> None:
    """Entries of the same numbers that hold other values, folded."""
    row = await backend.real.load(execution.bytes)
    assert row is not None
    (first,) = await backend.real.journal.read_execution(execution.bytes)
    envelope = wire.envelope(row)
    before = first.hmac or envelope.genesis
    rows = []
    for number in range(2, ENTRIES + 2):
        entry: StepResult = result_of(execution, number - 2, b"\x00\x07")
        made = envelope.row_of(entry, number, before, 1)
        before = made.hmac or envelope.genesis
        rows.append(made)
    columns = ", ".join("?" * 13)
    for made in rows:
        statement = f"INSERT INTO durable_journal ({', '.join(made._fields)}) VALUES ({columns})"
        change(path_of(backend.address), statement, *made)
    state = (
        ENTRIES + 1,
        rows[-1].hmac,
        envelope.anchor(1, 0, ENTRIES + 1, before),
        execution.bytes,
    )
    change(
        path_of(backend.address),
        "UPDATE durable_executions SET entry_count = ?, head_hmac = ?, anchor_mac = ? "
        "WHERE execution_id = ?",
        *state,
    )
    await fold_stored(backend.real, execution, wire=wire)


async def test_a_checkpoint_under_a_key_that_is_not_here_says_nothing(url: str) -> None:
    rotated = wire_format(MasterKeys(2, {1: MASTER, 2: OTHER_MASTER}))
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)

        async def meanwhile() -> None:
            await taken_over(backend, execution)
            await fold_stored(backend.real, execution, wire=rotated)

        waiting = await lost(backend, journal, execution, meanwhile)
        with pytest.raises(ExecutionFenced):
            await waiting


async def test_a_fold_between_two_reads_is_seen(url: str) -> None:
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        folding = [True]

        async def fold_once() -> None:
            if folding:
                folding.clear()
                await fold_stored(backend.real, execution, upto=4)

        async def meanwhile() -> None:
            await taken_over(backend, execution)
            seqs = backend.real.stored_seqs

            async def stored_seqs(execution_id: bytes, after: int, limit: int) -> list[int]:
                await fold_once()
                return await seqs(execution_id, after, limit)

            backend.stored_seqs = stored_seqs  # type: ignore[method-assign]

        waiting = await lost(backend, journal, execution, meanwhile)
        seqs = dict(query(path_of(url), "SELECT entry_no, seq FROM durable_journal"))
        assert await waiting == seqs[ENTRIES + 1]
        assert not folding
        assert journal.health().failed == 0
