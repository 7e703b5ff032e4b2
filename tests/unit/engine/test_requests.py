"""Cancel and settle from outside: filed with a live owner, journaled at once without one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from attrs import frozen

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    step,
)
from durable_core.errors import (
    AmbiguousEffect,
    ExecutionCancelled,
    ExecutionError,
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
from tests.unit.engine.processes import Child, child, seen_gone

pytestmark = pytest.mark.dialects


async def kinds_of(engine: DurableEngine, execution_id: uuid.UUID) -> list[EntryKind]:
    rows = await engine.parts.backend.journal.read_execution(execution_id.bytes)
    return [EntryKind(row.entry_kind) for row in rows]


async def test_a_cancel_from_another_process_reaches_the_owner(
    open_engine: OpenEngine, url: str
) -> None:
    async with child("own", url, "alone", 1, 2) as owner, open_engine() as engine:
        await owner.says("holding")
        await owner.says("holding")
        handle = await engine.get(("program", "1"))
        await handle.cancel()
        with suppress(ExecutionTerminal):  # asked for twice, answered once
            await handle.cancel()
        assert await owner.says("ended") == "ExecutionCancelled"
        with pytest.raises(ExecutionCancelled):
            await handle.result()
        with pytest.raises(ExecutionTerminal):
            await handle.cancel()
        assert (await kinds_of(engine, handle.id)).count(EntryKind.EXECUTION_FINISHED) == 1
        assert await (await engine.get(("program", "2"))).status() is Status.RUNNING
        await engine.verify()


async def test_a_guarded_function_under_way_is_journaled_before_a_cancel_from_outside(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()
    closed = asyncio.Event()

    @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED)
    async def pay() -> str:
        await stage.pause()
        return "paid"

    async def body(ctx: DurableContext) -> str:
        try:
            return await ctx.step(pay)
        finally:
            closed.set()

    program = version(body)
    async with open_engine(program) as owner, open_engine() as outsider:
        handle = await owner.start(program)
        await stage.reached.wait()
        await outsider.cancel(handle.id)
        await closed.wait()
        assert await handle.status() is Status.RUNNING
        stage.gate.set()
        with pytest.raises(ExecutionCancelled):
            await handle.result()
        assert await kinds_of(outsider, handle.id) == [
            EntryKind.EXECUTION_STARTED,
            EntryKind.EFFECT_INTENT,
            EntryKind.STEP_RESULT,
            EntryKind.EXECUTION_FINISHED,
        ]


async def test_a_cancel_of_an_orphan_is_journaled_by_the_caller(
    open_engine: OpenEngine, url: str
) -> None:
    async with child("own", url, "alone", 1) as owner, open_engine() as engine:
        await owner.says("holding")
        (row,) = await engine.list()
        await owner.kill()
        await seen_gone(engine, row.owner_id)
        handle = await engine.get(("program", "1"))
        await handle.cancel()
        assert await handle.status() is Status.CANCELLED
        with pytest.raises(ExecutionCancelled):
            await handle.result()
        await engine.verify()


async def test_a_request_waits_for_the_next_owner(open_engine: OpenEngine, url: str) -> None:
    """Filed with an owner that dies before it reads it: whoever takes over answers it."""
    stage = Stage()

    async def second(_number: int) -> str:
        await stage.pause()
        return "late"

    async with child("own", url, "alone", 1) as owner, open_engine() as outsider:
        await owner.says("holding")
        owner.stop()
        handle = await outsider.get(("program", "1"))
        await handle.cancel()
        await owner.kill()
        async with open_engine(program_of(url, second)) as engine:
            with pytest.raises(ExecutionCancelled):
                await (await engine.get(handle.id)).result()


@frozen
class Blocked:
    """An execution whose guarded second step is ambiguous, and its live owner, if any."""

    owner: Child
    execution_id: uuid.UUID


@asynccontextmanager
async def blocked(url: str) -> AsyncIterator[Blocked]:
    """Killed once while its second step was under way; the owner after that has blocked it."""
    async with child("own", url, "guarded", 1) as first:
        (execution_id,) = map(uuid.UUID, (await first.says("started")).split())
        await first.says("holding")
        await first.kill()
    async with child("own", url, "guarded", 1) as owner:
        assert await owner.says("ended") == "AmbiguousEffect"
        yield Blocked(owner, execution_id)


async def test_a_settlement_from_another_process_that_it_ran(
    open_engine: OpenEngine, url: str
) -> None:
    async with blocked(url) as case, open_engine() as engine:
        await engine.settle(case.execution_id, "1", ran=True, value="by hand")
        await case.owner.says("last")
        handle = await engine.get(case.execution_id)
        assert await handle.result() == ["first", "by hand", "last"]
        assert EntryKind.INTENT_SETTLED in await kinds_of(engine, case.execution_id)
        assert query(url, "SELECT count(*) FROM durable_inbox") == [(0,)]
        await engine.verify()
    assert ledger_of(url).read_text().splitlines() == ["first 1", "last 1"]


async def test_a_settlement_from_another_process_that_it_did_not_run(
    open_engine: OpenEngine, url: str
) -> None:
    async with blocked(url) as case, open_engine() as engine:
        await engine.settle(case.execution_id, "1", ran=False)
        assert await case.owner.says("holding") == "1"
        handle = await engine.get(case.execution_id)
        case.owner.hear("this time")
        assert await handle.result() == ["first", "this time", "last"]


async def test_the_first_word_on_a_step_counts(open_engine: OpenEngine, url: str) -> None:
    program = program_of(url, answering("never called"), guarded=True)
    async with blocked(url) as case, open_engine(program) as engine:
        case.owner.stop()
        await engine.settle(case.execution_id, "1", ran=True, value="first word")
        with pytest.raises(ExecutionError, match="a word waiting"):
            await engine.settle(case.execution_id, "1", ran=False)
        with pytest.raises(ExecutionLocked):
            await engine.resume(case.execution_id)
        stored = query(url, "SELECT payload FROM durable_inbox")[0][0]
        assert b"first word" not in stored  # sealed, as in the journal
        case.owner.wake()
        await case.owner.says("last")
        handle = await engine.get(case.execution_id)
        assert await handle.result() == ["first", "first word", "last"]


@pytest.mark.parametrize("registered", [False, True])
async def test_a_settlement_without_a_live_owner_is_journaled_by_the_caller(
    open_engine: OpenEngine, url: str, *, registered: bool
) -> None:
    """And the execution goes on there, if its workflow is registered there."""
    program = program_of(url, answering("never called"), guarded=True)
    async with blocked(url) as case, open_engine(*[program][: 1 if registered else 0]) as engine:
        (row,) = await engine.list()
        await case.owner.kill()
        await seen_gone(engine, row.owner_id)
        await engine.settle(case.execution_id, "1", ran=True, value="by hand")
        if not registered:
            handle = await engine.get(case.execution_id)
            assert await handle.status() is Status.RUNNING
            assert EntryKind.INTENT_SETTLED in await kinds_of(engine, case.execution_id)
    async with open_engine(program) as engine:
        assert await (await engine.get(case.execution_id)).result() == ["first", "by hand", "last"]


@pytest.mark.parametrize("step_id", ["0", "2", "nonsense", ""])
async def test_a_settlement_of_a_step_that_is_not_open_is_refused(
    step_id: str, open_engine: OpenEngine, url: str
) -> None:
    async with blocked(url) as case, open_engine() as engine:
        before = await kinds_of(engine, case.execution_id)
        with pytest.raises(ExecutionError, match="not blocked by an ambiguous effect"):
            await engine.settle(case.execution_id, step_id, ran=True)
        assert await kinds_of(engine, case.execution_id) == before
        assert query(url, "SELECT count(*) FROM durable_inbox") == [(0,)]


async def test_blocked_stays_blocked_over_any_number_of_opens(
    open_engine: OpenEngine, url: str
) -> None:
    program = program_of(url, answering("never called"), guarded=True)
    async with blocked(url) as case:
        await case.owner.kill()
    entries = query(url, "SELECT * FROM durable_journal")
    for _ in range(2):
        async with open_engine(program) as engine:
            handle = await engine.start(program, 1, key="1")
            with pytest.raises(AmbiguousEffect, match="step 1 'second'"):
                await handle.result()
            assert await handle.status() is Status.BLOCKED
    assert query(url, "SELECT * FROM durable_journal") == entries


async def test_requests_for_what_is_not_there_are_refused(open_engine: OpenEngine) -> None:
    async with open_engine() as engine:
        for ask in (engine.cancel, engine.resume, engine.get):
            with pytest.raises(ExecutionNotFound):
                await ask(uuid.uuid4())
        with pytest.raises(ExecutionNotFound):
            await engine.settle(uuid.uuid4(), "0", ran=False)
        with pytest.raises(ExecutionNotFound):
            await engine.get(("nothing", "k"))


@pytest.mark.parametrize("order", [("0", "1"), ("1", "0")])
async def test_two_open_effects_at_once_are_settled_one_by_one(
    order: tuple[str, str], open_engine: OpenEngine
) -> None:
    """Neither ran. The settled one must not become ambiguous anew while the other blocks."""
    stage = Stage()
    policy = OnAmbiguous.FAIL
    guarded = EffectClass.EXACTLY_ONCE_GUARDED

    @step(
        name="pay",
        effect=guarded,
        sub_class=EffectIntentSubClass.MONEY_MOVING,
        on_ambiguous=policy,
    )
    async def pay(number: int) -> int:
        stage.calls.append(f"pay {number}")
        if len(stage.calls) == 2:
            stage.reached.set()
        await stage.gate.wait()
        return number

    async def body(ctx: DurableContext) -> list[int]:
        return list(await asyncio.gather(ctx.step(pay, 0), ctx.step(pay, 1)))

    program = version(body)
    async with open_engine(program, close_timeout_ms=1) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program) as engine:
        handle = await engine.get(handle.id)
        for step_id in order:
            with pytest.raises(AmbiguousEffect):
                await handle.result()
            await engine.settle(handle.id, step_id, ran=False)
        assert await handle.result() == [0, 1]
    assert sorted(stage.calls) == ["pay 0", "pay 0", "pay 1", "pay 1"]
