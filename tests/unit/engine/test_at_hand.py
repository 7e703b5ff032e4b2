"""What the journal has at hand when it is awaited is answered in that instant, or by the long way.

The first page is long enough here for all that is journaled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from durable_core import DurableConfig, DurableContext, DurableEngine, DurablePromise
from durable_core.engine.definition import Workflow
from durable_core.errors import DecodeError, ReplayDivergence, StepFailed
from durable_core.ids import ExecutionId
from tests.engines import OpenEngine
from tests.journals import change, sqlite_url
from tests.programs import Body, Stage, version
from tests.unit.engine.promising import note
from tests.unit.engine.replaying import live_and_replayed

UNKEYED = DurableConfig(encrypt_payload=False)
LONGEST_S = 20.0

Out = asyncio.Queue[DurablePromise[Any]]


async def test_waits_among_steps_are_answered_as_they_were(open_engine: OpenEngine) -> None:
    out: Out = asyncio.Queue()

    async def body(ctx: DurableContext) -> object:
        told: list[object] = [await ctx.step(note, "before")]
        await ctx.sleep(0)
        for _ in range(2):
            promise = await ctx.promise(str, name="word")
            out.put_nowait(promise)
            try:
                told.append(await ctx.await_promise(promise))
            except StepFailed as failed:
                told.append((failed.step, failed.error_type))
        return [*told, await ctx.step(note, "behind")]

    live, replayed = await live_and_replayed(_answering(open_engine, out), body)
    assert live == replayed == ["before", "yes", ("word", "PromiseRejected"), "behind"]


async def test_resolutions_of_a_page_are_told_where_more_is_to_be_read(
    open_engine: OpenEngine,
) -> None:
    """Of waits that begin together: their places hold nothing, and what comes is not known yet."""
    out: Out = asyncio.Queue()

    async def body(ctx: DurableContext) -> object:
        promises = [await ctx.promise(str, name="word") for _ in range(2)]
        for promise in promises:
            out.put_nowait(promise)
        waits = [ctx.await_promise(promise) for promise in promises]
        told = await asyncio.gather(*waits, return_exceptions=True)
        behind = [await ctx.step(note, str(number)) for number in range(5)]
        return [told[0], type(told[1]), *behind]

    opened = _answering(open_engine, out)
    live, replayed = await live_and_replayed(opened, body, replay_segment=5)
    assert live == replayed == ["yes", StepFailed, *map(str, range(5))]


def _answering(open_engine: OpenEngine, out: Out) -> Any:
    """Engines beside which the first promise is resolved, and the second one rejected."""

    async def answer(engine: DurableEngine) -> None:
        promise = await out.get()
        await engine.resolve(promise.id, promise.token, "yes")
        promise = await out.get()
        await engine.reject(promise.id, promise.token, "not today")

    @asynccontextmanager
    async def opened(*args: Any, **settings: Any) -> AsyncIterator[DurableEngine]:
        async with open_engine(*args, **settings) as engine:
            task = asyncio.create_task(answer(engine))
            try:
                yield engine
            finally:
                task.cancel()

    return opened


async def left_behind(path: Path, body: Body) -> tuple[Workflow[..., Any], ExecutionId]:
    """A program that was closed at its end, and its execution, in a journal without keys."""
    stage = Stage()

    async def stays(ctx: DurableContext) -> None:
        await body(ctx)
        await stage.pause()

    program = version(stays)
    async with DurableEngine.open(sqlite_url(path), workflows=[program], config=UNKEYED) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    return program, handle.id


@pytest.mark.parametrize(
    ("column", "value", "entry_no", "expected"),
    [
        ("payload", b"\x00\x09\x00", 2, DecodeError),
        ("detail", b"\xff", 4, DecodeError),
        ("detail", b"\x81\x62t7", 4, ReplayDivergence),
    ],
    ids=["a result", "a timer that fired", "another timer"],
)
async def test_ec_26_what_is_wrong_with_what_is_at_hand_enters_no_user_code(
    tmp_path: Path, column: str, value: bytes, entry_no: int, expected: type[Exception]
) -> None:
    path, caught = tmp_path / "journal.db", list[str]()

    async def body(ctx: DurableContext) -> None:
        try:
            await ctx.step(note, "before")
            await ctx.sleep(0)
            await ctx.step(note, "behind")
        except Exception as error:
            caught.append(type(error).__name__)
            raise

    program, execution_id = await left_behind(path, body)
    edit = {
        "payload": "UPDATE durable_journal SET payload = ? WHERE entry_no = ?",
        "detail": "UPDATE durable_journal SET detail = ? WHERE entry_no = ?",
    }
    assert change(path, edit[column], value, entry_no) == 1
    async with DurableEngine.open(sqlite_url(path), workflows=[program], config=UNKEYED) as engine:
        with pytest.raises(expected):
            await (await engine.get(execution_id)).result(LONGEST_S)
    assert caught == []
