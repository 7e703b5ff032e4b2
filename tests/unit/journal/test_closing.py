"""The end of a writer: who comes when the last commit is done is told, and so is who waits."""

from __future__ import annotations

import asyncio

import pytest

from durable_core.conformance.faults import Stall
from durable_core.errors import CommitOutcomeUnknown, JournalUnavailable
from durable_core.journal import Health, WriterSettings
from tests.faults import faulty
from tests.holding import turns
from tests.journals import begun, opened, result_of, writing
from tests.programs import Stage

NARROW = WriterSettings(acked_capacity=1, flush_interval_ms=60_000)
QUICK = WriterSettings(ack_timeout_ms=100)


def tasks_of_writers() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("durable-journal")]


async def test_what_comes_when_the_commit_loop_has_ended_is_refused(url: str) -> None:
    """The supervisor has not seen its end then, nor has `close`."""
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        accepted: list[bool] = []
        acknowledged: list[asyncio.Task[int]] = []

        def come(_: object) -> None:
            accepted.append(journal.append_buffered(result_of(execution, 0)))
            acked = journal.append_acked(result_of(execution, 1))
            acknowledged.append(asyncio.create_task(acked))

        (loop,) = [task for task in tasks_of_writers() if task.get_name().endswith("-writer")]
        loop.add_done_callback(come)
        await journal.close()
        assert accepted == [False]
        with pytest.raises(JournalUnavailable, match="closed"):
            await acknowledged[0]
        assert journal.health().dropped == 1
        assert journal.health().queue_depth == 0


async def test_whoever_waits_for_room_when_the_commit_loop_ends_is_told(url: str) -> None:
    """Who was given room in that instant, and who was not."""
    async with faulty(url, NARROW) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        held = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await stall.reached.wait()
        waiting = [
            asyncio.create_task(journal.append_acked(result_of(execution, step)))
            for step in (1, 2, 3)
        ]
        await asyncio.sleep(0)
        closing = asyncio.create_task(journal.close())
        await turns()
        stall.gate.set()
        await closing
        assert await held == 2
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [JournalUnavailable] * 3
        assert await backend.steps_of(execution) == ["0"]


async def test_what_is_buffered_while_the_writer_closes_does_not_wait_for_its_interval(
    url: str,
) -> None:
    async with faulty(url, NARROW) as (backend, journal):
        execution = await begun(journal)
        stall, next_one = Stall(), Stall()
        backend.faults.extend([stall, next_one])
        held = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await stall.reached.wait()
        closing = asyncio.create_task(journal.close())
        await turns()
        assert journal.append_buffered(result_of(execution, 1))
        stall.gate.set()
        await held
        committing = asyncio.create_task(next_one.reached.wait())
        await asyncio.wait({committing, closing}, return_when=asyncio.FIRST_COMPLETED)
        assert not closing.done()
        next_one.gate.set()
        await closing
        assert await backend.steps_of(execution) == ["0", "1"]


async def test_a_close_that_is_cancelled_leaves_those_who_wait_their_limits(url: str) -> None:
    async with faulty(url, QUICK) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        waiting = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await stall.reached.wait()
        closing = asyncio.create_task(journal.close())
        await turns()
        closing.cancel()
        await asyncio.wait({closing})
        with pytest.raises(CommitOutcomeUnknown):
            await journal.flush()  # which begins later, and waits as long
        await turns()
        assert waiting.done()
        with pytest.raises(CommitOutcomeUnknown, match="100 ms"):
            await waiting
        stall.gate.set()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_each_close_returns_when_nothing_runs_any_more(url: str, *, cancelled: bool) -> None:
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        assert journal.append_buffered(result_of(execution, 0))
        await stall.reached.wait()
        first = asyncio.create_task(journal.close())
        await turns()
        if cancelled:
            first.cancel()
        second = asyncio.create_task(journal.close())
        await turns()
        assert first.done() is cancelled
        assert not second.done()
        stall.gate.set()
        await second
        assert tasks_of_writers() == []
        assert journal.health().state is Health.CLOSED
        assert await backend.steps_of(execution) == ["0"]
        await asyncio.wait({first})


async def test_a_second_close_that_runs_out_of_time_does_not_cut_the_first_one_off(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with faulty(url, WriterSettings(close_timeout_ms=0)) as (backend, journal):
        execution = await begun(journal)
        under_way, ending = Stage(), Stage()

        async def outlasts(_: object) -> None:
            try:
                await under_way.pause()
            finally:
                await ending.pause()

        monkeypatch.setattr(backend, "append", outlasts)
        append = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await under_way.reached.wait()
        first = asyncio.create_task(journal.close())
        await ending.reached.wait()
        second = asyncio.create_task(journal.close())
        await turns()
        assert not first.done()
        assert not second.done()
        ending.gate.set()
        await asyncio.gather(first, second)
        assert tasks_of_writers() == []
        with pytest.raises(CommitOutcomeUnknown, match="closed before"):
            await append
