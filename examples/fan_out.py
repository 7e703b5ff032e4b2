"""A thousand items at a time, twenty of them at once, in one workflow that survives being killed.

Run it with a key: `DURABLE_KEY=$(durable keygen) python fan_out.py sqlite:///pages.db`. Kill it and
start it again under the same key: what is done is done.
"""

from __future__ import annotations

import argparse
import asyncio

from durable_core import DurableContext, DurableEngine, step, workflow

ITEMS = 1_000
AT_ONCE = 20


@step
async def fetch(number: int) -> int:
    """Stands for a request to somewhere; the printed line is its effect."""
    await asyncio.sleep(0.01)
    print("fetched", number, flush=True)
    return number * number


async def item(ctx: DurableContext, number: int, room: asyncio.Semaphore) -> int:
    """A branch: what it does for its item, with step numbers of its own."""
    async with room:
        return await ctx.step(fetch, number)


@workflow
async def fan_out(ctx: DurableContext, items: int) -> int:
    """A branch for each item; the semaphore lets some of them work at once."""
    room = asyncio.Semaphore(AT_ONCE)
    async with ctx.parallel() as group:
        branches = [group.start(item, number, room) for number in range(items)]
    return sum(branch.result() for branch in branches)


async def main(url: str) -> None:
    """Start it, or go on with it, and print its result."""
    async with DurableEngine.open(url, workflows=[fan_out]) as engine:
        print("sum:", await engine.run(fan_out, ITEMS, key="pages"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A thousand items, twenty of them at once.")
    parser.add_argument("url", help="the journal, such as sqlite:///pages.db")
    asyncio.run(main(parser.parse_args().url))
