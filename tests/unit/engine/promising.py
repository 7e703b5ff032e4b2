"""A workflow that waits for a promise, and what the tests of promises ask of an engine."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from durable_core import DurableContext, DurableEngine, DurablePromise, EffectClass, step
from tests.holding import held
from tests.programs import version

__all__ = ["Asked", "kinds", "mark", "note", "other", "polled"]


@step(name="note")
async def note(what: str) -> str:
    return what


@step(name="mark", effect=EffectClass.IDEMPOTENT)
async def mark(what: str) -> str:
    return what


@step(name="other", effect=EffectClass.IDEMPOTENT)
async def other(what: str) -> str:
    return what


class Asked:
    """A workflow that makes a promise, hands it out, and waits for it."""

    def __init__(self, kind: Any = str, timeout: float | None = None) -> None:
        self.out: asyncio.Queue[DurablePromise[Any]] = asyncio.Queue()
        self.program = version(self.body)
        self.kind = kind
        self.timeout = timeout

    async def body(self, ctx: DurableContext) -> object:
        promise = await ctx.promise(self.kind, name="approval")
        self.out.put_nowait(promise)
        try:
            return await ctx.await_promise(promise, timeout=self.timeout)
        except TimeoutError:
            return await ctx.step(note, "too late")


async def kinds(engine: DurableEngine, execution_id: uuid.UUID) -> list[int]:
    rows = await engine.parts.backend.journal.read_execution(execution_id.bytes)
    return [row.entry_kind for row in rows]


async def polled(engine: DurableEngine, times: int) -> None:
    """Return when the engine has looked into its inbox that many times more."""
    with held(engine.parts.backend, "read_inbox") as looks:
        looks.gate.set()
        while len(looks.calls) < times:
            await engine.parts.backend.probe()
