"""Settling with a value: typed ones are accepted as they are, unfit ones can be corrected."""

from __future__ import annotations

import pytest
from attrs import frozen

from durable_core import DurableContext, EffectClass, OnAmbiguous, step
from durable_core.errors import AmbiguousEffect
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.programs import Stage, version

pytestmark = pytest.mark.dialects


@frozen
class Receipt:
    number: str
    cents: int


@pytest.mark.parametrize(
    ("unfit", "fit"),
    [
        (["just text", None, 7], Receipt("r-1", 500)),
        ([{"number": "r-1"}], {"number": "r-1", "cents": 500}),
        ([], Receipt("r-1", 500)),
    ],
)
async def test_a_value_that_does_not_fit_blocks_again_and_can_be_corrected(
    unfit: list[object], fit: object, open_engine: OpenEngine
) -> None:
    stage = Stage()

    @step(name="charge", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def charge() -> Receipt:
        stage.calls.append("charge")
        await stage.pause()
        return Receipt("never", 0)

    async def body(ctx: DurableContext) -> str:
        receipt = await ctx.step(charge)
        return f"{receipt.number}: {receipt.cents}"

    program = version(body)
    async with open_engine(program, close_timeout_ms=1) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    async with open_engine(program) as engine:
        handle = await engine.get(handle.id)
        with pytest.raises(AmbiguousEffect, match="may or may not have had its effect"):
            await handle.result()
        for value in unfit:
            await engine.settle(handle.id, "0", ran=True, value=value)
            with pytest.raises(AmbiguousEffect) as again:
                await handle.result()
            assert "just text" not in str(again.value)
            assert await handle.status() is Status.BLOCKED
        await engine.settle(handle.id, "0", ran=True, value=fit)
        assert await handle.result() == "r-1: 500"
        await engine.verify()
    assert stage.calls == ["charge"]
