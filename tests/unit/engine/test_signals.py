"""Signals: sent from anywhere, received in order, exactly once."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from durable_core import DurableContext, step
from durable_core.errors import (
    ConfigError,
    DecodeError,
    ExecutionNotFound,
    ExecutionTerminal,
    StepFailed,
)
from tests.engines import OpenEngine
from tests.programs import Stage, version

pytestmark = pytest.mark.dialects

COUNT = 7


@step(name="note")
async def note(what: str) -> str:
    return what


async def receive_all(ctx: DurableContext) -> list[int]:
    return [await ctx.receive("number", int) for _ in range(COUNT)]


async def test_signals_come_in_the_order_of_sending(open_engine: OpenEngine) -> None:
    program = version(receive_all)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        for number in range(COUNT):
            await engine.signal(handle.id, "number", number)
        assert await handle.result(20) == list(range(COUNT))
        await engine.verify()
        assert await engine.parts.backend.read_inbox() == []


async def test_signals_wait_for_an_execution_that_does_not_run(open_engine: OpenEngine) -> None:
    program = version(receive_all)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await engine.signal(handle.id, "number", 0)
    async with open_engine(recover=False) as other:
        for number in range(1, COUNT):
            await other.signal(str(handle.id), "number", number)
    async with open_engine(program) as engine:
        assert await (await engine.get(handle.id)).result(20) == list(range(COUNT))


async def test_signals_that_were_journaled_and_not_received_are_found_again(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()

    async def body(ctx: DurableContext) -> list[int]:
        first = await ctx.receive("number", int)
        await ctx.step(note, "first")
        if not stage.gate.is_set():
            await stage.pause()
        return [first, *[await ctx.receive("number", int) for _ in range(2)]]

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        for number in range(3):
            await engine.signal(handle.id, "number", number)
        await stage.reached.wait()
        while await engine.parts.backend.read_inbox():
            await engine.parts.backend.probe()
    stage.gate.set()
    async with open_engine(program) as engine:
        assert await (await engine.get(handle.id)).result(20) == [0, 1, 2]


async def test_a_request_that_is_answered_twice_is_journaled_once(open_engine: OpenEngine) -> None:
    """The owner was killed between the journal and the inbox."""
    stage = Stage()

    async def body(ctx: DurableContext) -> list[int]:
        first = await ctx.receive("number", int)
        if not stage.gate.is_set():
            await stage.pause()
        return [first, await ctx.receive("number", int)]

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await engine.signal(handle.id, "number", 1)
        (request,) = await engine.parts.backend.read_inbox()
        await stage.reached.wait()
        while await engine.parts.backend.read_inbox():
            await engine.parts.backend.probe()
        assert await engine.parts.backend.post_inbox(request)
    stage.gate.set()
    async with open_engine(program) as engine:
        await engine.signal(handle.id, "number", 2)
        assert await (await engine.get(handle.id)).result(20) == [1, 2]


async def test_names_have_queues_of_their_own(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> list[str]:
        waits = [ctx.receive(name, str) for name in ("b", "a", "b")]
        return list(await asyncio.gather(*waits))

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        for name, value in (("a", "a0"), ("b", "b0"), ("b", "b1"), ("é", "nobody's")):
            await engine.signal(handle.id, name, value)
        assert await handle.result(20) == ["b0", "a0", "b1"]


async def test_a_signal_that_came_too_late_is_the_next_one(open_engine: OpenEngine) -> None:
    stage = Stage()

    async def body(ctx: DurableContext) -> list[object]:
        seen: list[object] = []
        try:
            seen.append(await ctx.receive("number", int, timeout=0.01))
        except TimeoutError:
            seen.append("timeout")
        if not stage.reached.is_set():
            stage.reached.set()
        seen.append(await ctx.receive("number", int))
        return seen

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    async with open_engine(program) as engine:
        await engine.signal(handle.id, "number", 1)
        assert await (await engine.get(handle.id)).result(20) == ["timeout", 1]


async def test_a_signal_of_another_type_is_told_and_the_next_one_comes(
    open_engine: OpenEngine,
) -> None:
    async def body(ctx: DurableContext) -> list[object]:
        try:
            await ctx.receive("number", int)
        except StepFailed as failed:
            return [failed.error_type, await ctx.receive("number", int)]
        return []

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await engine.signal(handle.id, "number", "none")
        await engine.signal(handle.id, "number", 2)
        assert await handle.result(20) == ["DecodeError", 2]


async def test_what_cannot_be_sent(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> str:
        for name in ("", None, 7, "\ud800"):
            with pytest.raises(ConfigError, match="name"):
                await ctx.receive(name, int)  # type: ignore[arg-type]
        return await ctx.step(note, "goes on")

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        assert await handle.result(20) == "goes on"
        with pytest.raises(ExecutionTerminal, match="is completed"):
            await engine.signal(handle.id, "number", 1)
        assert await engine.parts.backend.read_inbox() == []
        for unknown in (uuid.uuid4(), "none"):
            with pytest.raises(ExecutionNotFound, match="no execution"):
                await engine.signal(unknown, "number", 1)
        waiting = version(receive_all, "waiting")
    async with open_engine(waiting) as engine:
        handle = await engine.start(waiting)
        bad: list[Any] = ["", None, "\ud800"]
        for name in bad:
            with pytest.raises(ConfigError, match="name"):
                await engine.signal(handle.id, name, 1)
        with pytest.raises(DecodeError, match="the value of signal"):
            await engine.signal(handle.id, "number", object())
