"""Ambiguity policies: what each does with an intent that nothing follows, and its audit."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from durable_core import (
    DID_NOT_HAPPEN,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    reconcile,
    step,
)
from durable_core.engine import StepDescriptor
from durable_core.errors import (
    AmbiguityPolicyRequired,
    AmbiguousEffect,
    ConfigError,
    ExecutionCancelled,
    ExecutionError,
    JournalUnavailable,
)
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.unit.engine.interrupting import Interrupted

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED


async def test_ec_20_fail_blocks_and_an_operator_settles_that_it_ran(
    open_engine: OpenEngine,
) -> None:
    case = Interrupted(open_engine, OnAmbiguous.FAIL)
    await case.interrupt()
    with pytest.raises(AmbiguousEffect, match="step 0 'pay'"):
        await case.result()
    assert case.resolutions == [("fail", "blocked")]
    async with case.opened() as engine:
        handle = await engine.get(case.id)
        assert await handle.status() is Status.BLOCKED
        with pytest.raises(ExecutionError, match="not blocked"):
            await engine.settle(case.id, "7", ran=False)
        await engine.settle(case.id, "0", ran=True, value="paid by hand")
        assert await handle.result() == "paid by hand"
    assert len(case.keys) == 1
    assert case.sink.closed


async def test_ec_20_fail_settled_that_it_did_not_run_calls_it(open_engine: OpenEngine) -> None:
    case = Interrupted(open_engine, OnAmbiguous.FAIL)
    await case.interrupt()
    with pytest.raises(AmbiguousEffect):
        await case.result()
    async with case.opened() as engine:
        await engine.settle(case.id, "0", ran=False)
        assert await (await engine.get(case.id)).result() == "paid 100"
        with pytest.raises(ExecutionError):
            await engine.settle(case.id, "0", ran=False)
    assert len(set(case.keys)) == 1


async def test_a_call_that_a_settlement_allowed_is_guarded_again(open_engine: OpenEngine) -> None:
    """Settled "did not run", called, interrupted again: that is a new ambiguity."""
    case = Interrupted(open_engine, OnAmbiguous.FAIL)
    await case.interrupt()
    with pytest.raises(AmbiguousEffect):
        await case.result()
    case.stage.gate.clear()
    case.stage.reached.clear()
    async with case.opened(close_timeout_ms=1) as engine:
        await engine.settle(case.id, "0", ran=False)
        await case.stage.reached.wait()
    with pytest.raises(AmbiguousEffect):
        await case.result()
    assert len(case.keys) == 2


async def test_a_blocked_execution_can_be_cancelled(open_engine: OpenEngine) -> None:
    case = Interrupted(open_engine, OnAmbiguous.FAIL)
    await case.interrupt()
    with pytest.raises(AmbiguousEffect):
        await case.result()
    async with case.opened() as engine:
        await engine.cancel(case.id)
        with pytest.raises(ExecutionCancelled):
            await (await engine.get(case.id)).result()


async def test_ec_20_skip_assumes_done_and_returns_none(open_engine: OpenEngine) -> None:
    case = Interrupted(open_engine, OnAmbiguous.SKIP)
    await case.interrupt()
    assert await case.result() is None
    assert await case.result() is None
    assert case.resolutions == [("skip", "assumed done")]
    assert len(case.keys) == 1


async def test_ec_20_rerun_calls_again_with_the_same_key(open_engine: OpenEngine) -> None:
    case = Interrupted(open_engine, OnAmbiguous.RERUN)
    await case.interrupt()
    assert await case.result() == "paid 100"
    assert case.resolutions == [("rerun", "called again")]
    assert len(case.keys) == 2
    assert len(set(case.keys)) == 1


@pytest.mark.parametrize("plain", [False, True])
async def test_ec_20_reconcile_recovers_the_value(open_engine: OpenEngine, *, plain: bool) -> None:
    asked: list[tuple[bytes, int]] = []

    async def ask(key: bytes, cents: int) -> str:
        asked.append((key, cents))
        return "found"

    def ask_plainly(key: bytes, cents: int) -> str:
        asked.append((key, cents))
        return "found"

    case = Interrupted(open_engine, reconcile(ask_plainly if plain else ask))
    await case.interrupt()
    assert await case.result() == "found"
    assert asked == [(case.keys[0], 100)]
    assert case.resolutions == [("reconcile", "recovered")]
    assert len(case.keys) == 1


async def test_an_intent_journaled_under_fail_stays_an_operators(open_engine: OpenEngine) -> None:
    """The code says RERUN by now; the promise under which the effect was fired counts."""
    case = Interrupted(open_engine, OnAmbiguous.FAIL)
    await case.interrupt()
    case.declare(OnAmbiguous.RERUN)
    with pytest.raises(AmbiguousEffect, match="settle"):
        await case.result()
    assert case.resolutions == [("fail", "blocked")]
    assert len(case.keys) == 1


async def test_ec_20_reconcile_that_finds_nothing_calls_the_step(open_engine: OpenEngine) -> None:
    case = Interrupted(open_engine, reconcile(lambda _key, _cents: DID_NOT_HAPPEN))
    await case.interrupt()
    assert await case.result() == "paid 100"
    assert case.resolutions == [("reconcile", "did not happen")]


async def test_a_reconcile_function_that_cannot_tell_blocks(open_engine: OpenEngine) -> None:
    def ask(_key: bytes, _cents: int) -> str:
        message = "the line is dead"
        raise ConnectionError(message)

    case = Interrupted(open_engine, reconcile(ask))
    await case.interrupt()
    with pytest.raises(AmbiguousEffect, match="ConnectionError") as raised:
        await case.result()
    assert "the line is dead" not in str(raised.value)
    assert case.resolutions == [("reconcile", "blocked")]


async def test_a_sink_that_refuses_leaves_the_effect_as_ambiguous_as_before(
    open_engine: OpenEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = Interrupted(open_engine, OnAmbiguous.RERUN)
    await case.interrupt()
    case.sink.refuse = True
    with pytest.raises(JournalUnavailable, match="OSError"):
        await case.result()
    assert len(case.keys) == 1
    case.sink.refuse = False
    with caplog.at_level(logging.WARNING, "durable_core.audit"):
        assert await case.result() == "paid 100"
    assert "policy rerun: called again" in caplog.text


@pytest.mark.parametrize(
    "sub_class",
    [
        EffectIntentSubClass.DESTRUCTIVE,
        EffectIntentSubClass.SECURITY_RELEVANT,
        EffectIntentSubClass.MONEY_MOVING,
        EffectIntentSubClass.CUSTOM,
    ],
)
def test_ec_19_no_policy_is_refused_at_construction(sub_class: EffectIntentSubClass) -> None:
    with pytest.raises(AmbiguityPolicyRequired, match=sub_class.name):
        StepDescriptor(name="s", effect=GUARDED, sub_class=sub_class)
    with pytest.raises(AmbiguityPolicyRequired):
        step(effect=GUARDED, sub_class=sub_class)(asyncio.sleep)


def test_a_cost_bearing_effect_is_skipped_by_default() -> None:
    descriptor = StepDescriptor(name="s", effect=GUARDED)
    assert descriptor.policy is OnAmbiguous.SKIP
    assert descriptor.sub_class_code == EffectIntentSubClass.COST_BEARING


@pytest.mark.parametrize(
    "settings",
    [
        {"name": ""},
        {"name": "s", "timeout": 0},
        {"name": "s", "effect": "guarded"},
        {"name": "s", "sub_class": EffectIntentSubClass.CUSTOM},
        {"name": "s", "on_ambiguous": OnAmbiguous.SKIP},
        {"name": "s", "safe_to_retry": (OSError,)},
        {"name": "s", "effect": GUARDED, "on_ambiguous": "skip"},
    ],
)
def test_contradicting_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        StepDescriptor(**settings)
