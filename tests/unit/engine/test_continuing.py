"""`ctx.continue_as_new`: an execution ends, and a new one of its workflow goes on, as one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, EffectClass, step, workflow
from durable_core.engine.execution import Execution
from durable_core.errors import (
    ExecutionFailed,
    ReplayDivergence,
)
from durable_core.ids import ExecutionId
from durable_core.model.entries import EntryKind
from durable_core.model.execution import ExecutionRow, Status
from durable_core.wire.links import linked_execution
from tests.engines import OpenEngine
from tests.journals import MASTER, key_text
from tests.unit.engine.chaining import as_begun
from tests.unit.engine.promising import note

pytestmark = pytest.mark.dialects

paid: list[int] = []


@step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED)
async def pay(number: int) -> int:
    paid.append(number)
    return number


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    paid.clear()


@workflow(name="counting")
async def counting(ctx: DurableContext, number: int, last: int = 3) -> int:
    await ctx.step(pay, 1)
    if number == last:
        return number
    return ctx.continue_as_new(number + 1, last)


async def links_of(engine: DurableEngine, name: str = "counting") -> list[ExecutionRow]:
    return await as_begun(engine, name)


async def test_each_link_has_a_short_journal_and_names_its_neighbours(
    open_engine: OpenEngine,
) -> None:
    async with open_engine(counting) as engine:
        assert await engine.run(counting, 0) == 3
        rows = await links_of(engine)
        assert [row.status for row in rows] == ["completed"] * 4
        starts, ends = [], []
        for row in rows:
            entries = await engine.parts.backend.journal.read_execution(row.execution_id)
            assert len(entries) == 4
            starts.append(linked_execution(entries[0].detail))
            ends.append(linked_execution(entries[-1].detail))
        ids = [row.execution_id for row in rows]
        assert starts == [None, *ids[:-1]]
        assert ends == [*ids[1:], None]
        await engine.verify()


async def test_inv_13_of_one_link_says_nothing_about_the_next(open_engine: OpenEngine) -> None:
    async with open_engine(counting) as engine:
        await engine.run(counting, 0)
    assert paid == [1] * 4


async def test_handles_lead_to_the_latest(open_engine: OpenEngine) -> None:
    async with open_engine(counting) as engine:
        handle = await engine.start(counting, 0, key="nightly")
        assert await handle.result(20) == 3
        rows = await links_of(engine)
        assert handle.id.bytes == rows[0].execution_id
        assert await handle.status() is Status.COMPLETED
        for row in rows:
            assert await (await engine.get(ExecutionId(bytes=row.execution_id))).result(20) == 3
        latest = await engine.get((counting, "nightly"))
        assert latest.id.bytes == rows[-1].execution_id
        assert {row.execution_key for row in rows} == {"nightly"}


async def test_a_start_with_the_key_finds_the_latest_whatever_its_arguments(
    open_engine: OpenEngine,
) -> None:
    """The workflow itself has replaced those with which the first one was started."""
    async with open_engine(counting) as engine:
        handle = await engine.start(counting, 0, key="nightly")
        await handle.result(20)
        for number in (0, 7):
            again = await engine.start(counting, number, key="nightly")
            assert again.id != handle.id
            assert await again.result(20) == 3
    assert len(paid) == 4


@workflow(name="mixed")
async def mixed(ctx: DurableContext, form: str, number: int = 0) -> str:
    if number:
        return form
    try:
        if form == "await":
            await ctx.continue_as_new(form, number=1)
        elif form == "bare":
            ctx.continue_as_new(form, number=1)
        return ctx.continue_as_new(form, 1)
    except Exception as error:  # noqa: BLE001 - that it is not caught is what is shown
        return repr(error)


@pytest.mark.parametrize("form", ["await", "bare", "return"])
async def test_no_form_returns_and_no_except_exception_sees_it(
    open_engine: OpenEngine, form: str
) -> None:
    async with open_engine(mixed) as engine:
        assert await engine.run(mixed, form) == form
        assert len(await links_of(engine, "mixed")) == 2
        await engine.verify()


@workflow(name="tidy")
async def tidy(ctx: DurableContext, fails: bool, number: int = 0) -> int:  # noqa: FBT001
    if number:
        return number
    try:
        ctx.continue_as_new(fails, 1)
    finally:
        await ctx.step(pay, 9)
        if fails:
            message = "the clean-up"
            raise ValueError(message)


async def test_finally_blocks_run_with_their_steps(open_engine: OpenEngine) -> None:
    async with open_engine(tidy) as engine:
        assert await engine.run(tidy, fails=False) == 1
    assert paid == [9]


async def test_what_a_finally_block_raises_counts_instead(open_engine: OpenEngine) -> None:
    async with open_engine(tidy) as engine:
        with pytest.raises(ExecutionFailed) as failed:
            await engine.run(tidy, fails=True)
        assert failed.value.error_type == "ValueError"
        assert len(await links_of(engine, "tidy")) == 1


@asynccontextmanager
async def in_a_task_group(_: DurableContext) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.Event().wait())
        yield


@asynccontextmanager
async def in_a_block(ctx: DurableContext) -> AsyncIterator[None]:
    async def waiting(branch: DurableContext) -> None:
        await branch.sleep(1000)

    async with ctx.parallel() as outer, ctx.parallel() as inner:
        outer.start(waiting)
        inner.start(waiting)
        yield


@asynccontextmanager
async def under_a_timeout(_: DurableContext) -> AsyncIterator[None]:
    async with asyncio.timeout(1000):
        yield


@pytest.mark.parametrize("around", [in_a_task_group, in_a_block, under_a_timeout])
async def test_it_leaves_what_stands_around_it_as_an_error_does(
    open_engine: OpenEngine, around: Callable[[DurableContext], Any]
) -> None:
    """What still runs in there is cancelled."""

    @workflow(name="inside")
    async def inside(ctx: DurableContext, number: int) -> int:
        if number:
            return number
        async with around(ctx):
            await ctx.step(pay, 1)
            return ctx.continue_as_new(1)

    async with open_engine(inside) as engine:
        assert await engine.run(inside, 0) == 1
        await engine.verify()


async def test_a_group_with_another_error_fails(open_engine: OpenEngine) -> None:
    @workflow(name="inside")
    async def inside(ctx: DurableContext) -> None:
        async def failing() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                message = "when it is cancelled"
                raise ValueError(message)

        async with asyncio.TaskGroup() as group:
            group.create_task(failing())
            await ctx.step(pay, 1)
            ctx.continue_as_new()

    async with open_engine(inside) as engine:
        with pytest.raises(ExecutionFailed) as failed:
            await engine.run(inside)
        assert failed.value.error_type == "BaseExceptionGroup"
        assert len(await links_of(engine, "inside")) == 1


async def test_one_that_was_started_without_waiting_can_continue_at_once(
    open_engine: OpenEngine,
) -> None:
    """The start was not committed yet when the end was asked for."""

    @workflow(name="at once")
    async def at_once(ctx: DurableContext, number: int) -> int:
        return number if number == 3 else ctx.continue_as_new(number + 1)

    async with open_engine(at_once) as engine:
        assert await engine.run(at_once, 0) == 3
        await engine.verify()


async def test_a_long_chain_keeps_one_place_and_no_memory(open_engine: OpenEngine) -> None:
    async with open_engine(counting, max_concurrent_executions=1) as engine:
        first = await engine.start(counting, 0, 300)
        second = await engine.start(counting, 0, 0)
        assert await first.result() == 300
        assert await second.result() == 0
        assert len(paid) == 302
        gc.collect()
        assert sum(isinstance(one, Execution) for one in gc.get_objects()) < 10
        assert await (await engine.get(first.id)).result() == 300


async def test_a_chain_goes_on_in_the_next_engine(open_engine: OpenEngine) -> None:
    reached, gate = asyncio.Event(), asyncio.Event()

    @workflow(name="held")
    async def held(ctx: DurableContext, number: int) -> int:
        await ctx.step(pay, number)
        if number == 2:
            reached.set()
            await gate.wait()
        return number if number == 5 else ctx.continue_as_new(number + 1)

    async with open_engine(held) as engine:
        handle = await engine.start(held, 0, key="k")
        await reached.wait()
        assert await handle.status() is Status.RUNNING
    gate.set()
    async with open_engine(held) as engine:
        assert await (await engine.get(handle.id)).result(20) == 5
        await engine.verify()
    assert paid == list(range(6))


async def test_payloads_that_did_not_end_a_workflow_are_kept_as_they_were(
    open_engine: OpenEngine,
) -> None:
    """A workflow that swallows it goes on: what leaves its function decides."""

    @workflow(name="swallowing")
    async def swallowing(ctx: DurableContext) -> int:
        try:
            ctx.continue_as_new()
        except BaseException:  # noqa: BLE001 - what nobody should do
            return await ctx.step(pay, 5)

    async with open_engine(swallowing) as engine:
        assert await engine.run(swallowing) == 5
        (row,) = await links_of(engine, "swallowing")
        entries = await engine.parts.backend.journal.read_execution(row.execution_id)
        assert entries[-1].entry_kind == EntryKind.EXECUTION_FINISHED
        assert entries[-1].detail is None


async def test_closing_while_links_come_and_go_loses_none(open_engine: OpenEngine) -> None:
    last = 40
    async with open_engine(counting) as engine:
        handle = await engine.start(counting, 0, last, key="k")
    for links in (3, 10, 20):
        async with open_engine(counting) as engine:
            while len(paid) < links:
                await engine.parts.backend.probe()
    async with open_engine(counting) as engine:
        assert await (await engine.get(handle.id)).result(30) == last
        assert len(paid) == len(await links_of(engine)) == last + 1
        await engine.verify()


async def test_a_program_that_continues_too_early_diverges(open_engine: OpenEngine) -> None:
    reached = asyncio.Event()

    async def body(ctx: DurableContext, number: int) -> int:
        await ctx.step(pay, number)
        await ctx.step(pay, number + 1)
        reached.set()
        await asyncio.Event().wait()
        return number

    async def changed(ctx: DurableContext, number: int) -> int:
        await ctx.step(pay, number)
        return ctx.continue_as_new(number)

    program, other = workflow(name="program")(body), workflow(name="program")(changed)
    async with open_engine(program) as engine:
        handle = await engine.start(program, 0)
        await reached.wait()
    async with open_engine(other) as engine:
        with pytest.raises(ReplayDivergence):
            await (await engine.get(handle.id)).result(20)
        assert len(await links_of(engine, "program")) == 1


async def test_the_next_link_is_under_the_current_key(open_engine: OpenEngine) -> None:
    """And a signal that goes along is sealed by it."""
    reached, gate = asyncio.Event(), asyncio.Event()

    @workflow(name="rotated")
    async def rotated(ctx: DurableContext, number: int) -> int:
        if number:
            return await ctx.receive("word", int)
        reached.set()
        await gate.wait()
        return ctx.continue_as_new(1)

    old, new = key_text((1, MASTER)), key_text((2, bytes(range(32, 64))), (1, MASTER))
    async with open_engine(rotated, keys=old) as engine:
        handle = await engine.start(rotated, 0)
        await reached.wait()
        await engine.signal(handle.id, "word", 5)
    gate.set()
    async with open_engine(rotated, keys=new) as engine:
        assert await (await engine.get(handle.id)).result(20) == 5
        assert [row.key_id for row in await links_of(engine, "rotated")] == [1, 2]
        await engine.verify()


async def test_ec_38_a_link_may_end_behind_a_checkpoint(open_engine: OpenEngine) -> None:
    @workflow(name="folding")
    async def folding(ctx: DurableContext, number: int) -> int:
        await ctx.step(note, "before the checkpoint")
        await ctx.checkpoint()
        return number if number == 2 else ctx.continue_as_new(number + 1)

    async with open_engine(folding) as engine:
        first = await engine.start(folding, 0, key="k")
        assert await first.result(20) == 2
    async with open_engine(folding) as engine:
        rows = await links_of(engine, "folding")
        for row in rows:
            entries = await engine.parts.backend.journal.read_execution(row.execution_id)
            assert [entry.entry_kind for entry in entries] == [
                EntryKind.EXECUTION_STARTED,
                EntryKind.CHECKPOINT,
                EntryKind.EXECUTION_FINISHED,
            ]
        assert (await engine.latest(first.id)).execution_id == rows[-1].execution_id
        assert await (await engine.get(first.id)).result(20) == 2
        await engine.verify()
