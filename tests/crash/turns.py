"""A workflow without an end, which the tests of continued executions kill: one turn an execution.

Each turn has a guarded step, whose ledger knows what really happened, and receives what it was
sent, as the id of the first turn leads to it. As a script it serves like `program.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from durable_core import DurableContext, DurableEngine, step, workflow
from durable_core.errors import ExecutionTerminal
from durable_core.registry import Registry
from tests.crash.program import KEYS, declaration, note, say, serve, value_of

__all__ = ["KEY", "SENT", "SIGNALS", "STEP"]

KEY: Final = "every turn"
SENT: Final = "sent"
SIGNALS: Final = 12
STEP: Final = "turn"
_STOP: Final = -1


@step(name=STEP, **declaration("reconcile", STEP, is_async=True))
async def take_turn(number: int) -> str:
    """The effect of one turn."""
    note(STEP, number)
    return value_of(STEP, number)


@workflow(name="turns")
async def turns(ctx: DurableContext, number: int, received: list[int]) -> list[int]:
    """Turn after turn, each with at most one signal, until one says that it is enough."""
    await ctx.step(take_turn, number)
    with suppress(TimeoutError):
        received = [*received, await ctx.receive("number", int, timeout=0.02)]
    if received[-1:] == [_STOP]:
        return received[:-1]
    return ctx.continue_as_new(number + 1, received)


def noted(file: Path, *words: object) -> None:
    """One more line of what this sender knows."""
    with file.open("a") as lines:
        lines.write(f"{' '.join(map(str, words))}\n")


async def send(engine: DurableEngine, first: str, file: Path) -> None:
    """Numbers, each at most once: which of them may have been sent is noted before."""
    begun = file.read_text().count("sending") if file.exists() else 0
    with suppress(ExecutionTerminal):
        for number in range(begun, SIGNALS):
            noted(file, "sending", number)
            await engine.signal(first, "number", number)
            noted(file, "filed", number)
            say("sent", number)
            await asyncio.sleep(0.005)
        await engine.signal(first, "number", _STOP)


async def live(folder: Path, plans: Mapping[str, Any], registry: Registry) -> None:
    """Verify what the last life left, and go on to the end."""
    opening = DurableEngine.open(plans["url"], workflows=[turns], keys=KEYS, registry=registry)
    async with opening as engine:
        await engine.verify()
        handle = await engine.start(turns, 0, [], key=KEY)
        first = folder / "first"
        if not first.exists():
            unnamed = folder / "first.new"  # a life may end before the text is in it
            unnamed.write_text(str(handle.id))
            unnamed.rename(first)
        sending = asyncio.create_task(send(engine, first.read_text(), folder / SENT))
        say("result", json.dumps(await handle.result()))
        await sending
        await engine.verify()
    say("done")


if __name__ == "__main__":
    serve(live)
