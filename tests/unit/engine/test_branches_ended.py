"""The engine ends a run that has branches and helpers: each is closed, none can compensate."""

from __future__ import annotations

import asyncio
import logging

import pytest

from durable_core import DurableContext, EffectClass, OnAmbiguous, step
from durable_core.errors import ExecutionCancelled, ExecutionError, ReplayDivergence
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.holding import turns
from tests.programs import Stage, version

LONGEST_S = 20.0


@step(name="work")
async def work(name: str) -> str:
    return name


class Shop:
    """A program whose every line refunds whatever goes wrong, in two versions."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.stage = Stage()
        self.changed = False
        self.waiting = 0

    async def lines(self, ctx: DurableContext, name: str) -> None:
        try:
            await ctx.step(work, f"{name} first")
            if self.changed and name == self.where:
                await turns(30)
                await ctx.step(work, f"{name} changed")
            elif self.changed:
                await asyncio.Event().wait()
            else:
                await ctx.step(work, f"{name} second")
        except Exception:
            self.stage.calls.append(f"refund of {name}")
            raise
        except BaseException as error:
            if not isinstance(error, GeneratorExit):
                self.stage.calls.append(f"{name} saw {type(error).__name__}")
            raise
        self.waiting += 1
        if self.waiting == 4:
            self.stage.reached.set()
        await asyncio.Event().wait()

    async def nested(self, ctx: DurableContext) -> None:
        try:
            async with ctx.parallel() as group:
                group.start(self.lines, "nested")
                await self.lines(ctx, "branch")
        except BaseException as error:
            if not isinstance(error, GeneratorExit):
                self.stage.calls.append("refund of the inner block")
            raise

    async def body(self, ctx: DurableContext) -> None:
        try:
            async with ctx.parallel() as group:
                group.start(self.nested)
                group.start(self.lines, "sibling")
                await self.lines(ctx, "body")
        except BaseException as error:
            if not isinstance(error, GeneratorExit):
                self.stage.calls.append("refund of the outer block")
            raise


@pytest.mark.parametrize("where", ["nested", "branch", "sibling", "body"])
async def test_inv_21_a_divergence_anywhere_closes_every_branch(
    where: str, open_engine: OpenEngine, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(where)
    program = version(shop.body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await shop.stage.reached.wait()
    assert shop.stage.calls == [], "closing the engine is no reason to refund either"
    shop.changed = True
    async with open_engine(program) as engine:
        handle = await engine.get(handle.id)
        with pytest.raises(ReplayDivergence, match=f"different: argument 0|{where}"):
            await handle.result(LONGEST_S)
        assert await handle.status() is Status.BLOCKED
    assert shop.stage.calls == []
    assert [each.getMessage() for each in caplog.records if "clean-up" in each.getMessage()] == []


async def test_inv_21_a_helper_sees_no_failure_of_the_engine(open_engine: OpenEngine) -> None:
    """Neither where a step of its own fails so, nor at the next one that it calls."""
    stage = Stage()
    changed = False
    seen: list[str] = []
    tasks: list[asyncio.Task[None]] = []
    gate = asyncio.Event()

    async def helper(ctx: DurableContext, name: str) -> None:
        try:
            if changed and name == "late":
                await gate.wait()
            await ctx.step(work, f"{name} changed" if changed else name)
        except Exception:  # noqa: BLE001 - this is the point of the test
            seen.append(f"refund of {name}")
        except asyncio.CancelledError:
            seen.append(f"{name} is cancelled")
            raise

    async def body(ctx: DurableContext) -> None:
        await ctx.step(work, "changed" if changed else "as it was")
        tasks.extend(asyncio.create_task(helper(ctx, name)) for name in ("early", "late"))
        await asyncio.wait(tasks)
        if not stage.gate.is_set():
            await stage.pause()

    async def changed_body(ctx: DurableContext) -> None:
        tasks[:] = [asyncio.create_task(helper(ctx, name)) for name in ("early", "late")]
        await asyncio.sleep(0)
        await ctx.step(work, "changed")

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    changed = True
    async with open_engine(version(changed_body)) as engine:
        with pytest.raises(ReplayDivergence):
            await (await engine.get(handle.id)).result(LONGEST_S)
        gate.set()
        await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert sorted(seen) == ["early is cancelled", "late is cancelled"]


async def test_a_function_in_a_branch_cleans_up_before_its_branch_is_closed(
    open_engine: OpenEngine,
) -> None:
    """It is cancelled once, however long that takes it; a guarded one is not."""
    stage = Stage()
    cleaning, clean = asyncio.Event(), asyncio.Event()

    @step(name="endless")
    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await clean.wait()
            stage.calls.append("clean")

    @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> None:
        stage.reached.set()
        await stage.gate.wait()
        stage.calls.append("paid")

    async def branch(ctx: DurableContext) -> None:
        await ctx.step(endless)
        stage.calls.append("went on")

    async def pays(ctx: DurableContext) -> None:
        await ctx.step(pay)
        stage.calls.append("went on")

    async def body(ctx: DurableContext) -> None:
        async with ctx.parallel() as group:
            group.start(branch)
            group.start(pays)

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        cancelling = asyncio.create_task(handle.cancel())
        await cleaning.wait()
        stage.gate.set()
        await turns(50)
        assert stage.calls == ["paid"]
        clean.set()
        await cancelling
        with pytest.raises(ExecutionCancelled):
            await handle.result()
    assert stage.calls == ["paid", "clean"]


async def test_a_step_within_a_cancelled_branch_is_cancelled_by_the_engine(
    open_engine: OpenEngine,
) -> None:
    """It is the branch's own clean-up: that the branch was cancelled is no reason to wait."""
    stage = Stage()

    @step(name="endless")
    async def endless(name: str) -> None:
        stage.calls.append(name)
        (stage.reached if name == "undo" else stage.gate).set()
        await asyncio.Event().wait()

    async def branch(ctx: DurableContext) -> None:
        try:
            await ctx.step(endless, "do")
        finally:
            await ctx.step(endless, "undo")

    async def body(ctx: DurableContext) -> None:
        async with ctx.parallel() as group:
            group.start(branch)
            await stage.gate.wait()
            raise LookupError

    program = version(body)
    async with open_engine(program, close_timeout_ms=60_000) as engine, asyncio.timeout(LONGEST_S):
        await engine.start(program)
        await stage.reached.wait()
    assert stage.calls == ["do", "undo"]


async def test_a_helper_that_cleans_up_is_cancelled_by_the_engine(open_engine: OpenEngine) -> None:
    stage = Stage()

    @step(name="endless")
    async def endless(name: str) -> None:
        stage.calls.append(name)
        (stage.reached if name == "undo" else stage.gate).set()
        await asyncio.Event().wait()

    async def helper(ctx: DurableContext) -> None:
        try:
            await ctx.step(endless, "do")
        finally:
            await ctx.step(endless, "undo")

    async def body(ctx: DurableContext) -> None:
        task = asyncio.create_task(helper(ctx))
        await stage.gate.wait()
        task.cancel()
        await asyncio.wait({task})

    program = version(body)
    async with open_engine(program, close_timeout_ms=60_000) as engine, asyncio.timeout(LONGEST_S):
        await engine.start(program)
        await stage.reached.wait()
    assert stage.calls == ["do", "undo"]


async def test_a_block_that_is_never_left_is_closed_with_its_workflow(
    open_engine: OpenEngine, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()

    async def branch(ctx: DurableContext) -> None:
        try:
            await ctx.step(work, "x")
            stage.reached.set()
            await asyncio.Event().wait()
        except BaseException as error:
            stage.calls.append(type(error).__name__)
            with pytest.raises(ExecutionError, match="has ended here"):
                _ = ctx.step(work, "y")
            raise

    async def body(ctx: DurableContext) -> str:
        group = await ctx.parallel().__aenter__()
        group.start(branch)
        await stage.reached.wait()
        return "done"

    program = version(body)
    with caplog.at_level(logging.WARNING):
        async with open_engine(program) as engine:
            assert await (await engine.start(program)).result(LONGEST_S) == "done"
    assert stage.calls == ["GeneratorExit"]


async def test_an_interrupted_run_goes_on_in_every_branch(open_engine: OpenEngine) -> None:
    stage = Stage()

    @step(name="wait")
    async def wait(name: str) -> str:
        stage.calls.append(name)
        if len(stage.calls) == 4:
            stage.reached.set()
        await stage.gate.wait()
        return name

    async def helper(ctx: DurableContext, name: str) -> str:
        return await ctx.step(work, name) + await ctx.step(wait, name)

    async def branch(ctx: DurableContext, name: str) -> list[str]:
        return list(await asyncio.gather(helper(ctx, name + "0"), helper(ctx, name + "1")))

    async def body(ctx: DurableContext) -> list[list[str]]:
        async with ctx.parallel() as group:
            tasks = [group.start(branch, name) for name in "ab"]
        return [task.result() for task in tasks]

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program) as engine:
        assert await (await engine.get(handle.id)).result(LONGEST_S) == [
            ["a0a0", "a1a1"],
            ["b0b0", "b1b1"],
        ]
    assert len(stage.calls) == 8
