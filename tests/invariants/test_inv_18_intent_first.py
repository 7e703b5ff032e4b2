"""INV-18: guarded effects fail closed: no durable intent, no call."""

from __future__ import annotations

import pytest

from durable_core import DurableContext, EffectClass, OnAmbiguous, step
from durable_core.errors import ExecutionFenced, JournalUnavailable
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.journals import path_of, query
from tests.programs import Stage, version


async def test_the_intent_is_on_disk_when_the_function_is_called(
    open_engine: OpenEngine,
    url: str,
) -> None:
    seen: list[int] = []

    @step(effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> None:
        kinds = query(path_of(url), "SELECT entry_kind FROM durable_journal ORDER BY seq")
        seen.extend(kind for (kind,) in kinds)

    async def body(ctx: DurableContext) -> None:
        await ctx.step(pay)

    program = version(body)
    async with open_engine(program) as engine:
        await engine.run(program)
    assert seen == [EntryKind.EXECUTION_STARTED, EntryKind.EFFECT_INTENT]


@pytest.mark.parametrize("kind", [JournalUnavailable, ExecutionFenced])
async def test_ec_06_an_intent_that_is_not_durable_means_no_call(
    open_engine: OpenEngine,
    kind: type[Exception],
) -> None:
    stage = Stage()

    @step(effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.RERUN)
    async def pay() -> None:
        stage.calls.append("pay")

    async def body(ctx: DurableContext) -> None:
        await stage.pause()
        await ctx.step(pay)

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        row = await engine.parts.backend.load(handle.id.bytes)
        assert row is not None
        if kind is ExecutionFenced:
            assert await engine.parts.backend.claim(row, "somebody-else", 0) is not None
        else:
            await engine.parts.journal.close()
        stage.gate.set()
        with pytest.raises(kind):
            await handle.result()
        if kind is ExecutionFenced:
            with pytest.raises(JournalUnavailable):
                await engine.flush()
    assert stage.calls == []
