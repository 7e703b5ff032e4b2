"""durable-core on SQLite, with every default: `python -m bench.comparison.ours_program REQUEST`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Mapping
from typing import Any
from uuid import UUID

from attrs import frozen

from bench.comparison.flows import BRANCHES, FLOWS, STEPS, World, branch, told
from bench.journals import KEYS, journal_url
from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    step,
    workflow,
)

__all__ = ["live"]

_KEY = "order-1"
_POLICIES = {
    "charge": OnAmbiguous.FAIL,
    "charge_by_key": OnAmbiguous.RERUN,
    "ship": OnAmbiguous.FAIL,
}
"""The steps that have an effect are guarded, as the README says."""


@frozen
class _Calls:
    context: DurableContext
    world: World
    steps: Mapping[str, Any]

    def call(self, step: str, *arguments: str) -> Awaitable[str]:
        """By `ctx.step`."""
        called: Awaitable[str] = self.context.step(self.steps[step], *arguments)
        return called

    def key(self) -> str:
        """Derived, and the same in each replay."""
        return str(self.context.uuid())

    async def branches(self) -> list[list[str]]:
        """By `ctx.parallel`."""

        async def line(context: DurableContext, who: str) -> list[str]:
            return await branch(_Calls(context, self.world, self.steps), self.world, who)

        async with self.context.parallel() as group:
            begun = [group.start(line, who) for who in BRANCHES]
        return [one.result() for one in begun]


def _declared(world: World, name: str) -> Any:  # noqa: ANN401 - a step of any arguments
    """The step, guarded where there is a policy."""
    policy = _POLICIES.get(name)
    if policy is None:
        return step(name=name)(getattr(world, name))
    return step(
        name=name,
        effect=EffectClass.EXACTLY_ONCE_GUARDED,
        sub_class=EffectIntentSubClass.MONEY_MOVING,
        on_ambiguous=policy,
    )(getattr(world, name))


async def live(world: World) -> str:
    """One life: the result of its execution."""
    opened: asyncio.Future[DurableEngine] = asyncio.get_running_loop().create_future()

    async def pack(what: str) -> str:
        await (await opened).flush()  # so that all in front of it is there when it is killed
        return await world.pack(what)

    steps = {name: _declared(world, name) for name in STEPS} | {"pack": step(name="pack")(pack)}

    @workflow(name="flow")
    async def flow(ctx: DurableContext, name: str, _text: str) -> str:
        return await FLOWS[name](_Calls(ctx, world, steps), world)

    url = journal_url(world.store / "journal.db")
    # What is there is resumed by its key: then it is always the run that says how it ended.
    async with DurableEngine.open(url, workflows=[flow], keys=KEYS, recover=False) as engine:
        opened.set_result(engine)
        if world.takes_over:
            for row in await engine.list(status="running"):
                await engine.release(UUID(bytes=row.execution_id), force=True)
        return await engine.run(flow, world.flow, world.text, key=_KEY)


if __name__ == "__main__":
    here = World.of(sys.argv[1])
    asyncio.run(told(here, live(here)))
