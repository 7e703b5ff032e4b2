"""A workflow seen twice: live, and replayed after its engine was closed at the end of it."""

from __future__ import annotations

import asyncio
from typing import Any

from durable_core import DurableContext, ExecutionHandle
from tests.engines import OpenEngine
from tests.programs import Body, Stage, version

__all__ = ["live_and_replayed"]

LONGEST_S = 20.0


async def live_and_replayed(
    open_engine: OpenEngine,
    body: Body,
    **settings: Any,
) -> list[object]:
    """The values of `body` in a run that is interrupted at its end, and in the replay."""
    stage = Stage()
    seen: list[object] = []

    async def observed(ctx: DurableContext) -> None:
        seen.append(await body(ctx))
        if not stage.gate.is_set():
            await stage.pause()

    program = version(observed)
    async with open_engine(program, **settings) as engine:
        handle = await engine.start(program)
        await _reached(stage, handle)
    stage.gate.set()
    async with open_engine(program, **settings) as engine:
        await (await engine.get(handle.id)).result(LONGEST_S)
        await engine.verify()
    return seen


async def _reached(stage: Stage, handle: ExecutionHandle[Any]) -> None:
    """Return when the workflow waits at the stage; raises what it ended with instead."""
    ended = asyncio.ensure_future(handle.result())
    reached = asyncio.ensure_future(stage.reached.wait())
    await asyncio.wait({ended, reached}, return_when=asyncio.FIRST_COMPLETED)
    for waiting in (ended, reached):
        waiting.cancel()
    await asyncio.wait({ended, reached})
    if not reached.done() or reached.cancelled():
        await ended
