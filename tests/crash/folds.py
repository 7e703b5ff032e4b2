"""A long program under a small cap, which the tests of folds kill.

Most of its steps are folded by the engine itself, some by a call of `ctx.checkpoint()`. Every call
of a step returns another value, so that one that is lost, or computed again, is seen. As a script
it serves like `program.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

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
from durable_core.registry import Registry
from tests.crash.program import KEYS, say, serve

__all__ = ["CALLS", "GUARDED", "STEPS"]

STEPS: Final = 120
CAP: Final = 20
GUARDED: Final = 15
"""One of so many is guarded."""

ASKED: Final = 37
"""So often the program folds by itself."""

CALLS: Final = "calls"


async def work(number: int) -> str:
    """Its effect: a line in a file, told to nobody else."""
    value = f"{number}#{os.urandom(6).hex()}"
    calls = os.open(CALLS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(calls, f"{value}\n".encode())
    os.close(calls)
    say("called", number)
    return value


plain = step(name="plain", effect=EffectClass.IDEMPOTENT)(work)
guarded = step(
    name="guarded",
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.DESTRUCTIVE,
    on_ambiguous=OnAmbiguous.RERUN,
)(work)


@workflow(name="long")
async def long(ctx: DurableContext) -> list[str]:
    """One step after the other."""
    values = []
    for number in range(STEPS):
        values.append(await ctx.step(plain if number % GUARDED else guarded, number))
        if number % ASKED == ASKED - 1:
            await ctx.checkpoint()
            say("folded", *values)
    return values


async def live(folder: Path, plans: Mapping[str, Any], registry: Registry) -> None:
    """Go on with the one execution to its end."""
    os.chdir(folder)
    config = DurableConfig(max_steps_per_execution=CAP, replay_segment=7)
    async with DurableEngine.open(
        plans["url"], workflows=[long], config=config, keys=KEYS, registry=registry
    ) as engine:
        say("verified", (await engine.verify()).entries)
        say("result", json.dumps(await engine.run(long, key="the one")))
        await engine.verify()
    say("done")


if __name__ == "__main__":
    serve(live)
