"""Long workflows to resume: steps one after the other, in branches, and entries of all kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from attrs import frozen

from bench.engines import render
from durable_core import DurableContext, DurablePromise, workflow
from durable_core.engine.definition import Workflow

__all__ = ["HandOut", "Kind", "branches", "mixed", "program", "sequential"]

HandOut = Callable[[Sequence[DurablePromise[int]]], None]
"""Gives promises to whoever resolves each of them with 1."""

_BYTES: Final = 256
_BLOCK: Final = 100
_STEPS: Final = 40
_SLEEPS: Final = 10
_PROMISES: Final = 10
_BRANCHES: Final = 4
_IN_BRANCH: Final = 5


@frozen
class Kind:
    """A workflow's body, and the sum that it returns."""

    what: str
    body: Callable[[DurableContext, HandOut], Coroutine[Any, Any, int]]
    total: int


def program(kind: Kind, arrived: asyncio.Event, hand_out: HandOut) -> Workflow[[], int]:
    """The workflow; it stays at its end where it is the first to arrive there."""

    @workflow(name="long")
    async def long(ctx: DurableContext) -> int:
        total = await kind.body(ctx, hand_out)
        if not arrived.is_set():
            arrived.set()
            await asyncio.Event().wait()
        return total

    return long


def sequential(steps: int) -> Kind:
    """That many idempotent steps, one after the other."""

    async def body(ctx: DurableContext, _: HandOut) -> int:
        return await _steps(ctx, steps)

    return Kind(f"{steps:,} steps", body, _sum(steps))


def branches(steps: int, count: int) -> Kind:
    """That many steps, in `count` parallel branches."""
    each = steps // count

    async def body(ctx: DurableContext, _: HandOut) -> int:
        return await _in_branches(ctx, each, count)

    return Kind(f"{steps:,} steps in {count} branches", body, count * _sum(each))


def mixed(entries: int) -> Kind:
    """That many entries of steps, timers, promises and branches, in blocks of 100."""
    blocks = entries // _BLOCK

    async def body(ctx: DurableContext, hand_out: HandOut) -> int:
        return sum([await _block(ctx, hand_out) for _ in range(blocks)])

    in_block = _sum(_STEPS) + _PROMISES + _BRANCHES * _sum(_IN_BRANCH)
    return Kind(f"{entries:,} entries of mixed kinds", body, blocks * in_block)


async def _block(ctx: DurableContext, hand_out: HandOut) -> int:
    total = await _steps(ctx, _STEPS)
    for _ in range(_SLEEPS):
        await ctx.sleep(0)
    promises = [await ctx.promise(int, name="word") for _ in range(_PROMISES)]
    hand_out(promises)
    total += sum([await ctx.await_promise(promise) for promise in promises])
    return total + await _in_branches(ctx, _IN_BRANCH, _BRANCHES)


async def _in_branches(ctx: DurableContext, each: int, count: int) -> int:
    async with ctx.parallel() as group:
        begun = [group.start(_steps, each) for _ in range(count)]
    return sum(branch.result() for branch in begun)


async def _steps(ctx: DurableContext, count: int) -> int:
    total = 0
    for number in range(count):
        total += (await ctx.step(render, number % _BYTES))[-1]
    return total


def _sum(steps: int) -> int:
    return sum(number % _BYTES for number in range(steps))
