"""Who waits for room in the queue is woken in turn, and nobody's turn is lost."""

from __future__ import annotations

import asyncio

import pytest

from durable_core.conformance.faults import Stall
from durable_core.errors import ExecutionTerminal, JournalUnavailable
from durable_core.journal import WriterSettings
from durable_core.journal.batching import Pending
from durable_core.journal.intake import Intake
from durable_core.model.entries import ExecutionFinished
from durable_core.model.execution import Status
from tests.faults import faulty
from tests.holding import turns
from tests.journals import begun, result_of

NARROW = WriterSettings(acked_capacity=1, flush_interval_ms=60_000)
CROWDED = WriterSettings(queue_capacity=8, flush_interval_ms=60_000)
"""One buffered append is as many as leave no room to begin an execution."""

FULL = JournalUnavailable("the disk is full")


def buffered() -> Pending:
    pending = Pending()
    pending.future = None
    return pending


def acknowledged() -> Pending:
    pending = Pending()
    pending.future = asyncio.get_running_loop().create_future()
    return pending


@pytest.mark.parametrize("waiting", [1, 2])
async def test_room_is_kept_for_who_is_woken_by_a_callback_of_his_turn(waiting: int) -> None:
    """As a run is, which waits on when its workflow is cancelled: one turn of the loop later."""
    intake, appended, rooms = Intake(NARROW), list[int](), list[bool]()

    def look() -> None:
        rooms.append(intake.takes_acknowledged)

    async def append(number: int) -> None:
        turn, woken = intake.turn(), asyncio.Event()
        # Somebody who has not waited, and comes just before.
        turn.add_done_callback(lambda _: turn.get_loop().call_soon(look))
        turn.add_done_callback(lambda _: woken.set())
        await woken.wait()
        assert turn.result()
        appended.append(number)
        intake.put(acknowledged())

    before = acknowledged()
    intake.put(before)
    tasks = [asyncio.create_task(append(number)) for number in range(waiting)]
    await asyncio.sleep(0)
    assert intake.take(1) == [before]
    intake.settle(before)
    intake.announce()
    await turns()
    assert appended == [0]
    assert rooms == [False]
    for task in tasks:
        task.cancel()


async def test_a_waiter_that_is_cancelled_when_it_was_woken_hands_its_turn_on(url: str) -> None:
    async with faulty(url, NARROW) as (backend, journal):
        execution = await begun(journal)
        lane = journal.attach((await backend.real.heads([execution.bytes]))[0])
        stall = Stall()
        backend.faults.append(stall)
        held = journal.writer.submit(lane, result_of(execution, 0))
        await stall.reached.wait()
        first, second, third = (
            asyncio.create_task(journal.append_acked(result_of(execution, step)))
            for step in (1, 2, 3)
        )
        await asyncio.sleep(0)
        # Called between the wake-up of the first waiter and that waiter's own next step.
        held.add_done_callback(lambda _: first.cancel())
        second.cancel()
        stall.gate.set()
        await held
        assert await third == 3
        assert first.cancelled()
        assert second.cancelled()


async def test_a_waiter_that_is_refused_when_it_was_woken_hands_its_turn_on(url: str) -> None:
    async with faulty(url, NARROW) as (backend, journal):
        ended, other = await begun(journal), await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        finished = ExecutionFinished(ended, 0, Status.COMPLETED, b"\x00\xf6")
        held = asyncio.create_task(journal.append_acked(finished))
        await stall.reached.wait()
        refused = asyncio.create_task(journal.append_acked(result_of(ended, 0)))
        waiting = asyncio.create_task(journal.append_acked(result_of(other, 0)))
        await asyncio.sleep(0)
        stall.gate.set()
        await held
        with pytest.raises(ExecutionTerminal):
            await refused
        assert await waiting == 4


async def test_who_waits_comes_before_who_has_just_appended(url: str) -> None:
    async with faulty(url, NARROW) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)

        async def again_and_again() -> list[int]:
            return [await journal.append_acked(result_of(execution, step)) for step in range(3)]

        first = asyncio.create_task(again_and_again())
        await stall.reached.wait()
        waiting = [
            asyncio.create_task(journal.append_acked(result_of(execution, step))) for step in (3, 4)
        ]
        await asyncio.sleep(0)
        stall.gate.set()
        assert await asyncio.gather(*waiting) == [3, 4]
        assert await first == [2, 5, 6]


async def test_waiters_that_gave_up_take_no_place(url: str) -> None:
    async with faulty(url, NARROW) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        held = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await stall.reached.wait()
        gone = [
            asyncio.create_task(journal.append_acked(result_of(execution, step)))
            for step in range(1, 6)
        ]
        last = asyncio.create_task(journal.append_acked(result_of(execution, 6)))
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        stall.gate.set()
        assert [await held, await last] == [2, 3]


async def test_when_the_store_fails_everybody_who_waits_for_room_is_told(url: str) -> None:
    """Also those beyond the room that the failure makes."""
    settings = WriterSettings(acked_capacity=3)
    async with faulty(url, settings) as (backend, journal):
        execution = await begun(journal)
        lane = journal.attach((await backend.real.heads([execution.bytes]))[0])
        stall = Stall()
        backend.faults.extend([stall, FULL])
        appends = [
            asyncio.create_task(journal.writer.append(lane, result_of(execution, step)))
            for step in range(20)
        ]
        await stall.reached.wait()
        backend.probe_faults.append(FULL)
        stall.gate.set()
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        assert outcomes[:3] == [2, 3, 4]
        assert [type(outcome) for outcome in outcomes[3:]] == [JournalUnavailable] * 17


async def test_who_begins_an_execution_waits_until_the_queue_is_short(url: str) -> None:
    """In turn, and nobody waits for company that would be let in behind him."""
    async with faulty(url, CROWDED) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        await journal.writer.room_to_start()
        assert journal.append_buffered(result_of(execution, 0))
        entered: list[int] = []

        async def enter(number: int) -> None:
            await journal.writer.room_to_start()
            entered.append(number)
            assert journal.append_buffered(result_of(execution, number))

        waiting = [asyncio.create_task(enter(number)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        assert entered == []
        await stall.reached.wait()
        await turns()
        assert entered == [1]
        stall.gate.set()
        await asyncio.gather(*waiting)
        assert entered == [1, 2, 3]
        await journal.flush()


async def test_who_was_let_in_and_begins_nothing_lets_the_next_one_in() -> None:
    intake = Intake(CROWDED)
    appended = buffered()
    intake.put(appended)
    first, second, third, fourth = (asyncio.create_task(intake.entrance.turn()) for _ in range(4))
    await asyncio.sleep(0)
    assert not intake.entrance.open
    second.cancel()
    assert intake.take(1) == [appended]
    first.cancel()  # between his turn and his own next step
    await asyncio.gather(third, fourth)  # of whom neither appends anything
    assert first.cancelled()
    assert second.cancelled()
    await turns()
    assert intake.entrance.open


@pytest.mark.parametrize("let_in", [False, True])
async def test_whoever_is_closed_while_he_waits_leaves_his_place(*, let_in: bool) -> None:
    """Before he was let in, and between that and his own next step."""
    intake = Intake(CROWDED)
    intake.put(buffered())
    closed = intake.entrance.turn()
    closed.send(None)
    behind = asyncio.create_task(intake.entrance.turn())
    await asyncio.sleep(0)
    if let_in:
        intake.take(1)
    closed.close()
    if not let_in:
        intake.take(1)
    await turns()
    assert behind.done()
    assert intake.entrance.open


async def test_whoever_was_overtaken_comes_first_the_next_time() -> None:
    intake, entered = Intake(CROWDED), list[str]()

    async def enter(name: str, *, overtaken: bool = False) -> None:
        await intake.entrance.turn()
        if overtaken:
            await intake.entrance.turn(again=True)
        entered.append(name)

    intake.put(buffered())
    first = asyncio.create_task(enter("first", overtaken=True))
    second = asyncio.create_task(enter("second"))
    await asyncio.sleep(0)
    intake.take(1)
    intake.put(buffered())  # by somebody who was faster
    await turns()
    assert entered == []
    intake.take(1)
    await asyncio.gather(first, second)
    assert entered == ["first", "second"]


async def test_when_the_store_fails_everybody_who_waits_to_begin_is_told(url: str) -> None:
    async with faulty(url, CROWDED) as (backend, journal):
        execution = await begun(journal)
        lane = journal.attach((await backend.real.heads([execution.bytes]))[0])
        stall = Stall()
        backend.faults.extend([stall, FULL])
        held = journal.writer.submit(lane, result_of(execution, 0))
        await stall.reached.wait()
        assert journal.append_buffered(result_of(execution, 1))
        waiting = [asyncio.create_task(journal.writer.room_to_start()) for _ in range(5)]
        await turns()
        assert not any(task.done() for task in waiting)
        backend.probe_faults.append(FULL)
        stall.gate.set()
        assert await held == 2
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert JournalUnavailable in [type(outcome) for outcome in outcomes]
        assert {type(outcome) for outcome in outcomes} <= {JournalUnavailable, type(None)}
        with pytest.raises(JournalUnavailable):
            await journal.writer.room_to_start()
