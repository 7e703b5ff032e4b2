"""Engines that share the work on one journal: started anywhere, claimed by whoever has room."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, step, workflow
from durable_core.contracts import CommitBatch, HeadChange
from durable_core.engine.definition import Workflow
from durable_core.errors import (
    ConfigError,
    ExecutionCancelled,
    ExecutionError,
    ExecutionLocked,
    ExecutionNotFound,
    ExecutionTerminal,
    KeyConflict,
)
from durable_core.model.execution import ANYONE, NOBODY, Status
from tests.engines import OpenEngine
from tests.journals import OTHER_MASTER, key_text
from tests.programs import Stage, version
from tests.unit.engine.owning import answering, ledger_of, program_of
from tests.unit.engine.processes import child

pytestmark = pytest.mark.dialects


@step(name="double")
async def double(number: int) -> int:
    return 2 * number


@workflow(name="doubling")
async def doubling(ctx: DurableContext, number: int) -> int:
    return await ctx.step(double, number)


async def owners(engine: DurableEngine) -> Counter[str]:
    return Counter(row.owner_id for row in await engine.list(limit=1000))


async def test_a_worker_runs_what_another_engine_has_started(open_engine: OpenEngine) -> None:
    """Which need not have the workflow itself, and waits for the result all the same."""
    async with open_engine() as front, open_engine(doubling, claim=True) as worker:
        handle = await front.start(doubling, 21, key="k", run="anywhere")
        assert await handle.result() == 42
        assert await owners(front) == {worker.parts.journal.owner_id: 1}
        same = await front.start(doubling, 21, key="k", run="anywhere")
        assert (same.id, await same.result()) == (handle.id, 42)
        with pytest.raises(KeyConflict):
            await front.start(doubling, 22, key="k", run="anywhere")
        await front.verify()


async def test_it_waits_until_there_is_a_worker(open_engine: OpenEngine) -> None:
    """An engine that has the workflow and does not claim leaves it alone, also when it waits."""
    async with open_engine(doubling) as front:
        handle = await front.start(doubling, 21, run="anywhere")
        with pytest.raises(TimeoutError):
            await handle.result(timeout=0.1)
        await front._recovery.look()
        await front._recovery.claim_waiting()
        assert await owners(front) == {ANYONE: 1}
        assert await handle.status() is Status.RUNNING
        async with open_engine(doubling, claim=True):
            assert await handle.result() == 42


async def test_it_outlives_the_engine_that_started_it(open_engine: OpenEngine) -> None:
    async with open_engine() as front:
        handle = await front.start(doubling, 21, run="anywhere")
    async with open_engine(doubling, claim=True, recover=False) as worker:
        assert await (await worker.get(handle.id)).result() == 42


async def test_a_worker_may_start_for_itself(open_engine: OpenEngine) -> None:
    async with open_engine(doubling, claim=True) as worker:
        handles = [await worker.start(doubling, n, run="anywhere") for n in range(10)]
        assert [await handle.result() for handle in handles] == [2 * n for n in range(10)]


async def test_workers_share_and_nobody_takes_more_than_there_is_room_for(
    open_engine: OpenEngine,
) -> None:
    """While all that are running wait, no worker has more than its limit; then all are done."""
    gate, full = asyncio.Event(), asyncio.Event()
    running: Counter[int] = Counter()
    most: Counter[int] = Counter()
    ran: Counter[int] = Counter()

    def program(worker: int) -> Workflow[[int], Any]:
        @step(name="work")
        async def work(number: int) -> int:
            running[worker] += 1
            most[worker] = max(most[worker], running[worker])
            if running.total() == 12:
                full.set()
            await gate.wait()
            ran[number] += 1
            running[worker] -= 1
            return number

        async def body(ctx: DurableContext, number: int) -> int:
            return await ctx.step(work, number)

        return workflow(name="shared")(body)

    async with AsyncExitStack() as stack:
        front = await stack.enter_async_context(open_engine())
        for worker in range(3):
            opening = open_engine(program(worker), claim=True, max_concurrent_executions=4)
            await stack.enter_async_context(opening)
        handles = [await front.start(program(9), n, run="anywhere") for n in range(40)]
        await full.wait()
        held = await owners(front)
        assert held.pop(ANYONE) == 28
        assert sorted(held.values()) == [4, 4, 4]
        gate.set()
        assert [await handle.result() for handle in handles] == list(range(40))
        await front.verify()
    assert ran == dict.fromkeys(range(40), 1)
    assert most == dict.fromkeys(range(3), 4)


async def test_the_oldest_are_claimed_first(open_engine: OpenEngine) -> None:
    order: list[int] = []

    @step(name="note")
    async def note(number: int) -> int:
        order.append(number)
        return number

    @workflow(name="noting")
    async def noting(ctx: DurableContext, number: int) -> int:
        return await ctx.step(note, number)

    async with open_engine() as front:
        handles = [await front.start(noting, n, run="anywhere") for n in range(12)]
        async with open_engine(noting, claim=True, max_concurrent_executions=1):
            for handle in handles:
                await handle.result()
    by_age = sorted(range(12), key=lambda number: handles[number].id.bytes)
    assert order == by_age


async def test_a_worker_takes_over_from_one_that_was_killed(
    open_engine: OpenEngine, url: str
) -> None:
    program = program_of(url, answering("ours"))
    async with (
        child("work", url, 3) as dying,
        open_engine() as front,
    ):
        await dying.says("open")
        handles = [await front.start(program, n, key=str(n), run="anywhere") for n in range(5)]
        # Any three: those that were started within a millisecond have no order.
        held = {int(await dying.says("holding")) for _ in range(3)}
        async with open_engine(program, claim=True):
            for number in set(range(5)) - held:  # for which it has no room
                assert await handles[number].result() == ["first", "ours", "last"]
            await dying.kill()
            for number in held:
                assert await handles[number].result() == ["first", "ours", "last"]
        await front.verify()
    calls = Counter(ledger_of(url).read_text().splitlines())
    assert calls == {f"{name} {n}": 1 for name in ("first", "last") for n in range(5)}


async def test_what_nobody_has_claimed_can_be_cancelled_and_resumed(
    open_engine: OpenEngine,
) -> None:
    async with open_engine(doubling) as engine:
        cancelled = await engine.start(doubling, 1, run="anywhere")
        await cancelled.cancel()
        with pytest.raises(ExecutionCancelled):
            await cancelled.result()
        resumed = await engine.start(doubling, 2, run="anywhere")
        assert await (await engine.resume(resumed.id)).result() == 4


async def test_a_worker_leaves_what_it_has_no_key_for(open_engine: OpenEngine, key: str) -> None:
    other = key_text((2, OTHER_MASTER))
    async with open_engine(keys=key) as front, open_engine(doubling, claim=True, keys=other) as two:
        handle = await front.start(doubling, 21, run="anywhere")
        theirs = await two.start(doubling, 4, run="anywhere")
        assert await theirs.result() == 8
        await two._recovery.look()
        row = await front.parts.backend.load(handle.id.bytes)
        assert row is not None
        assert (row.owner_id, row.owner_epoch) == (ANYONE, 1)
        async with open_engine(doubling, claim=True, keys=key):
            assert await handle.result() == 42


@pytest.mark.parametrize("force", [False, True])
async def test_an_execution_is_released_from_a_dead_owner(
    open_engine: OpenEngine, url: str, *, force: bool
) -> None:
    program = program_of(url, answering("ours"))
    async with child("own", url, "alone", 1) as owner, open_engine(recover=False) as engine:
        await owner.says("holding")
        handle = await engine.get(("program", "1"))
        await owner.kill()
        await engine.release(handle.id, force=force)
        assert await owners(engine) == {NOBODY: 1}
        async with open_engine(program) as other:
            assert await (await other.get(handle.id)).result() == ["first", "ours", "last"]
        with pytest.raises(ExecutionTerminal):
            await engine.release(handle.id, force=force)


async def test_a_live_owner_keeps_what_it_has_unless_it_is_forced(
    open_engine: OpenEngine, url: str
) -> None:
    program = program_of(url, answering("ours"))
    async with child("own", url, "alone", 1) as stale, open_engine() as engine:
        await stale.says("holding")
        handle = await engine.get(("program", "1"))
        with pytest.raises(ExecutionLocked):
            await engine.release(handle.id)
        stale.stop()
        await engine.release(handle.id, force=True)
        async with open_engine(program) as other:
            assert await (await other.get(handle.id)).result() == ["first", "ours", "last"]
        entries = await engine.parts.backend.journal.read_execution(handle.id.bytes)
        stale.hear("too late")
        stale.wake()
        assert await stale.says("ended") == "ExecutionFenced"
        assert await engine.parts.backend.journal.read_execution(handle.id.bytes) == entries
        await engine.verify()


async def test_what_runs_here_is_not_released(open_engine: OpenEngine) -> None:
    stage = Stage()
    program = version(lambda _ctx: stage.pause())
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        with pytest.raises(ExecutionError, match="runs in this engine"):
            await engine.release(handle.id, force=True)
        with pytest.raises(ExecutionNotFound):
            await engine.release("0" * 32)
        stage.gate.set()
        await handle.result()


async def test_a_place_that_is_no_place_is_refused(open_engine: OpenEngine) -> None:
    async with open_engine(doubling) as engine:
        with pytest.raises(ConfigError, match='"here" or "anywhere"'):
            await engine.start(doubling, 1, run="there")  # type: ignore[arg-type]
        assert await engine.list() == []


async def test_the_limit_of_the_call_counts_before_that_of_the_configuration(
    url: str, key: str
) -> None:
    async with DurableEngine.open(
        url, workflows=[doubling], keys=key, claim=True, max_concurrent_executions=3
    ) as engine:
        assert engine.parts.config.max_concurrent_executions == 3
    with pytest.raises(ConfigError, match="max_concurrent_executions"):
        async with DurableEngine.open(url, keys=key, max_concurrent_executions=0):
            pass


async def test_an_execution_that_cannot_be_run_here_is_left_to_others_and_not_tried_again(
    open_engine: OpenEngine,
) -> None:
    """Its row does not match its anchor: each engine says so once, and goes on with the rest."""
    async with open_engine() as front:
        damaged = await front.start(doubling, 1, run="anywhere")
        whole = await front.start(doubling, 2, run="anywhere")
        await damage(front, damaged.id.bytes)
        async with open_engine(doubling, claim=True) as worker:
            assert await whole.result() == 4
            for _ in range(3):
                await worker._recovery.look()
            rows = await worker.list()
        epochs = {row.execution_id: row.owner_epoch for row in rows}
        assert epochs[damaged.id.bytes] == 3, "claimed once, and given back once"


async def damage(engine: DurableEngine, execution_id: bytes) -> None:
    """Change what the anchor covers, as only someone with other means than an engine's can."""
    backend = engine.parts.backend
    row = await backend.load(execution_id)
    assert row is not None
    change = HeadChange(
        execution_id,
        row.owner_epoch,
        row.status,
        row.entry_count,
        row.status,
        row.generation,
        row.entry_count,
        row.head_hmac,
        b"?" * 32,
        row.updated_at,
        None,
    )
    await backend.journal.append(CommitBatch((), (change,), ()))


async def test_an_engine_gives_back_what_it_owns_and_cannot_run(open_engine: OpenEngine) -> None:
    """It was claimed here for a change that did not come about; nobody here can go on with it."""
    async with open_engine() as front:
        handle = await front.start(doubling, 21, run="anywhere")
        backend = front.parts.backend
        row = await backend.load(handle.id.bytes)
        assert row is not None
        assert await backend.claim(row, front.parts.journal.owner_id, row.created_at)
        async with open_engine(doubling, claim=True) as worker:
            assert await handle.result() == 42
            assert await owners(front) == {worker.parts.journal.owner_id: 1}


async def test_what_fails_in_every_engine_is_not_handed_round_for_ever(
    open_engine: OpenEngine,
) -> None:
    """Each engine leaves it to the others for a while that doubles, from one second on."""
    never = version(doubling_of_another_kind, "doubling")
    began = time.monotonic()
    async with open_engine() as front:
        handle = await front.start(doubling, 21, run="anywhere")
        async with open_engine(never, claim=True) as one, open_engine(never, claim=True) as two:
            for _ in range(40):
                for engine in (one, two):
                    await engine._recovery.claim_waiting()
                    await engine._recovery.look()
            row = await front.parts.backend.load(handle.id.bytes)
            assert row is not None
            claims = 1 + int(math.log2(1 + time.monotonic() - began))
            assert 1 < row.owner_epoch <= 1 + 4 * claims, "two engines claim and give back"
        async with open_engine(doubling, claim=True):
            assert await handle.result() == 42


async def doubling_of_another_kind(_ctx: DurableContext) -> int:
    return 0


async def test_a_cancel_that_meets_a_claim_becomes_a_request(open_engine: OpenEngine) -> None:
    """Whoever claims in that instant is asked, and the caller sees no more of it."""
    gate = asyncio.Event()

    @step(name="wait")
    async def wait() -> None:
        await gate.wait()

    async def body(ctx: DurableContext) -> None:
        await ctx.step(wait)

    program = version(body)
    async with open_engine() as front, open_engine(program, claim=True):
        handles = [await front.start(program, run="anywhere") for _ in range(20)]
        await asyncio.gather(*(front.cancel(handle.id) for handle in handles))
        for handle in handles:
            with pytest.raises(ExecutionCancelled):
                await handle.result()


async def test_a_result_is_typed_for_whoever_starts_by_the_same_key(
    open_engine: OpenEngine,
) -> None:
    """Also where the start finds the execution that another process has started."""

    @workflow(name="paired")
    async def paired(_ctx: DurableContext, number: int) -> tuple[int, int]:
        return number, number

    async with open_engine(paired, claim=True):
        for _ in range(2):
            async with open_engine() as front:
                handle = await front.start(paired, 1, key="k", run="anywhere")
                assert await handle.result() == (1, 1)
        async with open_engine() as front:
            assert await (await front.get((paired, "k"))).result() == (1, 1)
