"""Steps that wait for what is not read yet: one read serves all, each is let in by its place."""

from __future__ import annotations

import asyncio

import pytest

from durable_core.engine.arriving import Arrivals
from durable_core.engine.sequence import Sequence, Turn
from durable_core.errors import IntegrityError
from durable_core.model.entries import EntryKind
from durable_core.replay.cursor import ReplayCursor
from tests.holding import turns
from tests.journals import (
    CountedJournal,
    begun,
    change,
    intent_of,
    opened,
    path_of,
    reader_of,
    result_of,
    writing,
)

STEPS = 6
SEGMENT = 3
"""With the entry that starts the execution, the pages end behind the steps 1 and 4."""


async def told(turn: Turn, sequence: Sequence) -> None:
    waiting: Turn | None = turn
    while waiting is not None:
        await waiting
        waiting = sequence.after(waiting)


async def test_one_read_serves_all_and_each_is_told_in_its_turn(url: str) -> None:
    async with opened(url) as backend, writing(backend) as writer:
        execution = await begun(writer)
        for step in range(STEPS):
            await writer.append_acked(result_of(execution, step))
        journal = CountedJournal(backend.journal)
        cursor = ReplayCursor(await reader_of(backend, execution, SEGMENT, journal=journal))
        sequence, order = Sequence(), list[str]()
        arrivals = Arrivals(cursor, sequence)

        async def wait(step_id: str) -> None:
            await told(arrivals.turn(step_id), sequence)
            assert cursor.closing(step_id) is not None
            order.append(step_id)

        await asyncio.gather(*(wait(str(step)) for step in (5, 1, 3, 0, 4, 2)))
        assert order == [str(step) for step in range(STEPS)]
        assert [after for after, _ in journal.reads] == [0, 3, 6]
        assert cursor.exhausted


async def test_nothing_more_can_come_when_all_was_read(url: str) -> None:
    """Of a place that holds nothing, and of one that holds an intent alone (EC-13)."""
    async with opened(url) as backend, writing(backend) as writer:
        execution = await begun(writer)
        await writer.append_acked(intent_of(execution, 0))
        cursor = ReplayCursor(await reader_of(backend, execution, 1))
        sequence = Sequence()
        arrivals = Arrivals(cursor, sequence)
        await asyncio.gather(*(told(arrivals.turn(step), sequence) for step in ("0", "1")))
        assert cursor.exhausted
        assert cursor.unconsumed["0"].entry_kind == EntryKind.EFFECT_INTENT
        assert cursor.closing("0") is cursor.closing("1") is None


async def test_who_is_cancelled_before_it_was_read_is_let_in_nowhere(url: str) -> None:
    async with opened(url) as backend, writing(backend) as writer:
        execution = await begun(writer)
        for step in range(2):
            await writer.append_acked(result_of(execution, step))
        cursor = ReplayCursor(await reader_of(backend, execution))
        sequence = Sequence()
        arrivals = Arrivals(cursor, sequence)
        one, other = arrivals.turn("0"), arrivals.turn("1")
        assert one.cancel()
        await told(other, sequence)
        await turns(20)
        assert one.cancelled()
        assert not sequence.busy, "nobody waits in its place"


async def test_ec_26_damage_is_told_to_all_and_to_who_comes_later(url: str) -> None:
    async with opened(url) as backend, writing(backend) as writer:
        execution = await begun(writer)
        for step in range(3):
            await writer.append_acked(result_of(execution, step))
    change(path_of(url), "UPDATE durable_journal SET created_at = 1 WHERE entry_no = 3")
    async with opened(url) as backend:
        cursor = ReplayCursor(await reader_of(backend, execution, 2))
        await cursor.open()
        sequence = Sequence()
        arrivals = Arrivals(cursor, sequence)
        await asyncio.gather(*(told(arrivals.turn(step), sequence) for step in ("1", "2")))
        assert not cursor.exhausted
        with pytest.raises(IntegrityError):
            arrivals.turn("1")
