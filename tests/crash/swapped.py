"""Two helpers of two steps each, of which in every life the other one is slow (EC-18c).

As a script it serves like `program.py`. A plan is the form and the class of the steps.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    step,
    workflow,
)
from durable_core.registry import Registry
from tests.crash.lines import effect
from tests.crash.program import KEYS, say, serve, url_of

__all__ = ["CLASSES", "FORMS"]

FORMS: Final = ("gather", "group")
CLASSES: Final = ("idempotent", "guarded")
WHO: Final = "ab"
PARTS: Final = 2
SLOW_S: Final = 0.01
LIVES: Final = "lives"


async def delay(who: str) -> None:
    """Slow in every other life."""
    slow = WHO.index(who) == Path(LIVES).stat().st_size % 2
    await asyncio.sleep(SLOW_S if slow else 0)


async def work(who: str, part: int) -> str:
    """Slow before and after its effect, in every other life."""
    await delay(who)
    value = effect(f"{who}{part}")
    await delay(who)
    return value


STEPS: Final = {
    "idempotent": step(name="work", effect=EffectClass.IDEMPOTENT)(work),
    "guarded": step(
        name="guarded",
        effect=EffectClass.EXACTLY_ONCE_GUARDED,
        sub_class=EffectIntentSubClass.DESTRUCTIVE,
        on_ambiguous=OnAmbiguous.RERUN,
    )(work),
}


async def helper(ctx: DurableContext, kind: str, who: str) -> list[str]:
    """Its steps one after the other, each of which it tells when it is back.

    It is also slow to ask for them: what is recorded is not asked for in the same order again.
    """
    values = []
    for part in range(PARTS):
        await delay(who)
        value = await ctx.step(STEPS[kind], who, part)
        say("saw", f"{who}{part}", value)
        values.append(value)
    return values


@workflow(name="swapped")
async def swapped(ctx: DurableContext, form: str, kind: str) -> list[list[str]]:
    """Both at once, with nothing of durable-core between them."""
    if form == "gather":
        return list(await asyncio.gather(*(helper(ctx, kind, who) for who in WHO)))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(helper(ctx, kind, who)) for who in WHO]
    return [task.result() for task in tasks]


async def live(folder: Path, plans: Mapping[str, Any], registry: Registry) -> None:
    """Go on with the one execution to its end, slow where the life before was fast."""
    os.chdir(folder)
    with Path(LIVES).open("a", encoding="utf-8") as lives:
        lives.write(".")
    async with DurableEngine.open(
        url_of(folder), workflows=[swapped], keys=KEYS, registry=registry
    ) as engine:
        for key, plan in plans.items():
            say("result", json.dumps(await engine.run(swapped, *plan, key=key)))
        await engine.verify()
    say("done")


if __name__ == "__main__":
    serve(live)
