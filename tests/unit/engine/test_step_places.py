"""Where a step function may be called directly, and what it is there: a step or a plain call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    current_step,
    reconcile,
    step,
)
from durable_core.errors import ConfigError
from tests.engines import OpenEngine
from tests.programs import version
from tests.unit.engine.interrupting import Interrupted


@step(name="render")
def render(text: str) -> str:
    return f"<{text}>"


@step(name="fetch")
async def fetch(text: str) -> str:
    return f"({text})"


async def steps_of(engine: DurableEngine, execution_id: Any) -> list[str]:
    """The places of the steps in the journal, each once."""
    rows = await engine.parts.backend.journal.read_execution(execution_id.bytes)
    return list(dict.fromkeys(row.step_id for row in rows if row.step_id))


async def test_a_direct_call_in_a_helper_task_is_a_step(open_engine: OpenEngine) -> None:
    """Not silently a plain call: a payment would be neither guarded nor journaled."""
    keys: dict[str, bytes] = {}

    @step(
        name="charge",
        effect=EffectClass.EXACTLY_ONCE_GUARDED,
        sub_class=EffectIntentSubClass.MONEY_MOVING,
        on_ambiguous=OnAmbiguous.FAIL,
    )
    async def charge(who: str) -> str:
        keys[current_step().step_id] = current_step().idempotency_key
        return who

    async def helper(who: str) -> str:
        return await charge(who)

    async def body(_ctx: DurableContext) -> list[str]:
        return list(await asyncio.gather(helper("alice"), helper("bob")))

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        assert await handle.result() == ["alice", "bob"]
        assert await steps_of(engine, handle.id) == list(keys)
    assert len(set(keys.values())) == 2


async def test_a_direct_call_in_a_thread_is_a_plain_call(open_engine: OpenEngine) -> None:
    async def body(_ctx: DurableContext) -> str:
        return await asyncio.to_thread(render, "x")

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        assert await handle.result() == "<x>"
        assert await steps_of(engine, handle.id) == []


@pytest.mark.parametrize("plain", [False, True])
async def test_a_step_called_by_a_reconcile_function_is_a_plain_call(
    open_engine: OpenEngine, *, plain: bool
) -> None:
    """Whether it is asked depends on the crash; a step there would not be met on replay."""

    async def ask(_key: bytes, _cents: int) -> str:
        return await fetch("found")

    def ask_plainly(_key: bytes, _cents: int) -> str:
        return render("found")

    case = Interrupted(open_engine, reconcile(ask_plainly if plain else ask))
    await case.interrupt()
    assert await case.result() == ("<found>" if plain else "(found)")
    async with case.opened() as engine:
        assert await steps_of(engine, case.id) == ["0"]
    assert len(case.keys) == 1


async def test_an_execution_started_within_a_step_has_no_current_step(
    open_engine: OpenEngine,
) -> None:
    engines: list[DurableEngine] = []

    async def inner_body(_ctx: DurableContext) -> str:
        try:
            return f"in step {current_step().name}"
        except ConfigError:
            return "in no step"

    inner = version(inner_body, "inner")

    @step(name="starts")
    async def starts() -> str:
        found: str = await engines[0].run(inner)
        return f"{current_step().name}: {found}"

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(starts)

    program = version(body)
    async with open_engine(program, inner) as engine:
        engines.append(engine)
        assert await engine.run(program) == "starts: in no step"
