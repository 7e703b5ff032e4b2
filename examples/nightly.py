"""A job without an end: each night pays once and sleeps, and the next night is a new execution.

Run it as `python examples/nightly.py sqlite:///nightly.db 3`, with DURABLE_KEY set, kill it when
you like, and run it again: it goes on with the night at which it was.
"""

from __future__ import annotations

import asyncio
import sys

from durable_core import DurableContext, DurableEngine, EffectClass, step, workflow

NIGHT_S = 0.1


@step(effect=EffectClass.EXACTLY_ONCE_GUARDED)
async def report(night: int) -> str:
    """What costs something, and is done once a night."""
    return f"report of night {night}"


@workflow
async def nightly(ctx: DurableContext, night: int, last: int) -> str:
    """One night. `last` is for this example alone: such a workflow has no need to return."""
    made = await ctx.step(report, night)
    if night == last:
        return made
    await ctx.sleep(NIGHT_S)
    return ctx.continue_as_new(night + 1, last)


async def main(url: str, nights: int) -> None:
    """Start the job, or find it by its key, and wait for its last night."""
    async with DurableEngine.open(url, workflows=[nightly]) as engine:
        handle = await engine.start(nightly, 1, nights, key="reports")
        sys.stdout.write(f"{await handle.result()}\n")
        executions = await engine.list(workflow=nightly)
        entries = max(row.entry_count for row in executions)
        sys.stdout.write(f"{len(executions)} executions of at most {entries} entries\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
