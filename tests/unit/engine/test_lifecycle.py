"""Closing an engine: what it waits for, what it reports, what it leaves; forks; use when closed."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import uuid
import warnings
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, EffectClass, reconcile, step, workflow
from durable_core.errors import ExecutionError, ExecutionLocked
from durable_core.model.entries import EntryKind
from tests.engines import AnyWorkflow, OpenEngine
from tests.journals import path_of
from tests.programs import Stage, version

pytestmark = pytest.mark.dialects

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED


class Threads:
    """A plain function of a test says that it has begun, and waits for the test to let it end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        self.gate = threading.Event()
        self.ended: list[str] = []

    def pause(self, name: str = "plain") -> str:
        self._loop.call_soon_threadsafe(self.begun.set)
        self.gate.wait(30)
        self.ended.append(name)
        return name


async def test_close_waits_for_a_guarded_function_and_journals_its_result(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()

    @step(name="pay", effect=GUARDED)
    async def pay() -> str:
        await stage.pause()
        return "paid"

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(pay)

    await held_while_closing(open_engine, version(body), stage.reached, stage.gate.set, "paid")


@pytest.mark.parametrize("effect", list(EffectClass))
async def test_close_keeps_ownership_until_threads_have_ended(
    effect: EffectClass, open_engine: OpenEngine
) -> None:
    """A thread cannot be cancelled; nobody else may run the step beside it."""
    threads = Threads()

    @step(name="plain", effect=effect)
    def plain() -> str:
        return threads.pause()

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(plain)

    program = version(body)
    await held_while_closing(open_engine, program, threads.begun, threads.gate.set, "plain")
    assert threads.ended == (["plain"] if effect is GUARDED else ["plain"] * 2)


async def test_close_waits_for_a_reconcile_function_in_a_thread(open_engine: OpenEngine) -> None:
    threads = Threads()
    stage = Stage()

    def ask(_key: bytes) -> str:
        return threads.pause("found")

    @step(name="pay", effect=GUARDED, on_ambiguous=reconcile(ask))
    async def pay() -> str:
        await stage.pause()
        return "paid"

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(pay)

    program = version(body)
    async with open_engine(program, close_timeout_ms=1) as engine:
        await engine.start(program, key="k")
        await stage.reached.wait()
    await held_while_closing(open_engine, program, threads.begun, threads.gate.set, "found")


async def held_while_closing(
    open_engine: OpenEngine,
    program: AnyWorkflow,
    begun: asyncio.Event,
    let_end: Callable[[], None],
    value: object,
) -> None:
    """Close while the program's only step runs, and see that it is owned until it has ended."""
    closing = asyncio.Event()

    async def live() -> None:
        async with open_engine(program) as engine:
            await engine.start(program, key="k")
            await begun.wait()
            closing.set()

    async with open_engine(program, recover=False) as other:
        life = asyncio.create_task(live())
        await closing.wait()
        (row,) = await other.list()
        execution_id = uuid.UUID(bytes=row.execution_id)
        for _ in range(20):
            with pytest.raises(ExecutionLocked):
                await other.resume(execution_id)
        assert not life.done()
        let_end()
        await life
        assert await (await other.resume(execution_id)).result() == value


async def test_a_guarded_function_that_does_not_end_stays_open_at_the_deadline(
    open_engine: OpenEngine, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()

    @step(name="pay", effect=GUARDED)
    async def pay() -> None:
        await stage.pause()

    async def body(ctx: DurableContext) -> None:
        await ctx.step(pay)

    program = version(body)
    async with open_engine(program, close_timeout_ms=1) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    assert "1 executions did not end within 0.001 s" in caplog.text
    async with open_engine(recover=False) as engine:
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
        assert [row.entry_kind for row in rows] == [
            EntryKind.EXECUTION_STARTED,
            EntryKind.EFFECT_INTENT,
        ]


async def test_a_thread_that_does_not_end_is_reported_at_the_deadline(
    open_engine: OpenEngine, caplog: pytest.LogCaptureFixture
) -> None:
    threads = Threads()

    @step(name="plain")
    def plain() -> str:
        return threads.pause()

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(plain)

    program = version(body)
    async with open_engine(program, close_timeout_ms=1) as engine:
        await engine.start(program)
        await threads.begun.wait()
    assert "1 plain functions did not return within 0.001 s" in caplog.text
    threads.gate.set()


async def test_who_waits_when_the_engine_closes_is_told(open_engine: OpenEngine) -> None:
    stage = Stage()
    program = version(lambda _ctx: stage.pause())
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        waiting = asyncio.create_task(handle.result())
        await asyncio.sleep(0)
    with pytest.raises(ExecutionError, match="the engine was closed"):
        await waiting
    for use in uses_of(engine, program, handle):
        with pytest.raises(ExecutionError, match="closed"):
            await use
    async with open_engine(program) as engine:
        stage.gate.set()
        assert await (await engine.get(handle.id)).result() is None


def uses_of(
    engine: DurableEngine, program: AnyWorkflow, handle: Any
) -> list[Coroutine[Any, Any, Any]]:
    """Everything that an engine and a handle offer."""
    return [
        engine.start(program),
        engine.run(program),
        engine.get(handle.id),
        engine.list(),
        engine.cancel(handle.id),
        engine.resume(handle.id),
        engine.settle(handle.id, "0", ran=False),
        engine.verify(),
        engine.flush(),
        handle.status(),
        handle.result(),
        handle.cancel(),
    ]


async def test_what_is_started_while_closing_is_durable_and_does_not_run(
    open_engine: OpenEngine,
) -> None:
    """Its caller is told, and it goes on in the next engine; no task outlives this one."""
    calls: list[int] = []
    ran = asyncio.Event()

    @workflow(name="numbered")
    async def program(_ctx: DurableContext, number: int) -> None:
        calls.append(number)
        if len(calls) == 20:
            ran.set()

    async with open_engine(program) as engine:
        starting = [asyncio.create_task(engine.start(program, number)) for number in range(20)]
        await asyncio.sleep(0)  # each has begun to commit, and none is committed
    for started in starting:
        with pytest.raises(ExecutionError, match="closed"):
            await started
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert calls == []
    async with open_engine(program):
        await ran.wait()
    assert sorted(calls) == list(range(20))


def open_files() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{descriptor.name} {descriptor.readlink()}")
        except FileNotFoundError:
            continue
    return found


async def test_nothing_is_left_after_close(open_engine: OpenEngine, url: str) -> None:
    """No task, thread or open file, with executions finished, under way, and waiting."""
    stage = Stage()

    @step(name="plain")
    def plain() -> int:
        return threading.get_ident()

    async def body(ctx: DurableContext) -> None:
        await ctx.step(plain)
        await stage.pause()

    program = version(body)
    gc.collect()
    tasks, threads, files = asyncio.all_tasks(), set(threading.enumerate()), open_files()
    async with open_engine(program, max_concurrent_executions=2) as engine:
        stage.gate.set()
        await engine.run(program)
        stage.gate.clear()
        stage.reached.clear()
        for _ in range(4):
            await engine.start(program)
        await stage.reached.wait()
        await engine.parts.backend.journal.prune([])
        assert asyncio.all_tasks() != tasks
        assert set(threading.enumerate()) != threads
        assert open_files() != files
    assert asyncio.all_tasks() == tasks
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
    assert set(threading.enumerate()) == threads
    assert open_files() == files
    if url.startswith("sqlite:"):
        assert list(Path(f"{path_of(url)}.owners").iterdir()) == []


# --- one process


async def test_an_engine_refuses_to_be_used_after_a_fork(open_engine: OpenEngine) -> None:
    program = version(lambda _ctx: asyncio.sleep(0))
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await handle.result()
        uses = uses_of(engine, program, handle)
        read, write = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            os.write(write, asyncio.run(refusals(uses)))
            os._exit(0)
        for use in uses:
            use.close()
        os.close(write)
        await asyncio.to_thread(os.waitpid, pid, 0)
        with os.fdopen(read) as answers:
            said = answers.read().splitlines()
        message = "this engine was opened in another process; open one after the fork"
        assert said == [message] * len(uses)
        # Here it goes on as before: the child closed its copy of the lock, and did not unlock it.
        await engine.run(program)
        async with open_engine() as other:
            assert await other.parts.backend.owner_alive(engine.parts.journal.owner_id)


async def refusals(uses: list[Coroutine[Any, Any, Any]]) -> bytes:
    """What a forked child is told, in an event loop of its own."""
    said = []
    for use in uses:
        try:
            await asyncio.wait_for(use, 5)
        except ExecutionError as error:
            said.append(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent must learn it
            said.append(repr(error))
        else:
            said.append("not refused")
    return "\n".join(said).encode()
