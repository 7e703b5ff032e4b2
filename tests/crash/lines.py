"""A program of many lines of work at once, which the tests of branches kill.

Ten branches of a parallel block and five helpers under a plain `asyncio.gather`, each with steps of
its own, of random duration. Every call of a step returns another value, so that one that comes back
to the wrong line, or is computed again, is seen. As a script it serves like `program.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    current_step,
    step,
    workflow,
)
from durable_core.registry import Registry
from tests.crash.program import KEYS, say, serve, url_of

__all__ = ["CALLS", "LINES", "effect"]

BRANCHES: Final = 10
HELPERS: Final = 5
PARTS: Final = 3
LONGEST_MS: Final = 8
CALLS: Final = "calls"

LINES: Final = [
    f"{kind}{number}.{part}"
    for kind, count in (("branch", BRANCHES), ("helper", HELPERS))
    for number in range(count)
    for part in range(PARTS)
]
"""What each step is called by the program, whatever its id."""


def effect(line: str) -> str:
    """The value of a step: another one at each call. Its effect is a line in a file."""
    value = f"{line}#{os.urandom(6).hex()}"
    calls = os.open(CALLS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(calls, f"{current_step().step_id} {line} {value}\n".encode())
    os.close(calls)
    say("called", line)
    return value


async def work(line: str) -> str:
    """Takes a random time before and after its effect."""
    await asyncio.sleep(random.uniform(0, LONGEST_MS) / 1000)
    value = effect(line)
    await asyncio.sleep(random.uniform(0, LONGEST_MS) / 1000)
    return value


plain = step(name="plain")(work)
guarded = step(
    name="guarded",
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.DESTRUCTIVE,
    on_ambiguous=OnAmbiguous.RERUN,
)(work)


async def line_of(ctx: DurableContext, name: str) -> list[str]:
    """The steps of one line, one after the other, each of which it tells when it is back."""
    values = []
    for part in range(PARTS):
        called = guarded if part == 1 else plain
        value = await ctx.step(called, f"{name}.{part}")
        say("saw", f"{name}.{part}", value)
        values.append(value)
    return values


@workflow(name="lines")
async def lines(ctx: DurableContext) -> list[list[str]]:
    """All of them at once."""
    async with ctx.parallel() as group:
        branches = [group.start(line_of, f"branch{number}") for number in range(BRANCHES)]
        helpers = await asyncio.gather(
            *(line_of(ctx, f"helper{number}") for number in range(HELPERS))
        )
    return [*(branch.result() for branch in branches), *helpers]


async def live(folder: Path, plans: Mapping[str, Any], registry: Registry) -> None:
    """Go on with the one execution to its end."""
    os.chdir(folder)
    async with DurableEngine.open(
        url_of(folder), workflows=[lines], keys=KEYS, registry=registry
    ) as engine:
        for key in plans:
            say("result", json.dumps(await engine.run(lines, key=key)))
        await engine.verify()
    say("done")


if __name__ == "__main__":
    serve(live)
