"""100,000 armed timers: their memory, how late each of them wakes, and what that costs.

First the timer service by itself, then workflows in `ctx.sleep_until`, whose wake is journaled.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from bench.engines import fresh_engine, verified
from bench.figures import Figure, Unit
from bench.memory import traced
from bench.rounds import Plan, percentile
from durable_core import DurableContext, workflow
from durable_core.clock import SystemClock
from durable_core.engine.definition import Workflow
from durable_core.engine.timers import Timers

__all__ = ["measure"]

_NAME: Final = "timers"
_SPREADS_S: Final = (5, 0)
_LEAD_S: Final = 6.0
_PAUSE_S: Final = 0.001
_SCATTER: Final = 7919
"""A prime, so that timers are armed in another order than they are due."""


async def measure(plan: Plan) -> list[Figure]:
    """Due one after the other within some seconds, and all at once."""
    count, asleep = plan.size(100_000, 10_000), plan.size(2000, 500)
    return [
        await _memory(count),
        *[await _service(count, spread) for spread in _SPREADS_S],
        *[await _workflows(plan, asleep, spread) for spread in _SPREADS_S],
    ]


def _due_times(count: int, spread: int, lead_s: float) -> list[int]:
    first = SystemClock().now_ms() + round(lead_s * 1000)
    return [first + n * _SCATTER % count * spread * 1000 // count for n in range(count)]


async def _memory(count: int) -> Figure:
    timers = Timers(SystemClock())
    due = _due_times(count, 3600, 3600)
    with traced() as allocated:
        before = allocated.now
        armed = [timers.at(each) for each in due]
        weight = (allocated.now - before) / len(armed)
    timers.close()
    return Figure(_NAME, f"{count:,} armed: memory of one", Unit.BYTES, weight, weight)


async def _service(count: int, spread: int) -> Figure:
    timers = Timers(SystemClock())
    late: list[float] = []
    done = asyncio.Event()
    due_times = _due_times(count, spread, _LEAD_S)

    def arm(due: int) -> None:
        def woken(_: object) -> None:
            late.append(time.time() * 1000 - due)
            if len(late) == count:
                done.set()

        timers.at(due).add_done_callback(woken)

    for due in due_times:
        arm(due)
    assert not late, "not all of them are armed when the first one is due"
    used, longest = time.process_time(), asyncio.create_task(_longest_turn(done))
    await done.wait()
    used = time.process_time() - used
    assert len(timers) == 0, "a timer is left"
    note = f"CPU {used:.2g} s, and no turn of the event loop took over {await longest:.0f} ms"
    return _lateness(f"{count:,} armed, {_how(spread)}: late", late, note)


async def _longest_turn(done: asyncio.Event) -> float:
    """By how many milliseconds a call of the event loop came late at most."""
    longest = 0.0
    while not done.is_set():
        before = time.monotonic()
        await asyncio.sleep(_PAUSE_S)
        longest = max(longest, time.monotonic() - before - _PAUSE_S)
    return longest * 1000


def _program(due_times: asyncio.Future[list[int]], late: list[float]) -> Workflow[[int], None]:
    @workflow(name="asleep")
    async def asleep(ctx: DurableContext, number: int) -> None:
        due_ms = (await due_times)[number]  # once all of them have begun
        await ctx.sleep_until(datetime.fromtimestamp(due_ms / 1000, UTC))
        late.append(time.time() * 1000 - due_ms)

    return asleep


async def _workflows(plan: Plan, count: int, spread: int) -> Figure:
    late: list[float] = []
    due_times: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
    program = _program(due_times, late)
    async with fresh_engine(plan, [program]) as engine:
        handles = await asyncio.gather(*(engine.start(program, n) for n in range(count)))
        due_times.set_result(_due_times(count, spread, _LEAD_S))
        await asyncio.sleep(1)
        await engine.flush()
        assert not late, "not all of them sleep when the first one is woken"
        used = time.process_time()
        await asyncio.gather(*(handle.result() for handle in handles))
        used = time.process_time() - used
        await verified(engine, count)
    assert min(late) >= 0, "a workflow was woken early"
    what = f"{count:,} workflows asleep, {_how(spread)}: late"
    return _lateness(what, late, f"CPU {used:.2g} s")


def _how(spread: int) -> str:
    return f"due within {spread} s" if spread else "all due at once"


def _lateness(what: str, late: Sequence[float], note: str) -> Figure:
    middle = statistics.median(late)
    note = f"p99 {percentile(late, 99):.3g} ms; {note}"
    return Figure(_NAME, what, Unit.MILLISECONDS, middle, middle, note=note)
