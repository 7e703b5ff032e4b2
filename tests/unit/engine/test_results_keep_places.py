"""Helpers whose durations are swapped in the second life, for each form and class (EC-18c)."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict

import pytest

from durable_core import (
    DurableContext,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    step,
)
from tests.engines import OpenEngine
from tests.programs import Stage, version

pytestmark = pytest.mark.dialects

IDEMPOTENT = {"effect": EffectClass.IDEMPOTENT}
GUARDED = {
    "effect": EffectClass.EXACTLY_ONCE_GUARDED,
    "sub_class": EffectIntentSubClass.DESTRUCTIVE,
    "on_ambiguous": OnAmbiguous.RERUN,
}


@pytest.mark.parametrize("form", ["gather", "group"])
@pytest.mark.parametrize("kind", [IDEMPOTENT, GUARDED], ids=["idempotent", "guarded"])
@pytest.mark.parametrize("returned", [1, 2, 3, 4])
async def test_ec_18c_results_never_change_places(
    form: str, kind: dict[str, object], returned: int, open_engine: OpenEngine
) -> None:
    """The first life ends when so many steps have returned."""
    stage = Stage()
    numbers = itertools.count()
    seen: dict[str, list[str]] = defaultdict(list)

    def is_slow(who: str) -> bool:
        return (who == "a") is stage.reached.is_set()

    async def work(who: str, part: int) -> str:
        await asyncio.sleep(0.02 if is_slow(who) else 0)
        return f"{who}{part}#{next(numbers)}"

    called = step(name="work", **kind)(work)  # type: ignore[call-overload] # one of two sets

    async def helper(ctx: DurableContext, who: str) -> list[str]:
        first = not stage.gate.is_set()
        await asyncio.sleep(0.005 if is_slow(who) else 0)
        values = []
        for part in range(2):
            values.append(await ctx.step(called, who, part))
            seen[f"{who}{part}"].append(values[-1])
            if first and sum(map(len, seen.values())) == returned:
                await stage.pause()
        return values

    async def body(ctx: DurableContext) -> list[list[str]]:
        if form == "gather":
            return list(await asyncio.gather(*(helper(ctx, who) for who in "ab")))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(helper(ctx, who)) for who in "ab"]
        return [task.result() for task in tasks]

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program) as engine:
        values = await (await engine.get(handle.id)).result(20)
    assert [[value.partition("#")[0] for value in line] for line in values] == [
        ["a0", "a1"],
        ["b0", "b1"],
    ]
    assert {line: len(set(each)) for line, each in seen.items()} == dict.fromkeys(seen, 1)
    assert sum(map(len, seen.values())) >= returned + 4, "what had returned came back"
