"""Processes that wait for somebody outside, and those outside: `python promised.py JOB URL …`.

`wait` runs a workflow that waits for a promise and then for signals. `answer` has nothing but URL,
key and token: it resolves or rejects. `send` sends signals. The last two do what each line on their
standard input says, and say `done`, or the name of the error.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable

from durable_core import DurableContext, DurableEngine, DurableHandle, workflow
from durable_core.errors import DurableError, StepFailed

__all__ = ["SIGNALS"]

SIGNALS = 3


def say(*words: object) -> None:
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


async def heard() -> str:
    """The next line; empty where there will be none."""
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.rstrip("\n")


@workflow(name="promised")
async def promised(ctx: DurableContext) -> list[object]:
    promise = await ctx.promise(str, name="approval")
    say("promise", ctx.execution_id, promise.id, promise.token.hex())
    try:
        answer = await ctx.await_promise(promise)
    except StepFailed as rejected:
        answer = f"rejected: {rejected.message}"
    say("answer", answer)
    return [answer, *[await ctx.receive("number", int) for _ in range(SIGNALS)]]


async def wait(url: str) -> None:
    """Start it, or go on with it, to its end; stay, so that what others ask for is answered."""
    async with DurableEngine.open(url, workflows=[promised]) as engine:
        handle = await engine.start(promised, key="the one")
        say("result", json.dumps(await handle.result()))
        await asyncio.Event().wait()


async def answer(url: str, promise_id: str) -> None:
    """The first line is the token; the others are `resolve JSON` or `reject REASON`."""
    token = bytes.fromhex(await heard())
    async with DurableHandle.open(url, promise_id, token) as handle:

        async def follow(line: str) -> None:
            word, _, rest = line.partition(" ")
            await (handle.resolve(json.loads(rest)) if word == "resolve" else handle.reject(rest))

        await each_line(follow)


async def send(url: str, execution_id: str) -> None:
    """Each line is a number to be sent."""
    async with DurableEngine.open(url, recover=False) as engine:
        await each_line(lambda line: engine.signal(execution_id, "number", int(line)))


async def each_line(follow: Callable[[str], Awaitable[None]]) -> None:
    while line := await heard():
        try:
            await follow(line)
        except DurableError as error:
            say("error", type(error).__name__)
        else:
            say("done")


JOBS = {job.__name__: job for job in (wait, answer, send)}


if __name__ == "__main__":
    asyncio.run(JOBS[sys.argv[1]](*sys.argv[2:]))
