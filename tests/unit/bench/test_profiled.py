"""A profile counts by function and by step, and names what it counts."""

from __future__ import annotations

import asyncio

from bench.profiled import Cost, median_of, profiled, timed


def called() -> None:
    pass


async def four_steps() -> int:
    for _ in range(8):
        called()
        await asyncio.sleep(0)
    return 4


async def test_calls_are_counted_by_step_and_named_by_their_place() -> None:
    found = await profiled(four_steps)
    assert found[f"{__name__}:called"].calls == 2.0
    assert found["asyncio.base_events:BaseEventLoop._run_once"].calls == 2.0


async def test_a_coroutine_counts_each_time_that_it_goes_on() -> None:
    found = await profiled(four_steps)
    assert found[f"{__name__}:four_steps"].calls == 9 / 4


async def test_a_function_costs_what_it_calls_too() -> None:
    found = await profiled(four_steps)
    work = found[f"{__name__}:four_steps"]
    assert work.cumulative >= work.own + found[f"{__name__}:called"].own > 0


async def test_nothing_is_profiled_behind_the_work() -> None:
    await profiled(four_steps)
    called()
    found = await profiled(four_steps)
    assert found[f"{__name__}:called"].calls == 2.0


async def test_the_thread_takes_a_share_of_what_the_process_takes() -> None:
    cost = await timed(four_steps)
    assert 0 < cost.thread <= cost.processor


def test_a_median_is_taken_of_each_figure_by_itself() -> None:
    costs = [Cost(1, 9, 5, 0), Cost(2, 8, 4, 0), Cost(3, 7, 6, 0)]
    assert median_of(costs) == Cost(2, 8, 5, 0)
