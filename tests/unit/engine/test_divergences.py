"""How often a diverging execution starts afresh: by itself, by configuration, by an operator."""

from __future__ import annotations

from typing import Any

import pytest

from durable_core import DurableContext, EffectClass, step
from durable_core.errors import ReplayDivergence
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.programs import Stage, version

LONGEST_S = 20.0


class Versions:
    """A program whose step has other arguments in every version, so that each diverges."""

    def __init__(self, effect: EffectClass) -> None:
        self.calls: list[int] = []
        self._number = 0

        @step(name="work", effect=effect)
        async def work(number: int) -> int:
            self.calls.append(number)
            return number

        self._work = work

    def next(self) -> tuple[Any, Stage]:
        """The next version, and the stage at which it waits before it ends."""
        number, stage = self._number, Stage()
        self._number += 1

        async def body(ctx: DurableContext) -> int:
            value = await ctx.step(self._work, number)
            if not stage.gate.is_set():
                await stage.pause()
            return value

        return version(body), stage


@pytest.mark.parametrize("effect", [EffectClass.IDEMPOTENT, EffectClass.AT_LEAST_ONCE])
@pytest.mark.parametrize("bound", [0, 1, 2])
async def test_max_divergences_bounds_the_fresh_runs(
    bound: int, effect: EffectClass, open_engine: OpenEngine
) -> None:
    """Idempotent ones start by themselves, others because `on_divergence` says so."""
    settings: dict[str, Any] = {
        "max_divergences": bound,
        "on_divergence": "block" if effect is EffectClass.IDEMPOTENT else "restart",
    }
    versions = Versions(effect)
    program, stage = versions.next()
    async with open_engine(program, **settings) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    for _ in range(bound):
        program, stage = versions.next()
        async with open_engine(program, **settings) as engine:
            await stage.reached.wait()
            assert await (await engine.get(handle.id)).status() is Status.RUNNING
    program, _ = versions.next()
    async with open_engine(program, **settings) as engine:
        handle = await engine.get(handle.id)
        with pytest.raises(ReplayDivergence):
            await handle.result(LONGEST_S)
        assert await handle.status() is Status.ABORTED
        assert (await engine.list())[0].generation == bound
        await engine.verify()
    assert versions.calls == list(range(bound + 1))


async def test_without_that_an_execution_with_effects_is_blocked(open_engine: OpenEngine) -> None:
    """Until an operator resumes it, which no bound forbids."""
    versions = Versions(EffectClass.AT_LEAST_ONCE)
    program, stage = versions.next()
    async with open_engine(program, max_divergences=0) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    program, stage = versions.next()
    stage.gate.set()
    async with open_engine(program, max_divergences=0) as engine:
        handle = await engine.get(handle.id)
        with pytest.raises(ReplayDivergence):
            await handle.result(LONGEST_S)
        assert await handle.status() is Status.BLOCKED
        assert versions.calls == [0]
        assert await (await engine.resume(handle.id)).result(LONGEST_S) == 1
    assert versions.calls == [0, 1]
