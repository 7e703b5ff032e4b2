"""An application that an operator looks after: its step fails once in the process that starts it.

As a script: `python operated.py fail URL`. Imported it is what `--app operated:WORKFLOWS` names.
"""

from __future__ import annotations

import asyncio
import os
import sys

from durable_core import DurableContext, DurableEngine, step, workflow
from durable_core.errors import ExecutionFailed
from durable_core.model.execution import Status

__all__ = ["WORKFLOWS"]

BAD = [1] if __name__ == "__main__" else []


@step(name="look")
async def look() -> str:
    if BAD:
        raise LookupError(BAD.pop())
    return "good"


@workflow(name="operated")
async def operated(ctx: DurableContext) -> str:
    return await ctx.step(look)


WORKFLOWS = (operated,)


def say(*words: object) -> None:
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


async def fail(url: str) -> None:
    """Start one, say its failure, and say its result when somebody has resumed it."""
    async with DurableEngine.open(url, workflows=WORKFLOWS) as engine:
        handle = await engine.start(operated)
        try:
            await handle.result()
        except ExecutionFailed:
            say("failed", handle.id)
        while await handle.status() is Status.FAILED:
            pass
        say("result", await handle.result())
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(fail(sys.argv[2]))
