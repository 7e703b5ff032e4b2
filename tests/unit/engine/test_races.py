"""Who comes first, in many trials on a real file (EC-32): one winner, nothing half done."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable

import pytest

from durable_core import DurableContext, DurableEngine, ExecutionHandle, step, workflow
from durable_core.errors import (
    DurableError,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionFenced,
    ExecutionLocked,
    ExecutionNotFound,
    ExecutionTerminal,
)
from durable_core.model.entries import EntryKind
from durable_core.model.execution import Status
from tests.dialects import query
from tests.engines import OpenEngine
from tests.programs import Stage, version
from tests.unit.engine.owning import answering, ledger_of, program_of
from tests.unit.engine.processes import child

pytestmark = pytest.mark.dialects

TRIALS = 40


def finished_entries(url: str) -> Counter[bytes]:
    finished = int(EntryKind.EXECUTION_FINISHED)
    rows = query(url, f"SELECT execution_id FROM durable_journal WHERE entry_kind = {finished}")
    return Counter(execution_id for (execution_id,) in rows)


async def outcome(asked: Awaitable[object]) -> object:
    try:
        return await asked
    except DurableError as error:
        return type(error)


async def turns(count: int) -> None:
    """Let the others go first, that many times."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_ec_32_cancel_against_finalize(where: str, open_engine: OpenEngine, url: str) -> None:
    """Each execution either completes or is cancelled, and everybody hears the same."""
    gates = [asyncio.Event() for _ in range(TRIALS)]

    @step(name="work")
    async def work(number: int) -> int:
        await gates[number].wait()
        return number

    @workflow
    async def program(ctx: DurableContext, number: int) -> int:
        return await ctx.step(work, number)

    rng = random.Random(32)
    async with open_engine(program) as engine, open_engine() as other:
        handles = [await engine.start(program, number) for number in range(TRIALS)]
        canceller = engine if where == "here" else other

        async def cancel(number: int, delay: int) -> object:
            await turns(delay)
            return await outcome(canceller.cancel(handles[number].id))

        async def finish(number: int, delay: int) -> object:
            if where == "elsewhere" and number:
                # The owner has begun to answer the requests.
                await outcome(handles[0].result())
            await turns(delay)
            if where == "here" or number:
                gates[number].set()
            return await outcome(handles[number].result())

        both = [
            (cancel(number, rng.randrange(20)), finish(number, rng.randrange(20)))
            for number in range(TRIALS)
        ]
        raced = await asyncio.gather(*(asyncio.gather(*pair) for pair in both))
        for number, (cancelled, result) in enumerate(raced):
            match await handles[number].status():
                case Status.COMPLETED:
                    assert result == number
                    # Filed with the owner, which completed it before it could answer.
                    assert cancelled is ExecutionTerminal or (where, cancelled) == (
                        "elsewhere",
                        None,
                    )
                case status:
                    assert status is Status.CANCELLED
                    assert (cancelled, result) == (None, ExecutionCancelled)
        await other.verify()
    assert finished_entries(url) == {handle.id.bytes: 1 for handle in handles}


async def test_ec_32_recovery_against_recovery(open_engine: OpenEngine, url: str) -> None:
    """Three engines here and two in other processes open at once: each orphan runs once."""
    program = program_of(url, answering("recovered"))
    numbers = [str(number) for number in range(TRIALS)]
    async with child("own", url, "alone", *numbers) as owner:
        for _ in numbers:
            await owner.says("holding")
        await owner.kill()

    async def recover() -> None:
        async with open_engine(program) as engine:
            for number in numbers:
                handle = await engine.get((program, number))
                assert await handle.result() == ["first", "recovered", "last"]

    async with child("recover", url) as one, child("recover", url) as two:
        for each in (one, two):
            await each.says("ready")
        for each in (one, two):
            each.hear()
        await asyncio.gather(*(recover() for _ in range(3)))
        for each in (one, two):
            results = json.loads(await each.says("results"))
            assert results == [["first", "recovered", "last"]] * TRIALS
    calls = Counter(ledger_of(url).read_text().splitlines())
    assert calls == {f"{name} {number}": 1 for name in ("first", "last") for number in numbers}
    async with open_engine() as engine:
        assert {row.owner_epoch for row in await engine.list()} == {2}
        await engine.verify()


async def test_ec_32_cancel_against_recovery(open_engine: OpenEngine, url: str) -> None:
    """Orphans that one engine cancels while another takes them over."""
    program = program_of(url, answering("recovered"))
    numbers = [str(number) for number in range(TRIALS)]
    async with child("own", url, "alone", *numbers) as owner:
        for _ in numbers:
            await owner.says("holding")
        await owner.kill()
    async with open_engine() as other:
        handles = [await other.get((program, number)) for number in numbers]

        opened = asyncio.Event()
        rng = random.Random(32)

        async def recover() -> list[object]:
            async with open_engine(program) as engine:
                opened.set()
                mine = [await engine.get(handle.id) for handle in handles]
                return [await outcome(handle.result()) for handle in mine]

        async def cancel(handle: ExecutionHandle[object], early: int) -> object:
            if not early:
                await opened.wait()
                await turns(rng.randrange(60))
            return await outcome(other.cancel(handle.id))

        cancelling = (cancel(handle, rng.randrange(3)) for handle in handles)
        results, cancelled = await asyncio.gather(recover(), asyncio.gather(*cancelling))
        for handle, result, answer in zip(handles, results, cancelled, strict=True):
            status = await handle.status()
            if status is Status.CANCELLED:
                assert result is ExecutionCancelled
            else:
                assert status is Status.COMPLETED
                assert result == ["first", "recovered", "last"]
            assert answer in {None, ExecutionLocked, ExecutionTerminal, ExecutionFenced}
        await other.verify()
    assert finished_entries(url) == {handle.id.bytes: 1 for handle in handles}


async def test_ec_32_prune_against_resume(open_engine: OpenEngine) -> None:
    """A failed execution either goes as a whole or is resumed as a whole."""
    stage = Stage()

    @step(name="work")
    async def work() -> str:
        if not stage.gate.is_set():
            message = "not yet"
            raise ValueError(message)
        return "in the end"

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(work)

    program = version(body)
    rng = random.Random(32)
    async with open_engine(program) as engine, open_engine(program) as other:
        handles = [await engine.start(program, key=str(number)) for number in range(TRIALS)]
        for handle in handles:
            with pytest.raises(ExecutionFailed):
                await handle.result()
        stage.gate.set()

        await prune_some(other, 0)  # its connection is opened at its first use

        async def prune() -> None:
            while await prune_some(other, rng.randint(1, 4)):
                await turns(1)

        async def resume(handle: ExecutionHandle[object]) -> object:
            await turns(rng.randrange(60))
            found = await outcome(engine.resume(handle.id))
            return await outcome(handle.result()) if isinstance(found, ExecutionHandle) else found

        *results, _ = await asyncio.gather(*(resume(handle) for handle in handles), prune())
        for handle, result in zip(handles, results, strict=True):
            row = await engine.parts.backend.load(handle.id.bytes)
            key = await engine.parts.backend.find(program.name, handle.key or "")
            rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
            if row is None:
                assert (key, rows) == (None, [])
                assert result in {ExecutionNotFound, ExecutionLocked, ExecutionFenced}
            else:
                assert result == "in the end"
                assert key == handle.id.bytes
                assert len(rows) == row.entry_count
        await engine.verify()
        await outcome(engine.flush())  # an append to what was pruned is a loss, and told


async def prune_some(engine: DurableEngine, limit: int) -> int:
    """One batch of failed executions, the first to end first; how many went."""
    ended = await engine.parts.backend.journal.ended(None, TRIALS)
    failed = [row for row in ended if row.status == Status.FAILED.label]
    return len(await engine.parts.backend.journal.prune(failed[:limit]))


async def test_ec_32_a_running_or_blocked_execution_is_never_pruned(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()
    program = version(lambda _ctx: stage.pause())
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        assert await engine.parts.backend.journal.ended(None, 100) == []
        stage.gate.set()
        await handle.result()
