"""Whose turn it is among steps that wait at the same time, and when the program has acted on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from durable_core.engine.sequence import LAST, Sequence, Turn
from tests.holding import turns


class Waiters:
    """Tasks that wait at places, and the order in which they went on; some do something then.

    None of them ends before all have gone on: the end of a task is something that it causes.
    """

    def __init__(self, sequence: Sequence) -> None:
        self.told: list[object] = []
        self._sequence = sequence
        self._left = 0
        self._all_told = asyncio.Event()

    async def wait(self, *places: int, act: Callable[[], object] = bool) -> None:
        self._left += len(places)
        for place in places:
            turn: Turn | None = self._sequence.turn(place)
            while turn is not None:
                await turn
                turn = self._sequence.after(turn)
            self.told.append(place)
            act()
            self._left -= 1
        if not self._left:
            self._all_told.set()
        await self._all_told.wait()

    async def widen(self) -> None:
        """As many go on that the next ones are woken together."""
        await asyncio.gather(*(self.wait(place) for place in range(40)))
        assert self.told == list(range(40))
        self.told.clear()
        self._all_told.clear()


@pytest.fixture
def sequence() -> Sequence:
    return Sequence()


async def test_the_next_one_is_answered_when_nothing_else_is_about_to_run(
    sequence: Sequence,
) -> None:
    sequence.deepen(10**9)  # by turns alone, the second answer would never come
    waiters = Waiters(sequence)
    await asyncio.gather(*(waiters.wait(place) for place in (2, 1, 3)))
    assert waiters.told == [1, 2, 3]


async def test_what_one_causes_comes_before_those_that_were_woken_with_it(
    sequence: Sequence,
) -> None:
    waiters = Waiters(sequence)
    await waiters.widen()
    loop = asyncio.get_running_loop()

    def act() -> None:
        loop.call_soon(loop.call_soon, waiters.told.append, "caused")

    await asyncio.gather(
        *(waiters.wait(place, act=act if place == 3 else bool) for place in range(6)),
    )
    assert waiters.told == [0, 1, 2, 3, "caused", 4, 5]


async def test_what_stands_sooner_comes_before_those_that_were_woken_already(
    sequence: Sequence,
) -> None:
    waiters = Waiters(sequence)
    await waiters.widen()
    await asyncio.gather(waiters.wait(10, 25), *(waiters.wait(place) for place in (20, 30, 40)))
    assert waiters.told == [10, 20, 25, 30, 40]


async def test_of_those_at_one_place_the_first_that_asked_comes_first(sequence: Sequence) -> None:
    waiters = Waiters(sequence)
    await waiters.widen()
    loop = asyncio.get_running_loop()
    acts = [lambda name=name: waiters.told.append(name) for name in "abc"]
    causes = [lambda act=act: (act(), loop.call_soon(int)) for act in acts]
    await asyncio.gather(*(waiters.wait(LAST, act=cause) for cause in causes))
    assert waiters.told == [LAST, "a", LAST, "b", LAST, "c"]


async def test_what_is_next_need_not_wait(sequence: Sequence) -> None:
    assert sequence.is_next(7)
    waiting = asyncio.ensure_future(Waiters(sequence).wait(5))
    assert not sequence.is_next(3), "a task is about to begin"
    await asyncio.sleep(0)
    assert sequence.is_next(3)
    assert not sequence.is_next(5)
    assert not sequence.is_next(7)
    asyncio.get_running_loop().call_soon(int)
    assert not sequence.is_next(3), "something is about to run"
    await waiting
    await turns(20)
    assert sequence.is_next(7)
    assert not sequence.busy


async def test_who_is_woken_comes_before_what_stands_behind_it(sequence: Sequence) -> None:
    waiters = Waiters(sequence)
    await waiters.widen()
    asked: list[bool] = []
    await asyncio.gather(
        waiters.wait(1, act=lambda: asked.extend(map(sequence.is_next, (2, 3, 4)))),
        waiters.wait(3),
    )
    assert asked == [True, False, False]


async def test_what_is_read_beside_is_nothing_that_the_program_does(sequence: Sequence) -> None:
    async def read() -> None:
        pass

    reading = sequence.beside(lambda: asyncio.ensure_future(read()))
    assert sequence.is_next(1)
    await reading
    await turns()
    assert sequence.is_next(1)
    sequence.beside(bool)
    asyncio.get_running_loop().call_soon(int)
    assert not sequence.is_next(1)


async def test_a_turn_can_be_cancelled_until_its_place_is_known(sequence: Sequence) -> None:
    open_turn, placed = sequence.without_place(), sequence.without_place()
    sequence.let_in(placed, 1)
    assert open_turn.cancel()
    assert not placed.cancel()
    await placed
    assert sequence.after(placed) is None
    assert sequence.after(open_turn) is None


async def test_one_that_nobody_waits_for_any_more_holds_nobody_up(sequence: Sequence) -> None:
    waiters = Waiters(sequence)
    abandoned = sequence.turn(0)
    await asyncio.gather(waiters.wait(2), waiters.wait(1))
    assert abandoned.done()
    assert waiters.told == [1, 2]


async def test_a_busy_loop_holds_nobody_up_for_ever(sequence: Sequence) -> None:
    waiters, loop = Waiters(sequence), asyncio.get_running_loop()
    going = True

    def busy() -> None:
        if going:
            loop.call_soon(busy)

    busy()
    await asyncio.gather(waiters.wait(2), waiters.wait(1))
    going = False
    assert waiters.told == [1, 2]


async def test_of_a_loop_that_does_not_say_what_it_is_about_to_run_nothing_is_assumed(
    sequence: Sequence,
) -> None:
    assert sequence._rests(asyncio.get_running_loop())
    assert not sequence._rests(cast("asyncio.AbstractEventLoop", object()))


async def test_a_step_that_comes_to_wait_is_nothing_to_wait_for(sequence: Sequence) -> None:
    loop = asyncio.get_running_loop()
    turn = sequence.turn(1)
    assert sequence._rests(loop)
    loop.call_soon(int)
    assert not sequence._rests(loop)
    await turn


async def test_nobody_comes_before_what_is_on_its_way_to_a_lower_place(sequence: Sequence) -> None:
    waiters, loop = Waiters(sequence), asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()
    sequence.expect(2, first)
    sequence.expect(4, second)
    waiting = [asyncio.create_task(waiters.wait(place)) for place in (1, 3, 5)]
    await turns(100)
    assert waiters.told == [1]
    assert sequence.busy
    first.add_done_callback(lambda _: waiting.append(asyncio.create_task(waiters.wait(2))))
    first.set_result(7)
    await turns(100)
    assert waiters.told == [1, 2, 3]
    assert not sequence.is_next(5)
    second.cancel()
    await asyncio.gather(*waiting)
    assert waiters.told == [1, 2, 3, 5]


@pytest.mark.parametrize("committed_at", range(3 * 12))
async def test_what_was_on_its_way_comes_first_however_busy_the_loop_is(
    sequence: Sequence, committed_at: int
) -> None:
    """Whoever waits for its commit asks for a turn some turns of the loop later."""
    loop = asyncio.get_running_loop()
    waiters = Waiters(sequence)
    committed: asyncio.Future[int] = loop.create_future()

    async def told_when_committed() -> None:
        await committed
        await turns(2)
        await waiters.wait(4)

    sequence.expect(4, committed)
    busy = asyncio.create_task(turns(1_000))
    waiting = [asyncio.create_task(waiters.wait(5)), asyncio.create_task(told_when_committed())]
    await turns(committed_at)
    committed.set_result(1)
    await turns(100)
    assert not busy.done()
    assert waiters.told == [4, 5]
    busy.cancel()
    await asyncio.wait([busy, *waiting])
