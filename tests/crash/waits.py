"""A program that waits for all that can be waited for, which the tests of waits kill.

Two promises, of which one is rejected; two timers, of which one bounds a wait; two children; and
signals. As a script it serves like `program.py`. A life is that of the owner, or, with a task for
somebody outside, of a process that files signals and resolves promises and runs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from durable_core import DurableContext, DurableEngine, DurableHandle, workflow
from durable_core.engine.definition import Workflow
from durable_core.errors import StepFailed
from durable_core.registry import Registry
from tests.crash.program import KEYS, STEPS, say, serve, value_of

__all__ = ["ANSWERS", "CHILDREN", "RESULT", "SIGNALS", "STEP", "TIMERS"]

STEP: Final = "reconcile.async"
CHILDREN: Final = 2
SIGNALS: Final = 3
ANSWERS: Final = ("yes", "no")
"""What the promises get: a value, and the reason of a rejection."""

TIMERS: Final = ("t0", "t6")
"""Each wait has the number of a timer; these two are armed."""

RESULT: Final = [
    [value_of(STEP, number) for number in range(CHILDREN)],
    list(range(SIGNALS)),
    list(ANSWERS),
    "nothing came",
    value_of(STEP, CHILDREN),
]


@workflow(name="child")
async def child(ctx: DurableContext, number: int) -> str:
    """One effect that must not happen twice."""
    value: str = await ctx.step(STEPS[STEP], number)
    return value


def program_of(naps: list[float]) -> Workflow[[], list[Any]]:
    """The workflow `waits`, whose timers are asked for with these times (s)."""

    @workflow(name="waits")
    async def waits(ctx: DurableContext) -> list[Any]:
        promises = [await ctx.promise(str, name="approval") for _ in ANSWERS]
        for promise in promises:
            say("token", promise.id, promise.token.hex())
        say("handed", ctx.execution_id)
        await ctx.sleep(naps[0])
        children = [await ctx.start_child(child, number) for number in range(CHILDREN)]
        numbers = [await ctx.receive("number", int) for _ in range(SIGNALS)]
        answers = [await ctx.await_promise(promises[0])]
        try:
            await ctx.await_promise(promises[1])
        except StepFailed as rejected:
            answers.append(rejected.message)
        try:
            came = await ctx.receive("nothing", str, timeout=naps[1])
        except TimeoutError:
            came = "nothing came"
        values = [await each.result() for each in children]
        return [values, numbers, answers, came, await ctx.step(STEPS[STEP], CHILDREN)]

    return waits


async def outside(url: str, task: Mapping[str, Any], registry: Registry) -> None:
    """Resolve one promise by its token, file the signals from `first` on, reject the other one."""
    (promise, token), (other, other_token) = task["tokens"]
    opening = DurableHandle.open(url, promise, bytes.fromhex(token), keys=KEYS, registry=registry)
    async with opening as handle:
        await handle.resolve(ANSWERS[0])
    async with DurableEngine.open(url, keys=KEYS, recover=False, registry=registry) as engine:
        for number in range(task["first"], SIGNALS):
            await engine.signal(task["execution"], "number", number)
            say("filed", number)
        await engine.reject(other, bytes.fromhex(other_token), ANSWERS[1])


async def live(_folder: Path, plans: Mapping[str, Any], registry: Registry) -> None:
    """Go on with the one execution to its end, or do the task of somebody outside."""
    url = plans["url"]
    if "outside" in plans:
        await outside(url, plans["outside"], registry)
        return
    program = program_of(plans["naps"])
    async with DurableEngine.open(
        url, workflows=[program, child], keys=KEYS, registry=registry
    ) as engine:
        say("result", json.dumps(await engine.run(program, key="the one")))
        await engine.verify()


if __name__ == "__main__":
    serve(live)
