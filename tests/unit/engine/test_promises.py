"""Promises: made durable, handed out, resolved once from anywhere (INV-9, EC-34 to EC-36)."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest

from durable_core import DurableContext, DurableHandle, DurablePromise
from durable_core.config import RetentionConfig
from durable_core.errors import (
    ConfigError,
    DecodeError,
    ExecutionTerminal,
    InvalidResolverToken,
    PromiseAlreadyResolved,
    PromiseNotFound,
    ReplayDivergence,
    StepFailed,
)
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.programs import Stage, version
from tests.unit.engine.promising import Asked, kinds, note
from tests.unit.engine.replaying import live_and_replayed

pytestmark = pytest.mark.dialects


async def test_a_promise_is_resolved_in_the_process(open_engine: OpenEngine) -> None:
    asked = Asked()
    async with open_engine(asked.program) as engine:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        await engine.resolve(promise.id, promise.token, "yes")
        assert await handle.result(20) == "yes"
        await engine.verify()
        assert await kinds(engine, handle.id) == [
            EntryKind.EXECUTION_STARTED,
            EntryKind.PROMISE_CREATED,
            EntryKind.PROMISE_RESOLVED,
            EntryKind.EXECUTION_FINISHED,
        ]


async def test_a_promise_is_rejected(open_engine: OpenEngine) -> None:
    asked = Asked()
    async with open_engine(asked.program) as engine:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        await engine.reject(str(promise.id), promise.token, "not today")
        with pytest.raises(Exception, match="StepFailed") as caught:
            await handle.result(20)
        assert isinstance(caught.value.__cause__, StepFailed)
        assert caught.value.__cause__.message == "not today"
        assert "not today" not in str(caught.value.__cause__)


async def test_ec_35_the_same_id_and_token_come_again(open_engine: OpenEngine) -> None:
    asked = Asked()
    async with open_engine(asked.program) as engine:
        handle = await engine.start(asked.program)
        first = await asked.out.get()
    async with open_engine(asked.program) as engine:
        again = await asked.out.get()
        assert again == first
        await engine.resolve(again.id, first.token, "late but well")
        assert await (await engine.get(handle.id)).result(20) == "late but well"


async def test_resolved_while_nothing_runs(open_engine: OpenEngine, url: str, key: str) -> None:
    asked = Asked(dict)
    async with open_engine(asked.program) as engine:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
    async with DurableHandle.open(url, promise.id, promise.token, keys=key) as outside:
        await outside.resolve({"by": "ann", "ok": True})
        await outside.resolve({"ok": True, "by": "ann"})
        with pytest.raises(PromiseAlreadyResolved):
            await outside.resolve({"by": "bob", "ok": False})
        with pytest.raises(PromiseAlreadyResolved):
            await outside.reject("too late")
    async with open_engine(asked.program) as engine:
        result = await (await engine.get(handle.id)).result(20)
        assert result == {"by": "ann", "ok": True}


async def test_whoever_is_later_learns_it(open_engine: OpenEngine) -> None:
    stage, asked = Stage(), Asked()

    async def body(ctx: DurableContext) -> object:
        value = await asked.body(ctx)
        await stage.pause()
        return value

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        promise = await asked.out.get()
        await engine.resolve(promise.id, promise.token, "first")
        await stage.reached.wait()
        await engine.resolve(promise.id, promise.token, "first")
        with pytest.raises(PromiseAlreadyResolved):
            await engine.resolve(promise.id, promise.token, "second")
        stage.gate.set()
        assert await handle.result(20) == "first"
        with pytest.raises(PromiseAlreadyResolved):
            await engine.resolve(promise.id, promise.token, "third")


async def test_of_many_at_once_one_wins_and_the_others_learn_it(open_engine: OpenEngine) -> None:
    asked = Asked()
    async with open_engine(asked.program) as engine, open_engine() as other:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        tries = (
            one.resolve(promise.id, promise.token, str(number))
            for number, one in enumerate((engine, other) * 10)
        )
        answers = await asyncio.gather(*tries, return_exceptions=True)
        won = [number for number, answer in enumerate(answers) if answer is None]
        assert await handle.result(20) == str(won[0])
        assert len(won) == 1
        assert {type(answer) for answer in answers} == {type(None), PromiseAlreadyResolved}


@pytest.mark.parametrize("token", [b"", b"short", b"\0" * 32, b"\0" * 33, "text", None])
async def test_ec_34_a_wrong_token_is_refused_also_when_resolved(
    open_engine: OpenEngine, token: Any
) -> None:
    asked = Asked()
    async with open_engine(asked.program) as engine:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        for _ in range(2):
            with pytest.raises(InvalidResolverToken, match="that is not the token of") as caught:
                await engine.resolve(promise.id, token, "never")
            assert promise.token.hex() not in str(caught.value)
            await engine.resolve(promise.id, promise.token, "well")
            assert await handle.result(20) == "well"


async def test_ec_34_an_unknown_promise_is_another_error(open_engine: OpenEngine) -> None:
    async with open_engine() as engine:
        for unknown in (uuid.uuid4(), str(uuid.uuid4()), "no id"):
            with pytest.raises(PromiseNotFound, match="promise"):
                await engine.resolve(unknown, b"\0" * 32, 1)


async def test_a_promise_of_an_execution_that_was_deleted_is_unknown(
    open_engine: OpenEngine, url: str, key: str
) -> None:
    asked = Asked()
    at_once = RetentionConfig(ttl_completed_secs=0, ttl_failed_secs=0)
    async with open_engine(asked.program, retention=at_once) as engine:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        await handle.cancel()
        while await engine.parts.backend.load(handle.id.bytes) is not None:
            await engine.prune()
        async with DurableHandle.open(url, promise.id, promise.token, keys=key) as outside:
            for one in (engine.resolve(promise.id, promise.token, 1), outside.resolve(1)):
                with pytest.raises(PromiseNotFound, match="not in this journal, or not any more"):
                    await one
        assert await engine.parts.backend.read_inbox() == []


async def test_the_token_of_one_promise_resolves_no_other(open_engine: OpenEngine) -> None:
    first, second = Asked(), Asked()
    programs = version(first.body, "first"), version(second.body, "second")
    async with open_engine(*programs) as engine:
        handles = [await engine.start(program) for program in programs]
        one, two = await first.out.get(), await second.out.get()
        with pytest.raises(InvalidResolverToken):
            await engine.resolve(one.id, two.token, "crossed")
        await engine.resolve(one.id, one.token, "one")
        await engine.resolve(two.id, two.token, "two")
        assert [await handle.result(20) for handle in handles] == ["one", "two"]


async def test_a_value_of_another_type_is_refused_to_who_resolves_here(
    open_engine: OpenEngine,
) -> None:
    asked = Asked(int)
    async with open_engine(asked.program) as engine:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        with pytest.raises(InvalidResolverToken):
            await engine.resolve(promise.id, b"", "no number")
        with pytest.raises(DecodeError, match="int") as caught:
            await engine.resolve(promise.id, promise.token, "no number")
        assert "no number" not in str(caught.value)
        assert await engine.parts.backend.read_inbox() == []
        await engine.resolve(promise.id, promise.token, 7)
        assert await handle.result(20) == 7


async def test_a_value_of_another_type_from_elsewhere_is_refused_by_the_owner(
    open_engine: OpenEngine, url: str, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    asked = Asked(int)
    async with open_engine(asked.program) as engine:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        async with DurableHandle.open(url, promise.id, promise.token, keys=key) as outside:
            await outside.resolve("no number")
        while "a request was refused: DecodeError" not in caplog.text:
            await engine.parts.backend.probe()
        while await engine.parts.backend.read_inbox():
            await engine.parts.backend.probe()
        await engine.resolve(promise.id, promise.token, 7)
        assert await handle.result(20) == 7
    assert "no number" not in caplog.text


async def test_a_wait_that_takes_too_long(open_engine: OpenEngine) -> None:
    asked = Asked(timeout=0.02)
    async with open_engine(asked.program) as engine:
        handle = await engine.start(asked.program)
        assert await handle.result(20) == "too late"
        promise = await asked.out.get()
        with pytest.raises(ExecutionTerminal, match="is completed: nobody waits"):
            await engine.resolve(promise.id, promise.token, "later still")


@pytest.mark.parametrize("first", ["resolution", "timer"])
async def test_live_and_replayed_the_same_came_first(
    open_engine: OpenEngine, url: str, key: str, first: str
) -> None:
    runs: list[int] = []

    async def resolve(promise: DurablePromise[str]) -> None:
        """From outside; the replay finds what came of it in the journal."""
        if len(runs) == 1:
            async with DurableHandle.open(url, promise.id, promise.token, keys=key) as outside:
                await outside.resolve("came")

    async def body(ctx: DurableContext) -> list[object]:
        runs.append(1)
        promise = await ctx.promise(str, name="approval")
        seen: list[object] = []
        if first == "resolution":
            await resolve(promise)
        for timeout in (0.02, None) if first == "timer" else (timedelta(hours=1), None):
            try:
                seen.append(await ctx.await_promise(promise, timeout=timeout))
            except TimeoutError:
                seen.append("timeout")
                await resolve(promise)
        return seen

    live, replayed = await live_and_replayed(open_engine, body)
    assert live == replayed
    assert live == (["came", "came"] if first == "resolution" else ["timeout", "came"])


async def test_many_wait_for_one_promise(open_engine: OpenEngine) -> None:
    out: asyncio.Queue[DurablePromise[str]] = asyncio.Queue()

    async def body(ctx: DurableContext) -> list[str]:
        promise = await ctx.promise(str, name="approval")
        out.put_nowait(promise)
        waits = [ctx.await_promise(promise) for _ in range(5)]
        steps = [ctx.step(note, str(number)) for number in range(5)]
        return list(await asyncio.gather(*waits, *steps))

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        promise = await out.get()
        await engine.resolve(promise.id, promise.token, "all")
        assert await handle.result(20) == ["all"] * 5 + [str(number) for number in range(5)]


async def test_promises_of_one_name_are_told_apart(open_engine: OpenEngine) -> None:
    made: list[DurablePromise[str]] = []

    async def body(ctx: DurableContext) -> None:
        made.extend([await ctx.promise(str, name=name) for name in ("a", "a", "b")])

    program = version(body)
    async with open_engine(program) as engine:
        await engine.run(program)
    assert len({promise.id for promise in made}) == 3
    assert len({promise.token for promise in made}) == 3
    assert all(len(promise.token) == 32 for promise in made)
    assert all(promise.token.hex() not in repr(promise) for promise in made)
    assert all(repr(promise.token) not in repr(promise) for promise in made)


async def test_a_promise_of_nobody_is_not_waited_for(open_engine: OpenEngine) -> None:
    foreign: DurablePromise[str] = DurablePromise(uuid.uuid4(), "foreign", b"\0" * 32)

    async def body(ctx: DurableContext) -> str:
        for wrong in (foreign, None, "approval"):
            with pytest.raises(ConfigError, match="a promise that it has made itself"):
                await ctx.await_promise(wrong)  # type: ignore[arg-type]
        for name in ("", None, 7, "\ud800"):
            with pytest.raises(ConfigError, match="name"):
                await ctx.promise(str, name=name)  # type: ignore[arg-type]
        return await ctx.step(note, "goes on")

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == "goes on"


async def test_a_value_that_cannot_be_encoded_is_refused_at_once(open_engine: OpenEngine) -> None:
    asked = Asked()
    async with open_engine(asked.program) as engine:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        with pytest.raises(DecodeError, match="the value for promise"):
            await engine.resolve(promise.id, promise.token, object())
        await engine.resolve(promise.id, promise.token, "well")
        assert await handle.result(20) == "well"


@pytest.mark.parametrize("held", ["step", "promise", "resolved"])
async def test_another_thing_at_the_place_is_a_divergence(
    open_engine: OpenEngine, held: str
) -> None:
    stage = Stage()
    made: list[DurablePromise[str]] = []

    async def before(ctx: DurableContext) -> None:
        await ctx.step(note, "first")
        if held == "step":
            await ctx.step(note, "second")
        else:
            made.append(await ctx.promise(str, name="one"))
        if held == "resolved":
            await ctx.step(note, "third")
            await ctx.await_promise(made[0])
        await stage.pause()

    async def after(ctx: DurableContext) -> None:
        await ctx.step(note, "first")
        promise = await ctx.promise(str, name="one" if held == "resolved" else "other")
        await ctx.await_promise(promise)

    first, second = version(before), version(after)
    async with open_engine(first) as engine:
        handle = await engine.start(first)
        while held == "resolved" and not made:
            await engine.parts.backend.probe()
        if held == "resolved":
            await engine.resolve(made[0].id, made[0].token, "well")
        await stage.reached.wait()
        await engine.flush()
    async with open_engine(second) as engine:
        with pytest.raises(ReplayDivergence) as caught:
            await (await engine.get(handle.id)).result(20)
    asked = "'durable.await_promise'" if held == "resolved" else "promise 'other'"
    held_by = "the promise 'one'" if held == "promise" else "'note'"
    assert asked in str(caught.value)
    assert f"the journal holds {held_by}" in str(caught.value)


async def test_a_replay_reads_no_further_than_the_resolution(
    open_engine: OpenEngine, url: str, key: str
) -> None:
    """Nothing stands at the place of a wait that ended well."""
    runs: list[int] = []

    async def body(ctx: DurableContext) -> list[str]:
        runs.append(1)
        promise = await ctx.promise(str, name="approval")
        if len(runs) == 1:
            async with DurableHandle.open(url, promise.id, promise.token, keys=key) as outside:
                await outside.resolve("came")
        value = await ctx.await_promise(promise)
        return [value, *[await ctx.step(note, str(number)) for number in range(9)]]

    live, replayed = await live_and_replayed(open_engine, body, replay_segment=3)
    assert live == replayed == ["came", *map(str, range(9))]
