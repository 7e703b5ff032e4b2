"""INV-5: no payload, key, token or password outside of sealed payloads (EC-27).

Each case sends a canary through the library, successful or not, and looks for it in everything
that comes out: log records of every logger at every level (asyncio's debug mode included), errors
and their causes, representations, spans, and the raw bytes of every file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    OnAmbiguous,
    reconcile,
    step,
    workflow,
)
from durable_core.errors import (
    AmbiguousEffect,
    DecodeError,
    DurableError,
    ExecutionCancelled,
    ExecutionFailed,
    IntegrityError,
    KeyConflict,
    PayloadTooLarge,
    ReplayDivergence,
    StepFailed,
)
from tests.engines import OpenEngine
from tests.journals import (
    change,
    path_of,
)
from tests.leaks import CANARY, Evidence
from tests.programs import Stage

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED


@step
async def echo(text: str) -> str:
    return f"{text}!"


@step
def echo_plainly(text: str) -> str:
    return f"{text}!"


@step(effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL)
async def echo_guarded(text: str) -> str:
    return f"{text}!"


class Refusal(Exception):
    """An error of user code, whose message holds what it should not."""


@step
async def refuse(text: str) -> str:
    raise Refusal(text)


@step
def refuse_plainly(text: str) -> str:
    raise Refusal(text)


@step(effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL)
async def refuse_guarded(text: str) -> str:
    raise Refusal(text)


async def outcome(evidence: Evidence, engine: DurableEngine, waiting: Any) -> BaseException:
    """The error of what is awaited, kept as evidence with the engine."""
    with pytest.raises(DurableError) as raised:
        await waiting
    evidence.error(raised.value)
    evidence.engine(engine)
    return raised.value


async def test_ec_27_nothing_shows_on_success(evidence: Evidence, open_engine: OpenEngine) -> None:
    @workflow
    async def program(ctx: DurableContext, text: str, *, word: str) -> list[str]:
        evidence.add("the context", repr(ctx))
        return [
            await ctx.step(echo, text),
            await ctx.step(echo_guarded, word),
            await ctx.step(echo_plainly, text),
        ]

    async with open_engine(program) as engine:
        handle = await engine.start(program, CANARY, word=CANARY)
        assert await handle.result() == [f"{CANARY}!"] * 3
        evidence.add("the handle", repr(handle))
        evidence.engine(engine)
    async with open_engine(program) as engine:
        resumed = await engine.get(handle.id)
        assert await resumed.result() == [f"{CANARY}!"] * 3
        evidence.engine(engine)


@pytest.mark.parametrize("function", [refuse, refuse_plainly, refuse_guarded])
async def test_ec_27_nothing_shows_when_a_step_fails(
    evidence: Evidence,
    open_engine: OpenEngine,
    function: Any,
) -> None:
    """Neither in the workflow, nor to those who wait, live or later."""
    told: list[str] = []

    @workflow
    async def program(ctx: DurableContext, text: str) -> str:
        try:
            await ctx.step(function, text)
        except StepFailed as error:
            told.append(error.message)
            evidence.error(error)
            raise
        return "unreachable"

    async with open_engine(program) as engine:
        handle = await engine.start(program, CANARY)
        error = await outcome(evidence, engine, handle.result())
        assert isinstance(error, ExecutionFailed)
        assert CANARY in error.message
    async with open_engine(program) as engine:
        later = await outcome(evidence, engine, (await engine.get(handle.id)).result())
        assert isinstance(later, ExecutionFailed)
        assert CANARY in later.message
    assert told == [CANARY], "the message is there for those who ask"


async def test_ec_27_nothing_shows_when_a_workflow_fails(
    evidence: Evidence,
    open_engine: OpenEngine,
) -> None:
    @workflow
    async def program(_ctx: DurableContext, text: str) -> None:
        raise Refusal(text)

    async with open_engine(program) as engine:
        handle = await engine.start(program, CANARY)
        error = await outcome(evidence, engine, handle.result())
        assert isinstance(error, ExecutionFailed)
        assert error.message == CANARY


def diverging(stage: Stage, first: str, second: str) -> Callable[[], Any]:
    """A program that asks for something else when it is replayed."""

    def make() -> Any:
        text = second if stage.gate.is_set() else first

        @workflow(name="program")
        async def program(ctx: DurableContext) -> str:
            said = await ctx.step(echo, text)
            if not stage.gate.is_set():
                await stage.pause()
            return said

        return program

    return make


async def test_ec_27_nothing_shows_when_a_replay_diverges(
    evidence: Evidence,
    open_engine: OpenEngine,
) -> None:
    stage = Stage()
    make = diverging(stage, CANARY, f"another {CANARY}")
    program = make()
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(make()) as engine:
        error = await outcome(evidence, engine, (await engine.get(handle.id)).result())
        assert isinstance(error, ReplayDivergence)
        assert "argument 0" in str(error)
    async with open_engine(make()) as engine:
        assert isinstance(
            await outcome(evidence, engine, (await engine.get(handle.id)).result()),
            ReplayDivergence,
        )


async def _ask_in_vain(key: bytes, text: str) -> str:
    assert len(key) == 32
    raise Refusal(text)


@pytest.mark.parametrize(
    "policy",
    [OnAmbiguous.FAIL, OnAmbiguous.SKIP, OnAmbiguous.RERUN, reconcile(_ask_in_vain)],
    ids=["fail", "skip", "rerun", "reconcile"],
)
async def test_ec_27_nothing_shows_when_an_effect_is_ambiguous(
    evidence: Evidence,
    open_engine: OpenEngine,
    policy: Any,
) -> None:
    stage = Stage()

    @step(effect=GUARDED, on_ambiguous=policy)
    async def charge(text: str) -> str:
        if not stage.gate.is_set():
            await stage.pause()
        return text

    @workflow
    async def program(ctx: DurableContext, text: str) -> str | None:
        return await ctx.step(charge, text)

    async with open_engine(program, close_timeout_ms=1) as engine:
        handle = await engine.start(program, CANARY)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program) as engine:
        resumed = await engine.get(handle.id)
        if policy in (OnAmbiguous.SKIP, OnAmbiguous.RERUN):
            assert await resumed.result() in {None, CANARY}
            evidence.engine(engine)
            return
        error = await outcome(evidence, engine, resumed.result())
        assert isinstance(error, AmbiguousEffect)
        refused = engine.settle(handle.id, "7", ran=True, value=CANARY)
        await outcome(evidence, engine, refused)
        await engine.settle(handle.id, "0", ran=True, value=CANARY)
        assert await resumed.result() == CANARY
        evidence.engine(engine)


@pytest.mark.parametrize(
    "damage",
    [
        "payload = x'0000'",
        "detail = x'00'",
        "step_id = 'canary-4d7e19ab'",
        "fingerprint = CAST('canary-4d7e19ab' AS BLOB)",
        "payload = NULL",
        "hmac = NULL",
    ],
)
async def test_ec_27_nothing_shows_when_the_journal_was_changed(
    evidence: Evidence,
    open_engine: OpenEngine,
    url: str,
    damage: str,
) -> None:
    @workflow
    async def program(ctx: DurableContext, text: str) -> str:
        return await ctx.step(echo, text)

    async with open_engine(program) as engine:
        handle = await engine.start(program, CANARY)
        await handle.result()
        evidence.engine(engine)
    statement = f"UPDATE durable_journal SET {damage} WHERE entry_no = 2"
    assert change(path_of(url), statement) == 1
    async with open_engine(program) as engine:
        for waiting in ((await engine.get(handle.id)).result(), engine.verify()):
            with pytest.raises(IntegrityError) as raised:
                await waiting
            evidence.error(raised.value)
    path_of(url).unlink()  # what the test itself wrote there is no leak
    for beside in path_of(url).parent.glob(f"{path_of(url).name}-*"):
        beside.unlink()


class Opaque:
    """Nothing that a journal can hold."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Opaque({self.text!r})"


@step
async def anything(value: Any) -> Any:
    return Opaque(value) if isinstance(value, str) else value


async def test_ec_27_nothing_shows_when_a_value_is_refused(
    evidence: Evidence,
    open_engine: OpenEngine,
) -> None:
    """As an argument of a workflow and of a step, as a result, as too large, as a settled value."""

    @workflow
    async def program(ctx: DurableContext, value: Any) -> Any:
        with pytest.raises(DecodeError) as unfit:
            await ctx.step(anything, Opaque(CANARY))
        evidence.error(unfit.value)
        with pytest.raises(StepFailed) as failed:
            await ctx.step(anything, value)
        evidence.error(failed.value)
        return {CANARY: value}

    async with open_engine(program, max_payload_bytes=512) as engine:
        unfit = engine.start(program, Opaque(CANARY))
        assert isinstance(await outcome(evidence, engine, unfit), DecodeError)
        too_large = engine.start(program, CANARY * 100)
        assert isinstance(await outcome(evidence, engine, too_large), PayloadTooLarge)
        handle = await engine.start(program, CANARY)
        assert await handle.result() == {CANARY: CANARY}
        missing = engine.start(program)
        with pytest.raises(TypeError) as raised:
            await missing
        evidence.add("a wrong call", raised.value)


async def test_ec_27_nothing_shows_when_a_key_names_other_arguments(
    evidence: Evidence,
    open_engine: OpenEngine,
) -> None:
    @workflow
    async def program(_ctx: DurableContext, text: str) -> int:
        return len(text)

    async with open_engine(program) as engine:
        await engine.run(program, CANARY, key="order-1")
        other = engine.start(program, f"another {CANARY}", key="order-1")
        assert isinstance(await outcome(evidence, engine, other), KeyConflict)


async def test_ec_27_nothing_shows_when_an_execution_is_cancelled(
    evidence: Evidence,
    open_engine: OpenEngine,
) -> None:
    stage = Stage()

    @workflow
    async def program(ctx: DurableContext, text: str) -> str:
        said = await ctx.step(echo, text)
        await stage.pause()
        return said

    async with open_engine(program) as engine:
        handle = await engine.start(program, CANARY)
        await stage.reached.wait()
        evidence.engine(engine)
        await handle.cancel()
        assert isinstance(await outcome(evidence, engine, handle.result()), ExecutionCancelled)
