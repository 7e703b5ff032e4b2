"""Unhinged: `python -m bench.comparison.unhinged_program REQUEST`, where `unhinged` is installed.

Async handlers, everything as it comes but the lease of a worker, which is short: what a dead worker
had is claimed by another when that has run out.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from bench.comparison.flows import BRANCHES, FLOWS, World, branch, told

__all__ = ["live"]

_KEY = "order-1"
_LEASE_S = 8


@dataclass(frozen=True)
class _Calls:
    context: Any
    world: World
    suffix: str = ""

    def call(self, step: str, *arguments: str) -> Awaitable[str]:
        """A closure under the name of the step."""
        function = getattr(self.world, step)
        called: Awaitable[str] = self.context.step(step + self.suffix, lambda: function(*arguments))
        return called

    def key(self) -> str:
        """Derived from the id of the task, as the docs of Absurd say."""
        return f"{self.context.task_id}:payment"

    async def branches(self) -> list[list[str]]:
        """Each step with a name of its own, as the docs of Absurd say."""
        own = [_Calls(self.context, self.world, f" of {who}") for who in BRANCHES]
        lines = (branch(calls, self.world, who) for calls, who in zip(own, BRANCHES, strict=True))
        return list(await asyncio.gather(*lines))


async def live(world: World) -> str:
    """One life: the result of its task."""
    module = importlib.import_module("unhinged.aio")
    app = module.AsyncUnhinged(str(world.store / "unhinged.db"), queue_name="orders")

    async def flow(params: Any, context: Any) -> str:  # noqa: ANN401 - types of the peer
        return await FLOWS[params["flow"]](_Calls(context, world), world)

    app.register_task("flow")(flow)
    task = app.spawn("flow", {"flow": world.flow, "text": world.text}, idempotency_key=_KEY)
    worker = asyncio.create_task(app.start_worker(claim_timeout=_LEASE_S))
    snapshot = await app.await_task_result(task["task_id"])
    app.stop_worker()
    await worker
    if snapshot.state != "completed":
        failure = snapshot.failure or {}
        message = f"task {snapshot.state}: {failure.get('name')}: {failure.get('message')}"
        raise RuntimeError(message)
    return str(snapshot.result)


if __name__ == "__main__":
    here = World.of(sys.argv[1])
    asyncio.run(told(here, live(here)))
