"""What every engine is asked to do: workflows of five steps; and how long it takes.

The programs of the peers import this module where durable-core is not installed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

__all__ = ["FIRST", "STEPS", "SUM", "Five", "answer", "in_lanes", "seconds", "value"]

STEPS: Final = 5
FIRST: Final = 7
SUM: Final = sum(range(FIRST, FIRST + STEPS))
"""What a workflow that is given `FIRST` returns."""

Five = Callable[[int], Awaitable[int]]
"""Runs one workflow of five steps, one after the other, to its result: the sum of their numbers."""


def value(number: int) -> bytes:
    """What a step returns, where its engine stores bytes: 254 of them, the last one the number."""
    return bytes(253) + bytes((number,))


async def seconds(five: Five, at_once: int, count: int) -> float:
    """How long `count` workflows take, `at_once` of them at a time; each result is checked."""

    async def one() -> None:
        assert await five(FIRST) == SUM, "a workflow's result is wrong"

    began = time.perf_counter()
    await in_lanes(one, count, at_once)
    return time.perf_counter() - began


async def in_lanes(one: Callable[[], Awaitable[None]], times: int, at_once: int) -> None:
    """Do one thing that many times, `at_once` at a time."""
    left = iter(range(times))

    async def lane() -> None:
        for _ in left:
            await one()

    await asyncio.gather(*(lane() for _ in range(at_once)))


async def answer(said: str, five: Five) -> None:
    """What a peer's program does: say `said`, then answer lines until the input ends.

    `said` is the peer's version, a space, and what it says of its durability. Each line is
    `AT_ONCE COUNT`, and its answer the seconds that so many workflows took.
    """
    print(said, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        at_once, count = map(int, line.split())
        print(await seconds(five, at_once, count), flush=True)
