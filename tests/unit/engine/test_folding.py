"""The fold of finished entries, at 90 % of the cap and by `ctx.checkpoint()` (EC-38)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    step,
)
from durable_core.errors import ExecutionFailed, StepCapExceeded, StepFailed
from durable_core.ids import ExecutionId
from durable_core.model.effects import EffectClass as Effect
from durable_core.model.entries import EntryKind, JournalRow
from tests.engines import OpenEngine
from tests.programs import Stage, version

pytestmark = pytest.mark.dialects

CAP = 20


@step(effect=EffectClass.IDEMPOTENT)
async def plain(number: int) -> int:
    return number


@step(effect=EffectClass.EXACTLY_ONCE_GUARDED)
async def guarded(number: int) -> int:
    return number


@step
async def failing(number: int) -> int:
    message = f"{number} fails"
    raise ValueError(message)


async def stored(engine: DurableEngine, execution: ExecutionId) -> list[JournalRow]:
    return await engine.parts.backend.journal.read_execution(execution.bytes)


async def test_ec_38_steps_beyond_the_cap_are_folded(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> int:
        return sum([await ctx.step(plain, number) for number in range(300)])

    program = version(body)
    async with open_engine(program, max_steps_per_execution=CAP) as engine:
        handle = await engine.start(program)
        assert await handle.result() == sum(range(300))
        rows = await stored(engine, handle.id)
        assert len(rows) < CAP + 10, "the start, the end, a few checkpoints, and what came since"
        assert (await engine.verify()).entries == 302


async def test_ec_38_a_workflow_beyond_the_cap_replays(open_engine: OpenEngine) -> None:
    stage = Stage()
    calls: list[int] = []

    @step(effect=EffectClass.IDEMPOTENT)
    async def counted(number: int) -> int:
        calls.append(number)
        return number

    async def body(ctx: DurableContext) -> list[int]:
        values = [await ctx.step(counted, number) for number in range(200)]
        if not stage.gate.is_set():
            await stage.pause()
        return [*values, await ctx.step(counted, 200)]

    program = version(body)
    settings: dict[str, Any] = {"max_steps_per_execution": CAP, "replay_segment": 5}
    async with open_engine(program, **settings) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program, **settings) as engine:
        assert await (await engine.get(handle.id)).result(20) == list(range(201))
        await engine.verify()
    assert calls == list(range(201))


async def test_ec_38_guarded_steps_are_never_folded(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> str:
        for number in range(CAP):
            await ctx.step(plain, number)
            await ctx.step(guarded, number)
        with pytest.raises(StepCapExceeded, match="cannot be folded"):
            await ctx.step(guarded, CAP)
        await ctx.checkpoint()
        return "capped"

    program = version(body)
    async with open_engine(program, max_steps_per_execution=CAP) as engine:
        handle = await engine.start(program)
        assert await handle.result() == "capped"
        rows = await stored(engine, handle.id)
        kinds = [row.entry_kind for row in rows if row.effect_class == Effect.EXACTLY_ONCE_GUARDED]
        assert kinds == [EntryKind.EFFECT_INTENT, EntryKind.STEP_RESULT] * CAP
        others = {row.entry_kind for row in rows if row.effect_class == Effect.IDEMPOTENT}
        assert others == set(), "each plain one stands in a checkpoint"
        await engine.verify()


async def test_ec_38_a_checkpoint_is_durable_and_repeatable(open_engine: OpenEngine) -> None:
    seen: list[list[tuple[int, int]]] = []

    async def body(ctx: DurableContext) -> int:
        for number in range(6):
            await ctx.step(plain, number)
            if number % 2:
                await ctx.checkpoint()
                rows = await stored(kept[0], ctx.execution_id)
                seen.append([(row.entry_no, row.entry_kind) for row in rows])
        await ctx.checkpoint()
        await ctx.checkpoint()
        return 6

    program = version(body)
    kept: list[DurableEngine] = []
    async with open_engine(program) as engine:
        kept.append(engine)
        handle = await engine.start(program)
        assert await handle.result() == 6
        await engine.verify(handle.id)
    checkpoint = EntryKind.CHECKPOINT
    # A small checkpoint is folded again, with what came behind it.
    assert seen == [[(1, 1), (number, checkpoint)] for number in (3, 5, 7)]


async def test_a_checkpoint_of_nothing_changes_nothing(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> None:
        await ctx.checkpoint()
        await ctx.step(guarded, 1)
        await ctx.checkpoint()

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await handle.result()
        rows = await stored(engine, handle.id)
        assert [row.entry_kind for row in rows] == [1, 2, 3, 10]


async def test_ec_38_every_kind_comes_back_from_a_checkpoint(open_engine: OpenEngine) -> None:
    """Failures, timers, promises and signals; an armed timer stays until it has fired."""
    stage = Stage()
    seen: list[list[object]] = []

    async def body(ctx: DurableContext) -> list[object]:
        values: list[object] = [await ctx.step(plain, 1)]
        try:
            await ctx.step(failing, 2)
        except StepFailed as failed:
            values.append(failed.message)
        await ctx.sleep(0)
        promise = await ctx.promise(int, name="answer")
        if not stage.reached.is_set():
            await kept[0].resolve(promise.id, promise.token, 42)
        values.append(await ctx.await_promise(promise, timeout=1000))
        values.append(await ctx.receive("word", str))
        values.append(str(await ctx.now()))
        timers_of = partial(kept[0].parts.backend.timers_of, ctx.execution_id.bytes)
        before = await timers_of()  # that of the promise may still be there
        sleeping = asyncio.ensure_future(ctx.sleep(3600))
        while not (seen or set(await timers_of()) - set(before)):
            pass
        await ctx.checkpoint()
        sleeping.cancel()
        await asyncio.wait({sleeping})
        seen.append(values)
        await stage.pause()
        return values

    program = version(body)
    kept: list[DurableEngine] = []
    async with open_engine(program) as engine:
        kept.append(engine)
        handle = await engine.start(program)
        await engine.signal(handle.id, "word", "hello")
        await stage.reached.wait()
        rows = await stored(engine, handle.id)
        folded = [row.entry_kind for row in rows]
        assert folded.count(EntryKind.CHECKPOINT) == 1, folded
        assert EntryKind.TIMER_ARMED in folded, "it had not fired"
        stage.gate.set()
    async with open_engine(program) as engine:
        assert await (await engine.get(handle.id)).result(20) == seen[0]
        await engine.verify()
    assert seen[0][1:4] == ["2 fails", 42, "hello"]


async def test_ec_38_a_fresh_run_takes_over_what_was_folded(open_engine: OpenEngine) -> None:
    calls: list[int] = []
    broken = [True]

    @step
    async def counted(number: int) -> int:
        calls.append(number)
        return number

    async def body(ctx: DurableContext) -> list[int]:
        values = [await ctx.step(counted, number) for number in range(5)]
        values.append(await ctx.step(guarded, 5))
        await ctx.checkpoint()
        if broken:
            message = "not yet"
            raise ValueError(message)
        return values

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        with pytest.raises(ExecutionFailed):
            await handle.result()
        broken.clear()
        again = await engine.resume(handle.id)
        assert await again.result() == [0, 1, 2, 3, 4, 5]
        await engine.verify()
    assert calls == [0, 1, 2, 3, 4]


async def test_a_large_result_stays_where_it_is(open_engine: OpenEngine) -> None:
    @step(effect=EffectClass.IDEMPOTENT)
    async def large(size: int) -> bytes:
        return b"x" * size

    async def body(ctx: DurableContext) -> int:
        sizes = [10, 1000, 1010, 10, 400, 400, 400]
        total = sum([len(await ctx.step(large, size)) for size in sizes])
        await ctx.checkpoint()
        return total

    program = version(body)
    async with open_engine(program, max_payload_bytes=1024) as engine:
        handle = await engine.start(program)
        assert await handle.result() == 3230
        rows = await stored(engine, handle.id)
        assert all(len(row.payload or b"") <= 1024 + 42 for row in rows)
        kinds = [row.entry_kind for row in rows]
        assert kinds[1:4] == [9, 3, 3], "what fits into no part stays"
        assert kinds.count(9) > 2
        await engine.verify()


async def test_a_checkpoint_belongs_in_the_branchs_own_task(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> str:
        async def helper() -> None:
            await ctx.checkpoint()

        with pytest.raises(Exception, match="task") as refused:
            await asyncio.create_task(helper())
        async with ctx.parallel() as group:
            group.start(branch)
        return type(refused.value).__name__

    async def branch(ctx: DurableContext) -> None:
        await ctx.step(plain, 1)
        await ctx.checkpoint()

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == "ExecutionError"


async def test_steps_under_way_count_towards_the_cap(open_engine: OpenEngine) -> None:
    """Nothing of them can be folded; when they are done there is room again."""

    async def body(ctx: DurableContext) -> list[int]:
        called = [ctx.step(plain, number) for number in range(CAP)]
        with pytest.raises(StepCapExceeded, match="under way"):
            _ = ctx.step(plain, CAP)
        first = await asyncio.gather(*called)
        return [*first, *await asyncio.gather(*(ctx.step(plain, one) for one in range(CAP)))]

    program = version(body)
    async with open_engine(program, max_steps_per_execution=CAP) as engine:
        assert await engine.run(program) == [*range(CAP), *range(CAP)]


async def test_inv_15_a_fold_of_a_run_that_was_taken_over_ends_it(open_engine: OpenEngine) -> None:
    stage = Stage()

    async def body(ctx: DurableContext) -> None:
        await ctx.step(plain, 1)
        await stage.pause()
        await ctx.checkpoint()

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        await engine.flush()
        backend = engine.parts.backend
        row = await backend.load(handle.id.bytes)
        assert row is not None
        claimed = await backend.claim(row, "another", 1)
        assert claimed is not None
        rows = await stored(engine, handle.id)
        stage.gate.set()
        execution = engine._roster.running(handle.id)
        assert execution is not None
        outcome = await execution.outcome()
        assert type(outcome.error).__name__ == "ExecutionFenced"
        assert await stored(engine, handle.id) == rows
