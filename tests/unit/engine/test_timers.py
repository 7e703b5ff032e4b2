"""The timers of an engine: one heap, woken by the wall clock."""

from __future__ import annotations

import asyncio

from attrs import define

from durable_core.engine.timers import Timers


@define
class HandClock:
    """Shows what the test sets."""

    now: int = 1_000_000

    def now_ms(self) -> int:
        return self.now


async def test_due_times_come_in_their_order() -> None:
    timers, woken = Timers(HandClock()), []
    for due in (1_000_000, 5, 999_999, 6):
        timers.at(due).add_done_callback(lambda _, due=due: woken.append(due))  # type: ignore[misc]
    await timers.at(1_000_000)
    await asyncio.sleep(0)
    assert woken == [5, 6, 999_999, 1_000_000]
    assert len(timers) == 0


async def test_the_wall_clock_counts_and_not_the_loops() -> None:
    """A clock that was set forward makes due what the loop would wait for much longer."""
    clock = HandClock()
    timers = Timers(clock)
    later = timers.at(clock.now + 3_600_000)
    clock.now += 3_600_000
    await timers.at(clock.now - 1)
    await later


async def test_what_is_not_due_is_not_woken() -> None:
    clock = HandClock()
    timers = Timers(clock)
    later = timers.at(clock.now + 60_000)
    await timers.at(clock.now)
    assert not later.done()
    assert len(timers) == 1
    timers.close()


async def test_a_cancelled_timer_is_forgotten() -> None:
    clock = HandClock()
    timers = Timers(clock)
    armed = [timers.at(clock.now + 60_000 + each) for each in range(1000)]
    for timer in armed[:-1]:
        timer.cancel()
    await asyncio.sleep(0)
    assert len(timers) == 1
    assert len(timers._heap) < 500
    timers.close()
    await asyncio.wait(armed)
    assert armed[-1].cancelled()
    assert len(timers) == 0


async def test_a_timer_that_is_cancelled_first_does_not_hold_up_the_next() -> None:
    timers = Timers(HandClock())
    first, second = timers.at(5), timers.at(6)
    first.cancel()
    await second
    assert len(timers) == 0


async def test_many_that_are_due_at_once_leave_turns_to_others() -> None:
    timers = Timers(HandClock())
    armed = [timers.at(5) for _ in range(2500)]
    await armed[0]
    assert not armed[-1].done()
    await asyncio.gather(*armed)
    assert len(timers) == 0
