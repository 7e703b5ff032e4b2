"""Claims and requests meet transient trouble, and an answer that is lost, like appends do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, step
from durable_core.engine.insisting import insist
from durable_core.errors import ExecutionCancelled, ExecutionLocked, TransientStoreError
from durable_core.model.execution import ANYONE, ExecutionRow
from tests.engines import OpenEngine
from tests.holding import failing
from tests.programs import Stage, version

pytestmark = pytest.mark.dialects

BUSY = TransientStoreError("busy")
UNSEEN = TransientStoreError("lost", landed_unknown=True)


@step(name="done")
async def done() -> str:
    return "done"


async def body(ctx: DurableContext) -> str:
    return await ctx.step(done)


def answer_lost(engine: DurableEngine, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call of that method does its work, and its caller learns nothing of it."""
    backend: Any = engine.parts.backend
    real = getattr(backend, name)
    lost: list[bool] = []

    async def loses(*arguments: object) -> object:
        answer = await real(*arguments)
        if not lost:
            lost.append(True)
            raise UNSEEN
        return answer

    monkeypatch.setattr(backend, name, loses)


async def test_a_claim_is_asked_for_again(open_engine: OpenEngine) -> None:
    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program, run="anywhere")
        with failing(engine.parts.backend, "claim", BUSY, UNSEEN, BUSY):
            assert await (await engine.resume(handle.id)).result() == "done"


async def test_a_claim_whose_answer_was_lost_is_this_engines(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program, run="anywhere")
        answer_lost(engine, "claim", monkeypatch)
        assert await (await engine.resume(handle.id)).result() == "done"


async def test_a_claim_that_somebody_else_has_made_meanwhile_is_theirs(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program, run="anywhere")
        backend: Any = engine.parts.backend
        real = backend.claim

        async def loses(expected: ExecutionRow, owner_id: str, now_ms: int) -> object:
            if expected.owner_id == ANYONE and owner_id != "other":
                monkeypatch.setattr(backend, "claim", real)
                await real(expected, "other", now_ms)
                raise UNSEEN
            return await real(expected, owner_id, now_ms)

        monkeypatch.setattr(backend, "claim", loses)
        with pytest.raises(ExecutionLocked):
            await engine.resume(handle.id)


async def test_a_request_whose_answer_was_lost_is_filed_once(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    program = version(lambda _ctx: stage.pause())
    async with open_engine(program) as engine, open_engine() as other:
        handle = await engine.start(program)
        await stage.reached.wait()
        answer_lost(other, "post_inbox", monkeypatch)
        await other.cancel(handle.id)
        with pytest.raises(ExecutionCancelled):
            await handle.result()


async def test_patience_has_an_end() -> None:
    calls: list[int] = []

    async def busy() -> None:
        calls.append(1)
        await asyncio.sleep(0)
        raise BUSY

    with pytest.raises(TransientStoreError):
        await insist(busy, 60)
    assert len(calls) > 1
