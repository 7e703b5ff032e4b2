"""A program that uses durable-core, run as `shop.py TASK URL`; not a test.

`crash` starts an order and is killed inside of its charge. `resume` opens the journal again and
prints how the order ends. `wait` does the same, but goes on waiting while the order is blocked.
`hold` resumes too, says `holding` inside of the charge, and stays there until it is woken.
`fail` starts an order whose charge raises. `stay` does so too, and stays until somebody resumes it:
the second charge is good.

Imported it is an application, as in `--app shop`, whose charge is good.
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
    ExecutionHandle,
    OnAmbiguous,
    step,
    workflow,
)
from durable_core.errors import DurableError
from durable_core.model.execution import Status

TASK = sys.argv[1] if __name__ == "__main__" else "resume"
CHARGES: list[int] = []


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.MONEY_MOVING,
    on_ambiguous=OnAmbiguous.FAIL,
)
async def charge(amount: int) -> str:
    CHARGES.append(amount)
    if TASK == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if TASK == "hold":
        woken = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, woken.set)
        say("holding")
        await woken.wait()
    if TASK == "fail" or (TASK == "stay" and len(CHARGES) == 1):
        message = "canary-7f3a91"
        raise ConnectionError(message)
    return f"charged {amount} anew"


@workflow(name="order")
async def order(ctx: DurableContext, amount: int) -> str:
    return await ctx.step(charge, amount)


def say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def say_the_end(handle: ExecutionHandle[str]) -> None:
    try:
        say(await handle.result())
    except DurableError as error:
        say(f"{type(error).__name__} {handle.id}")


async def main(url: str) -> None:
    async with DurableEngine.open(url, workflows=[order], config=DurableConfig.load()) as engine:
        handle = await engine.start(order, 4200, key="order-42", on_conflict="existing")
        if TASK == "wait":
            say("open")
            async with asyncio.timeout(40):
                while await handle.status() in {Status.BLOCKED, Status.RUNNING}:
                    pass
        await say_the_end(handle)
        if TASK == "stay":
            async with asyncio.timeout(40):
                while await handle.status() is Status.FAILED:
                    pass
            await say_the_end(handle)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[2]))
