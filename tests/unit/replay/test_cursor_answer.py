"""What the cursor answers at once, without reading."""

from __future__ import annotations

import asyncio

import pytest
from attrs import define, evolve, field

from durable_core.errors import ReplayDivergence
from durable_core.model.effects import EffectClass
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.replay.cursor import ReplayCursor
from durable_core.replay.lookup import FRESH, Found, IntentOnly, Recorded, Wanted
from tests.journals import (
    FINGERPRINT,
    CountedJournal,
    begun,
    failure_of,
    intent_of,
    opened,
    reader_of,
    result_of,
    writing,
)


def wanted(step: int) -> Wanted:
    return Wanted(str(step), "charge", FINGERPRINT, EffectClass.AT_LEAST_ONCE, ())


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


async def test_a_result_at_hand_stays_until_it_is_consumed(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        for entry in (result_of(execution, 0), failure_of(execution, 1), result_of(execution, 2)):
            await journal.append_acked(entry)
        cursor = ReplayCursor(await reader_of(backend, execution, 3))
        await cursor.open()
        row = cursor.result_at(wanted(0))
        assert row is not None
        assert cursor.result_at(wanted(0)) is row
        assert cursor.result_at(evolve(wanted(0), fingerprint=b"x" * 32)) is None
        assert cursor.result_at(wanted(1)) is None, "a failure is no result"
        assert cursor.result_at(wanted(2)) is None, "it is not read yet"
        cursor.consume("0")
        assert cursor.result_at(wanted(0)) is None
        assert cursor.replaying


async def test_what_needs_no_more_is_answered_by_what_is_known(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        await journal.append_acked(intent_of(execution, 0))
        await journal.append_acked(result_of(execution, 1))
        cursor = ReplayCursor(await reader_of(backend, execution, 2))
        await cursor.open()
        assert cursor.drop(wanted(1)) is FRESH, "it is not read yet"
        guarded = evolve(wanted(0), effect=EffectClass.EXACTLY_ONCE_GUARDED)
        with pytest.raises(ReplayDivergence):
            cursor.drop(wanted(0))
        assert isinstance(cursor.drop(guarded), IntentOnly)
        assert cursor.drop(guarded) is FRESH, "the entry is consumed"


@define
class AsksAtTheEnd(CountedJournal):
    """Wakes somebody in the turn in which a read ends, before the cursor hears that it ended."""

    woken: asyncio.Future[None] = field(factory=lambda: asyncio.get_running_loop().create_future())

    async def read_execution_range(
        self, execution_id: bytes, after: int, limit: int
    ) -> list[JournalRow]:
        """As the real one."""
        rows = await super().read_execution_range(execution_id, after, limit)
        if not self.woken.done():
            self.woken.set_result(None)
        return rows


async def test_ec_14_who_asks_in_the_turn_in_which_a_read_ended_reads_on(url: str) -> None:
    """The read that has ended is not waited for again and again."""
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        for step in range(4):
            await journal.append_acked(result_of(execution, step))
        asked = AsksAtTheEnd(backend.journal)
        cursor = ReplayCursor(await reader_of(backend, execution, 2, journal=asked))

        async def late() -> Found:
            await asked.woken
            return await cursor.look_up(wanted(3))

        found, _ = await asyncio.gather(late(), cursor.look_up(wanted(0)))
        assert isinstance(found, Recorded)
        assert asked.reads == [(0, 2), (2, 2), (4, 2)]


async def test_it_knows_of_steps_beside_the_root_branch(url: str) -> None:
    """Until they are consumed."""
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        for step in ("0", "1.0.0", "~00.0"):
            await journal.append_acked(result_of(execution, step))
        cursor = ReplayCursor(await reader_of(backend, execution, 2))
        await cursor.open()
        assert not cursor.beside
        for step in ("1.0.0", "~00.0"):
            await cursor.look_up(evolve(wanted(0), step_id=step))
            assert bool(cursor.beside) == (step == "1.0.0")
        await cursor.look_up(wanted(0))
        await cursor.finish()


async def test_who_waits_for_an_entry_is_told_of_each_read(url: str) -> None:
    """An intent closes nothing, and damage is told like everything else."""
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        for entry in (intent_of(execution, 0), result_of(execution, 1), result_of(execution, 0)):
            await journal.append_acked(entry)
        cursor = ReplayCursor(await reader_of(backend, execution, 2))
        await cursor.open()
        assert not cursor.unread("0")
        assert cursor.closing("0") is None
        assert cursor.unread("1")
        told: list[BaseException | None] = []
        cursor.tell_when_loaded(told.append)
        assert await cursor.load() is None
        assert told == [None]
        row = cursor.closing("0")
        assert row is not None
        assert row.entry_kind == EntryKind.STEP_RESULT
        assert not cursor.unread("1")
        assert not cursor.unread("2"), "everything was read"
