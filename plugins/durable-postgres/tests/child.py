"""One process of an application: `child.py URL die|live LEDGER`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    step,
    workflow,
)

URL, MODE, LEDGER = sys.argv[1:]
KEYS = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


def note(what: str) -> None:
    with Path(LEDGER).open("a") as ledger:
        ledger.write(f"{what}\n")


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.MONEY_MOVING,
    on_ambiguous=OnAmbiguous.FAIL,
)
async def charge() -> str:
    note("charge")
    return "paid"


@step
async def send(paid: str) -> str:
    if MODE == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    note("send")
    return f"{paid} and sent"


@workflow(name="checkout")
async def checkout(ctx: DurableContext) -> str:
    paid = await ctx.step(charge)
    await ctx.step(settle_down)
    return await ctx.step(send, paid)


@step(effect=EffectClass.EXACTLY_ONCE_GUARDED)
async def settle_down() -> None:
    """Its intent is durable, and with it everything before."""


async def main() -> None:
    async with DurableEngine.open(URL, workflows=[checkout], keys=KEYS) as engine:
        print(await engine.run(checkout, key="order-1"))  # noqa: T201 - what the test reads


asyncio.run(main())
