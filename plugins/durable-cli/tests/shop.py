"""A program that uses durable-core, run as `shop.py TASK URL`; not a test.

`crash` starts an order and is killed inside of its charge. `resume` opens the journal again and
prints how the order ends. `wait` does the same, but goes on waiting while the order is blocked.
`hold` resumes too, says `holding` inside of the charge, and stays there until it is woken.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from durable_core import (
    DurableConfig,
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    step,
    workflow,
)
from durable_core.errors import DurableError
from durable_core.model.execution import Status


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.MONEY_MOVING,
    on_ambiguous=OnAmbiguous.FAIL,
)
async def charge(amount: int) -> str:
    if TASK == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if TASK == "hold":
        woken = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, woken.set)
        sys.stdout.write("holding\n")
        sys.stdout.flush()
        await woken.wait()
    return f"charged {amount} anew"


@workflow(name="order")
async def order(ctx: DurableContext, amount: int) -> str:
    return await ctx.step(charge, amount)


async def main() -> None:
    async with DurableEngine.open(URL, workflows=[order], config=DurableConfig.load()) as engine:
        handle = await engine.start(order, 4200, key="order-42", on_conflict="existing")
        if TASK == "wait":
            sys.stdout.write("open\n")
            sys.stdout.flush()
            async with asyncio.timeout(40):
                while await handle.status() in {Status.BLOCKED, Status.RUNNING}:
                    pass
        try:
            sys.stdout.write(f"{await handle.result()}\n")
        except DurableError as error:
            sys.stdout.write(f"{type(error).__name__} {handle.id}\n")


TASK, URL = sys.argv[1:]
asyncio.run(main())
