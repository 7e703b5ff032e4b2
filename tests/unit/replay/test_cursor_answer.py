"""What the cursor answers at once, without reading."""

from __future__ import annotations

import pytest
from attrs import evolve

from durable_core.errors import ReplayDivergence
from durable_core.model.effects import EffectClass
from durable_core.replay.cursor import ReplayCursor
from durable_core.replay.lookup import FRESH, Recorded, Wanted
from tests.journals import FINGERPRINT, begun, opened, reader_of, result_of, writing


def wanted(step: int) -> Wanted:
    return Wanted(str(step), "charge", FINGERPRINT, EffectClass.AT_LEAST_ONCE, b"")


async def test_only_what_is_loaded_is_answered_at_once(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        for step in range(3):
            await journal.append_acked(result_of(execution, step))
        cursor = ReplayCursor(await reader_of(backend, execution, 2))
        assert cursor.answer(wanted(0)) is None
        await cursor.open()
        assert isinstance(cursor.answer(wanted(0)), Recorded)
        assert cursor.answer(wanted(1)) is None
        assert isinstance(await cursor.look_up(wanted(1)), Recorded)
        assert isinstance(cursor.answer(wanted(2)), Recorded)
        assert cursor.answer(wanted(3)) is FRESH


async def test_another_step_is_a_divergence_at_once(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        await journal.append_acked(result_of(execution, 0))
        cursor = ReplayCursor(await reader_of(backend, execution))
        await cursor.open()
        with pytest.raises(ReplayDivergence):
            cursor.answer(evolve(wanted(0), fingerprint=b"x" * 32))
