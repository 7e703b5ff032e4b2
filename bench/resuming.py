"""Leaves a long execution behind as a crash does, and resumes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bench.engines import opened_engine, verified
from bench.kinds import HandOut, Kind, program
from durable_core import DurableConfig, DurableEngine, DurablePromise
from durable_core.ids import ExecutionId

__all__ = ["Promises", "Resume", "left_running", "reopened", "resolving", "resume"]

Promises = asyncio.Queue[Sequence[DurablePromise[int]]]
"""What a workflow has handed out."""

Resume = Callable[[], Awaitable[None]]
"""Resumes an execution; asserts that its result is right."""

_CONFIG: Final = DurableConfig(max_steps_per_execution=10**7)
_VALUE: Final = 1


async def left_running(path: Path, kind: Kind) -> ExecutionId:
    """An execution of which all but the end is journaled, and whose owner is gone."""
    arrived = asyncio.Event()
    promises: Promises = asyncio.Queue()
    long = program(kind, arrived, promises.put_nowait)
    async with opened_engine(path, [long], config=_CONFIG) as engine, resolving(engine, promises):
        handle = await engine.start(long)
        await arrived.wait()
        await engine.flush()
    return handle.id


@asynccontextmanager
async def resolving(engine: DurableEngine, promises: Promises) -> AsyncIterator[None]:
    """Resolve what is handed out, until the block is left."""

    async def resolve() -> None:
        while True:
            given = await promises.get()
            await asyncio.gather(*(engine.resolve(each.id, each.token, _VALUE) for each in given))

    task = asyncio.create_task(resolve())
    try:
        yield
    finally:
        task.cancel()


@asynccontextmanager
async def reopened(path: Path, execution_id: ExecutionId, kind: Kind) -> AsyncIterator[Resume]:
    """What resumes the execution, from its claim to its result; the chain is verified behind it."""
    arrived = asyncio.Event()
    arrived.set()
    nobody: HandOut = lambda _: None  # noqa: E731 - all of them are resolved
    long = program(kind, arrived, nobody)
    async with opened_engine(path, [long], recover=False, config=_CONFIG) as engine:

        async def resumed() -> None:
            handle = await engine.resume(execution_id)
            assert await handle.result() == kind.total, "the result is wrong"

        yield resumed
        await verified(engine, 1)


async def resume(path: Path, execution_id: ExecutionId, kind: Kind) -> float:
    """The milliseconds from the claim to the result, which is checked, like the chain."""
    async with reopened(path, execution_id, kind) as resumed:
        began = time.perf_counter()
        await resumed()
        return (time.perf_counter() - began) * 1000
