"""A workflow of three steps for tests of ownership, and a program that runs it in other processes.

As a script: `python owning.py JOB URL ARGUMENT…`. Each job says a line when something is reached,
and waits for lines on its standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import sys
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    ExecutionHandle,
    OnAmbiguous,
    step,
    workflow,
)
from durable_core.engine.definition import Workflow
from durable_core.errors import DurableError

__all__ = ["LIFELINE", "Program", "ledger_of", "program_of"]

LIFELINE: Final = "OWNING_LIFELINE"
"""Names the descriptor of a pipe whose other end the test closes when it is over."""

Program = Workflow[[int], list[str]]
Second = Callable[[int], Awaitable[str]]
Note = Callable[[str, int], None]


def ledger_of(url: str) -> Path:
    """The ledger of a journal: a line for each call of the first and the last step.

    In the test's own folder, in which its children run too.
    """
    return Path(f"{re.sub(r'[^a-z0-9]+', '-', url[-40:])}.ledger").absolute()


def program_of(url: str, second: Second, *, guarded: bool = False, note: Note | None = None) -> Any:
    """The workflow `program`: a step that is noted, `second`, and another that is noted.

    With `guarded`, `second` is a guarded effect that an operator has to settle.
    """
    declared: dict[str, Any] = {"name": "second"}
    if guarded:
        declared |= {
            "effect": EffectClass.EXACTLY_ONCE_GUARDED,
            "sub_class": EffectIntentSubClass.MONEY_MOVING,
            "on_ambiguous": OnAmbiguous.FAIL,
        }

    def noted(name: str, number: int) -> str:
        descriptor = os.open(ledger_of(url), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{name} {number}\n".encode())
        os.close(descriptor)
        if note is not None:
            note(name, number)
        return name

    @step(name="first")
    async def first(number: int) -> str:
        return noted("first", number)

    @step(**declared)
    async def middle(number: int) -> str:
        return await second(number)

    @step(name="last")
    async def last(number: int) -> str:
        return noted("last", number)

    @workflow(name="program")
    async def program(ctx: DurableContext, number: int) -> list[str]:
        return [await ctx.step(each, number) for each in (first, middle, last)]

    return program


def say(*words: object) -> None:
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


class Hears:
    """The lines on standard input."""

    def __init__(self) -> None:
        self._lines = asyncio.StreamReader()

    async def begin(self) -> None:
        protocol = asyncio.StreamReaderProtocol(self._lines)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)

    async def line(self) -> str:
        return (await self._lines.readline()).decode().strip()


async def ended(handle: ExecutionHandle[Any]) -> None:
    """Say how an execution ended."""
    try:
        value = await handle.result()
    except DurableError as error:
        say("ended", type(error).__name__)
    else:
        say("result", json.dumps(value))


async def own(hears: Hears, url: str, how: str, *numbers: str) -> None:
    """Run executions whose second step says `holding` and waits for a line that it returns.

    `how` may hold `guarded`, and `fork`: then a forked child lives on beside this process.
    """
    turn = asyncio.Lock()

    async def second(number: int) -> str:
        await engine.flush()
        say("holding", number)
        async with turn:
            return await hears.line()

    program = program_of(url, second, guarded="guarded" in how, note=say)
    async with DurableEngine.open(url, workflows=[program]) as engine:
        handles = [await engine.start(program, int(each), key=each) for each in numbers]
        say("started", *(handle.id for handle in handles))
        if "fork" in how:
            say("forked", forked())
        await asyncio.gather(*map(ended, handles))
        # What others ask for is answered as long as this process lives.
        await asyncio.Event().wait()


async def work(hears: Hears, url: str, limit: str) -> None:
    """Claim what waits for an engine, at most `limit` at once; each says `holding` and waits."""
    turn = asyncio.Lock()

    async def second(number: int) -> str:
        await engine.flush()
        say("holding", number)
        async with turn:
            return await hears.line()

    program = program_of(url, second)
    opening = DurableEngine.open(
        url, workflows=[program], claim=True, max_concurrent_executions=int(limit)
    )
    async with opening as engine:
        say("open")
        await asyncio.Event().wait()


def forked() -> int:
    """Fork a child that lives for as long as the test that began it all; its process id.

    It has let go of what it inherited by then.
    """
    begun, has_begun = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        os.closerange(0, 3)
        os.write(has_begun, b".")
        os.read(int(os.environ[LIFELINE]), 1)
        os._exit(0)
    os.read(begun, 1)
    os.close(begun)
    os.close(has_begun)
    return pid


async def start_many(hears: Hears, url: str, count: str) -> None:
    """Start one execution by key from many tasks at once, when told; say the results."""
    program = program_of(url, answering("result"))
    say("ready")
    await hears.line()
    async with DurableEngine.open(url, workflows=[program]) as engine:
        say("results", json.dumps(await from_many_tasks(engine, program, int(count))))


async def from_many_tasks(
    engine: DurableEngine, program: Program, count: int
) -> list[tuple[str, list[str]]]:
    """The id and the result of one execution, started by key from `count` tasks."""

    async def start() -> tuple[str, list[str]]:
        handle = await engine.start(program, 7, key="the same")
        return str(handle.id), await handle.result()

    return await asyncio.gather(*(start() for _ in range(count)))


async def recover(hears: Hears, url: str) -> None:
    """Open an engine when told, and stay with every execution until it ends."""
    program = program_of(url, answering("recovered"))
    say("ready")
    await hears.line()
    async with DurableEngine.open(url, workflows=[program]) as engine:
        rows = await engine.list(limit=1000)
        handles = [await engine.get((program, row.execution_key or "")) for row in rows]
        say("results", json.dumps([await handle.result() for handle in handles]))


async def fill(hears: Hears, url: str) -> None:
    """Meet a full disk, and say what happened; there is room again after a line.

    A file of this process cannot grow past a limit: to SQLite that is a disk without room.
    """
    refunds: list[int] = []

    guarded = EffectClass.EXACTLY_ONCE_GUARDED

    @step(name="blob", effect=guarded, on_ambiguous=OnAmbiguous.RERUN)
    async def blob(number: int) -> bytes:
        return bytes([number]) * 200_000

    @workflow(name="filler")
    async def filler(ctx: DurableContext, count: int) -> int:
        try:
            sizes = [len(await ctx.step(blob, number)) for number in range(count)]
        except Exception:
            refunds.append(count)
            raise
        say("through", count)
        return sum(sizes)

    async with DurableEngine.open(url, workflows=[filler]) as engine:
        await engine.run(filler, 1, key="small")
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
        try:
            await engine.run(filler, 6, key="large")
        except DurableError as error:
            say("failed", type(error).__name__, error)
        say("refunds", len(refunds))
        say("health", engine.health().state.name, engine.health().cause)
        await hears.line()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        await asyncio.Event().wait()


def answering(value: str) -> Second:
    """A second step that does not wait."""

    async def second(_number: int) -> str:
        return value

    return second


JOBS = {job.__name__: job for job in (own, work, start_many, recover, fill)}


async def main(job: str, *arguments: str) -> None:
    hears = Hears()
    await hears.begin()
    await JOBS[job](hears, *arguments)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
