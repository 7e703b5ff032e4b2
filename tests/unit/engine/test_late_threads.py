"""Threads that end late: no function is called beside itself, and none that waits has begun."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    OnAmbiguous,
    RetryPolicy,
    reconcile,
    step,
)
from durable_core.engine.descriptor import DID_NOT_HAPPEN
from durable_core.errors import StepFailed
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.holding import turns
from tests.journals import path_of, query
from tests.passing import Passing
from tests.programs import version

LONGEST_S = 20.0
LONG_S = 600


def guarded(policy: Any) -> dict[str, Any]:
    return {"effect": EffectClass.EXACTLY_ONCE_GUARDED, "on_ambiguous": policy}


@pytest.mark.parametrize(
    "declared",
    [
        {},
        guarded(OnAmbiguous.RERUN),
        guarded(reconcile(lambda _key: DID_NOT_HAPPEN)),
    ],
    ids=["plain", "rerun", "did not happen"],
)
async def test_the_next_attempt_waits_for_the_thread_of_the_last(
    declared: dict[str, Any], open_engine: OpenEngine, passing: Passing
) -> None:
    loop = asyncio.get_running_loop()
    gate = threading.Event()
    calls: list[str] = []

    async def late() -> None:
        await turns()
        passing(LONG_S)
        # A second call would have begun by then.
        loop.call_later(0.1, gate.set)

    @step(name="slow", timeout=LONG_S, retry=RetryPolicy(attempts=2, initial=0), **declared)
    def slow() -> str:
        calls.append("begun")
        if len(calls) == 1:
            asyncio.run_coroutine_threadsafe(late(), loop)
            gate.wait(LONGEST_S)
        calls.append("ended")
        return "done"

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(slow)

    program = version(body)
    async with open_engine(program, journal_ack_timeout_ms=2 * LONG_S * 1000) as engine:
        assert await engine.run(program) == "done"
    assert calls == ["begun", "ended"] * 2


async def test_a_guarded_function_whose_attempts_are_used_up_has_failed(
    open_engine: OpenEngine,
) -> None:
    """RERUN allows another call, and there is none left."""
    calls: list[str] = []

    @step(name="slow", timeout=0.01, retry=RetryPolicy(attempts=2), **guarded(OnAmbiguous.RERUN))
    async def slow() -> None:
        calls.append("slow")
        await asyncio.Event().wait()

    async def body(ctx: DurableContext) -> str:
        with pytest.raises(StepFailed) as failed:
            await ctx.step(slow)
        return failed.value.error_type

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == "TimeoutError"
    assert calls == ["slow"] * 2


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

        @step(name="pay", **guarded(OnAmbiguous.FAIL), **declared)
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
    open_engine: OpenEngine, url: str, passing: Passing
) -> None:
    """While it waits for a thread it is not called, and there is nothing to be in doubt about."""
    case = OneThread(timeout=LONG_S)
    settings: dict[str, Any] = {
        "max_worker_threads": 1,
        "journal_ack_timeout_ms": 2 * LONG_S * 1000,
    }
    async with open_engine(case.program, **settings) as engine:
        handle = await engine.start(case.program)
        await case.begun.wait()
        await intent_of(url, engine)
        passing(LONG_S)
        await turns()
        case.gate.set()
        assert await handle.result(LONGEST_S) == ["hog", "paid"]
    assert case.calls == ["pay"]
