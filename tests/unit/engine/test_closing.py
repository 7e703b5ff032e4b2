"""What closing and cancelling let steps do: clean up, end, and leave no doubt behind."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, EffectClass, OnAmbiguous, step
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.journals import path_of, query
from tests.programs import Body, Stage, version
from tests.unit.engine.holding import held, turns

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED
LONGEST_S = 20.0


def calling(call: Any, *, gathered: bool) -> Body:
    """A body of one step, in its own task or in another."""

    async def body(ctx: DurableContext) -> Any:
        if gathered:
            return (await asyncio.gather(ctx.step(call)))[0]
        return await ctx.step(call)

    return body


async def test_a_function_that_swallows_its_cancellation_is_left_behind(
    open_engine: OpenEngine, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()

    @step(name="stubborn", effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def stubborn() -> None:
        while not stage.gate.is_set():
            try:
                await stage.pause()
            except asyncio.CancelledError:
                stage.calls.append("cancelled")

    async def body(ctx: DurableContext) -> None:
        await ctx.step(stubborn)

    program = version(body)
    async with asyncio.timeout(LONGEST_S):
        async with open_engine(program, close_timeout_ms=50) as engine:
            await engine.start(program)
            await stage.reached.wait()
    assert stage.calls == ["cancelled"]
    assert "1 executions swallow their cancellation and were left behind" in caplog.text
    stage.gate.set()
    late = asyncio.all_tasks() - {asyncio.current_task()}
    assert late
    await asyncio.wait(late)


@pytest.mark.parametrize("gathered", [False, True])
@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_a_step_that_is_cut_off_may_clean_up(
    how: str, open_engine: OpenEngine, *, gathered: bool
) -> None:
    """A `finally` that awaits runs to its end: a transaction is rolled back, a lock released."""
    stage = Stage()

    @step(name="transaction")
    async def transaction() -> None:
        try:
            await stage.pause()
        except asyncio.CancelledError:
            stage.calls.append("cancelled")
            raise
        finally:
            await turns()
            stage.calls.append("rolled back")

    program = version(calling(transaction, gathered=gathered))
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        if how == "cancel":
            await handle.cancel()
            assert stage.calls == ["cancelled", "rolled back"]
    assert stage.calls == ["cancelled", "rolled back"]
    async with open_engine() as engine:
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
    assert EntryKind.STEP_FAILED not in {row.entry_kind for row in rows}


@pytest.mark.parametrize("gathered", [False, True])
@pytest.mark.parametrize("policy", [OnAmbiguous.FAIL, OnAmbiguous.SKIP])
async def test_an_intent_on_its_way_is_taken_back(
    policy: OnAmbiguous,
    open_engine: OpenEngine,
    caplog: pytest.LogCaptureFixture,
    *,
    gathered: bool,
) -> None:
    """Its function was not called, and the journal says so: there is nothing to resolve."""
    calls: list[str] = []
    ended = asyncio.Event()

    @step(name="pay", effect=GUARDED, on_ambiguous=policy)
    async def pay() -> str:
        calls.append("pay")
        return "paid"

    async def body(ctx: DurableContext) -> Any:
        try:
            return await calling(pay, gathered=gathered)(ctx)
        finally:
            ended.set()

    program = version(body)
    committing = asyncio.Event()

    async def live() -> None:
        async with open_engine(program) as engine:
            commit = held(engine.parts.backend.journal, "append", skip=1)
            intent = stack.enter(commit)
            await engine.start(program, key="k")
            await intent.reached.wait()
            committing.set()

    stack = _Entered()
    life = asyncio.create_task(live())
    await committing.wait()
    await ended.wait()
    assert not life.done()
    stack.entered[-1].gate.set()
    await life
    assert calls == []
    with caplog.at_level(logging.WARNING, "durable_core.audit"):
        async with open_engine(program) as engine:
            assert await (await engine.get((program, "k"))).result(LONGEST_S) == "paid"
    assert calls == ["pay"]
    assert "ambiguous effect" not in caplog.text


class _Entered:
    """Context managers that stay entered: what they hold up is gone with the engine."""

    def __init__(self) -> None:
        self.entered: list[Stage] = []
        self._kept: list[Any] = []

    def enter(self, context: Any) -> Stage:
        self._kept.append(context)
        stage: Stage = context.__enter__()
        self.entered.append(stage)
        return stage


class OneThread:
    """A plain step that holds the engine's only thread, and a guarded one that waits for it."""

    def __init__(self, **declared: Any) -> None:
        self.calls: list[str] = []
        self.begun = asyncio.Event()
        self.gate = threading.Event()
        loop = asyncio.get_running_loop()

        @step(name="hog")
        def hog() -> str:
            loop.call_soon_threadsafe(self.begun.set)
            self.gate.wait(LONGEST_S)
            return "hog"

        @step(name="pay", effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL, **declared)
        def pay() -> str:
            self.calls.append("pay")
            return "paid"

        async def body(ctx: DurableContext) -> list[str]:
            return list(await asyncio.gather(ctx.step(hog), ctx.step(pay)))

        self.program = version(body)


async def intent_of(url: str, engine: DurableEngine) -> None:
    """Return when the intent is journaled, and its function waits for a thread."""
    kinds: set[int] = set()
    while EntryKind.EFFECT_INTENT not in kinds:
        await engine.list()
        kinds = {kind for (kind,) in query(path_of(url), "SELECT entry_kind FROM durable_journal")}
    await turns()


async def test_a_function_that_waits_for_a_thread_has_not_begun(
    open_engine: OpenEngine, url: str
) -> None:
    case = OneThread()

    async def live() -> None:
        async with open_engine(case.program, max_worker_threads=1) as engine:
            await engine.start(case.program, key="k")
            await case.begun.wait()
            await intent_of(url, engine)
            asyncio.get_running_loop().call_soon(case.gate.set)

    await live()
    assert case.calls == []
    async with open_engine(case.program) as engine:
        handle = await engine.get((case.program, "k"))
        assert await handle.result(LONGEST_S) == ["hog", "paid"]
    assert case.calls == ["pay"]


async def test_the_time_limit_of_a_plain_function_counts_from_its_call(
    open_engine: OpenEngine, url: str
) -> None:
    """While it waits for a thread it is not called, and there is nothing to be in doubt about."""
    case = OneThread(timeout=0.01)
    async with open_engine(case.program, max_worker_threads=1) as engine:
        handle = await engine.start(case.program)
        await case.begun.wait()
        await intent_of(url, engine)
        asyncio.get_running_loop().call_later(0.05, case.gate.set)
        assert await handle.result(LONGEST_S) == ["hog", "paid"]
    assert case.calls == ["pay"]
