"""INV-7: whatever is sealed anew gets a new nonce, and a retry seals nothing anew."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from durable_core import DurableContext, EffectClass, OnAmbiguous, step, workflow
from durable_core.conformance.faults import FaultyBackend, Landed
from durable_core.contracts import ExecutionBackend
from durable_core.errors import ExecutionFailed, TransientStoreError
from durable_core.ids import ExecutionId
from durable_core.journal import JournalWriter, JournalWriterHandle
from durable_core.model.entries import EntryKind
from durable_core.model.execution import ExecutionRow
from tests.ciphers import CountingCipher
from tests.engines import OpenEngine
from tests.journals import (
    OWNER,
    begun,
    opened,
    path_of,
    query,
    result_of,
    wire_format,
    writing,
)
from tests.programs import version

SAME = b"the same text, sealed again and again"


@step
async def repeat(text: bytes) -> bytes:
    return text


@step(effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.SKIP)
async def repeat_guarded(text: bytes) -> bytes:
    return text


@workflow
async def monotonous(ctx: DurableContext, text: bytes) -> bytes:
    for _ in range(20):
        await ctx.step(repeat, text)
        await ctx.step(repeat_guarded, text)
    return text


def blobs(url: str, condition: str = "payload IS NOT NULL") -> list[bytes]:
    statement = f"SELECT payload FROM durable_journal WHERE {condition} ORDER BY seq"
    return [blob for (blob,) in query(path_of(url), statement)]


def nonces(sealed: list[bytes]) -> list[bytes]:
    assert all(blob[:2] == b"\x01\x01" for blob in sealed)
    return [blob[2:26] for blob in sealed]


async def test_inv_07_no_two_blobs_of_a_journal_share_a_nonce(
    open_engine: OpenEngine,
    url: str,
) -> None:
    async with open_engine(monotonous) as engine:
        await asyncio.gather(*(engine.run(monotonous, SAME) for _ in range(5)))
    found = nonces(blobs(url))
    assert len(found) == 5 * (1 + 40 + 1)
    assert len(set(found)) == len(found)
    assert len({nonce[:12] for nonce in found}) == len(found), "each picks a sub-key of its own"


@pytest.mark.parametrize(
    "trouble",
    [TransientStoreError("busy", landed_unknown=True), RuntimeError("the writer's loop dies")],
    ids=["trouble", "crash"],
)
@pytest.mark.parametrize("landed", [True, False])
async def test_inv_07_a_retry_sends_the_same_blob(
    url: str,
    trouble: Exception,
    *,
    landed: bool,
) -> None:
    """Whether the first attempt took place or not: nothing is sealed a second time."""
    cipher = CountingCipher()
    async with opened(url) as real:
        await real.hold_owner_lock(OWNER)
        faulty = FaultyBackend(real)
        backend = cast("ExecutionBackend", faulty)
        writer = JournalWriter(backend, wire_format(cipher=cipher))
        async with JournalWriterHandle(writer, OWNER) as journal:
            execution_id = await begun(journal)
            faulty.batches.clear()
            fault: Any = Landed(trouble) if landed else trouble
            faulty.faults.extend([fault, trouble])
            for number in range(3):
                journal.append_buffered(result_of(execution_id, number, SAME))
            await journal.append_acked(result_of(execution_id, 3, SAME))
        attempts = [batch.rows for batch in faulty.batches]
    looked_up_first = landed and isinstance(trouble, RuntimeError)
    assert len(attempts) == (1 if looked_up_first else 3)
    assert all(attempt == attempts[0] for attempt in attempts)
    assert len(attempts[0]) == 4
    assert len(cipher.sealed) == 1 + 4, "the start and each entry, once"
    assert blobs(url, "entry_kind = 3") == [row.payload for row in attempts[0]]


class Trouble(Exception):
    """What makes the first run fail."""


async def test_inv_07_a_result_that_a_fresh_run_takes_over_is_sealed_anew(
    open_engine: OpenEngine,
    url: str,
) -> None:
    runs: list[bytes] = []

    async def fails_once(ctx: DurableContext) -> bytes:
        value = await ctx.step(repeat_guarded, SAME)
        await ctx.step(repeat, SAME)
        runs.append(value)
        if len(runs) == 1:
            raise Trouble
        return value

    program = version(fails_once)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        with pytest.raises(ExecutionFailed):
            await handle.result()
        assert await (await engine.resume(handle.id)).result() == SAME
    first = blobs(url, "entry_kind = 3 AND generation = 0")
    second = blobs(url, "entry_kind = 3 AND generation = 1")
    assert len(first) == len(second) == 2
    assert len(set(nonces(first + second))) == 4
    assert not {blob[26:] for blob in first} & {blob[26:] for blob in second}


async def test_inv_07_a_request_is_sealed_under_a_nonce_of_its_own(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        envelope = journal.attach(await row_of(backend, await begun(journal))).envelope
        filed = [envelope.seal_request("settle:0", EntryKind.INTENT_SETTLED, SAME) for _ in "abc"]
    assert len(set(nonces(filed))) == 3


async def row_of(backend: ExecutionBackend, execution_id: ExecutionId) -> ExecutionRow:
    row = await backend.load(execution_id.bytes)
    assert row is not None
    return row
