"""The cursor that all executions share which begin: it says of each step that it is fresh."""

from __future__ import annotations

from durable_core.model.effects import EffectClass
from durable_core.replay.fresh import fresh_cursor
from durable_core.replay.lookup import FRESH, Wanted
from durable_core.telemetry import Tracing
from durable_core.wire.waits import Signal
from tests.journals import opened, wire_format


async def test_each_step_is_fresh_and_nothing_is_left_to_read(url: str) -> None:
    async with opened(url) as backend:
        cursor = fresh_cursor(backend.journal, wire_format(), Tracing())
        wanted = Wanted("0", "step", bytes(32), int(EffectClass.IDEMPOTENT), ())
        assert cursor.exhausted
        assert not cursor.replaying
        assert not cursor.beside
        assert cursor.prior.empty
        assert cursor.answer(wanted) is FRESH
        assert await cursor.look_up(wanted) is FRESH
        assert cursor.resolution(bytes(16)) is None
        await cursor.finish()


async def test_signals_of_one_execution_are_not_those_of_another(url: str) -> None:
    async with opened(url) as backend:
        cursor = fresh_cursor(backend.journal, wire_format(), Tracing())
        signals = cursor.signals.copy()
        signals.add(Signal(bytes(16), "name", b"request"))
        assert signals.count("name") == 1
        assert b"request" in signals
        assert cursor.signals.count("name") == 0
        assert b"request" not in cursor.signals
