"""A worker for tests of split brains and restarts: `python worker.py work URL LEDGER LIMIT`.

It claims what waits for an engine. Its workflow has a step of each kind, and each says `at` when
it begins and when it ends, so that a test can stop the process there. Told to `hold NUMBER EVENT`
it says `holding`, and `held` when the execution with that number has said so many of them: this
one goes no further, however late the test is. Asked with any other line, it lets it go, and says
`idle` as soon as nothing runs in it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from typing import Any, Final

from attrs import define, field, frozen

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
from durable_core.engine.definition import Workflow

__all__ = ["EVENTS", "GUARDED", "Ledger", "program_of"]

GUARDED: Final = ("charge", "notify")
"""The effects that must not happen twice, whoever runs them."""

EVENTS: Final = 8
"""How often each execution says `at`."""

_MONEY: Final = EffectIntentSubClass.MONEY_MOVING


@frozen
class Ledger:
    """What happened outside, a line each; it survives every process."""

    path: str

    def note(self, name: str, number: int) -> None:
        """Say that an effect happens now."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{name} {number}\n".encode())
        os.close(descriptor)

    def lines(self) -> list[str]:
        """All that happened so far."""
        with open(self.path) as lines:  # noqa: PTH123 - shared with the children, by descriptor
            return lines.read().splitlines()


@define
class Voice:
    """What is said of each execution, and where one of them is held."""

    _place: tuple[int, int] | None = None
    _going: asyncio.Event = field(factory=asyncio.Event)
    _said: Counter[int] = field(factory=Counter)

    def hold(self, number: int, event: int) -> None:
        """Keep an execution that has not begun from going on behind one of its events."""
        self._place = number, event
        self._going.clear()

    def let_go(self) -> None:
        self._going.set()

    async def at(self, name: str, number: int) -> None:
        """Say an event, and wait behind it if that is the place."""
        say("at", name, number)
        self._said[number] += 1
        if (number, self._said[number]) == self._place:
            say("held")
            await self._going.wait()


def program_of(ledger: Ledger, voice: Voice | None = None) -> Workflow[[int], Any]:
    """A workflow of a plain step, a guarded one under FAIL, one under SKIP, and a plain one."""

    async def happen(name: str, number: int) -> str:
        if voice is not None:
            await voice.at(name, number)
        ledger.note(name, number)
        await asyncio.sleep(0)
        if voice is not None:
            await voice.at(name, number)
        return name

    @step(name="note")
    async def note(number: int) -> str:
        return await happen("note", number)

    @step(
        name="charge",
        effect=EffectClass.EXACTLY_ONCE_GUARDED,
        sub_class=_MONEY,
        on_ambiguous=OnAmbiguous.FAIL,
    )
    async def charge(number: int) -> str:
        return await happen("charge", number)

    @step(
        name="notify",
        effect=EffectClass.EXACTLY_ONCE_GUARDED,
        sub_class=_MONEY,
        on_ambiguous=OnAmbiguous.SKIP,
    )
    async def notify(number: int) -> str:
        return await happen("notify", number)

    @workflow(name="shared")
    async def shared(ctx: DurableContext, number: int) -> list[str | None]:
        return [await ctx.step(each, number) for each in (note, charge, notify, note)]

    return shared


def say(*words: object) -> None:
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


async def work(url: str, ledger: str, limit: str) -> None:
    """Claim and run; see the module."""
    voice = Voice()
    lines = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    opening = DurableEngine.open(
        url,
        workflows=[program_of(Ledger(ledger), voice)],
        config=DurableConfig(),
        claim=True,
        max_concurrent_executions=int(limit),
    )
    async with opening as engine:
        say("open", engine.parts.journal.owner_id)
        while line := await lines.readline():
            if line.startswith(b"hold "):
                voice.hold(*map(int, line.split()[1:]))
                say("holding")
                continue
            voice.let_go()
            while running := set(engine._roster._tasks):
                await asyncio.wait(running)
            say("idle")


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[2:]))
