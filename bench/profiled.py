"""What a step costs by the clocks, and what the event loop's thread calls for it."""

from __future__ import annotations

import cProfile
import gc
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Final

from attrs import define, frozen

__all__ = ["Calls", "Cost", "Work", "median_of", "profiled", "timed"]

Work = Callable[[], Awaitable[int]]
"""Does something to profile; how many steps that were."""

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
_US: Final = 1e6


@frozen
class Cost:
    """The microseconds of one step: by the wall clock, of the processor, and within both.

    `thread` is the share of the event loop's thread in `processor`, `collecting` that of the
    garbage collector.
    """

    wall: float
    processor: float
    thread: float
    collecting: float


@frozen
class Calls:
    """How often one step calls a function, and its microseconds without and with what it calls."""

    calls: float
    own: float
    cumulative: float


async def timed(work: Work) -> Cost:
    """Do the work without a profiler."""
    gc.collect()
    clocks = time.perf_counter, time.process_time, time.thread_time
    with _collecting() as collected:
        began = [clock() for clock in clocks]
        steps = await work()
        ended = [clock() for clock in reversed(clocks)]  # so that each lies within the one before
    took = (after - before for before, after in zip(began, reversed(ended), strict=True))
    wall, processor, thread = (seconds * _US / steps for seconds in took)
    return Cost(wall, processor, thread, collected.seconds * _US / steps)


def median_of(costs: list[Cost]) -> Cost:
    """The median of each figure by itself."""
    return Cost(
        *(
            statistics.median(getattr(cost, name) for cost in costs)
            for name in ("wall", "processor", "thread", "collecting")
        )
    )


async def profiled(work: Work) -> Mapping[str, Calls]:
    """Do the work under cProfile; what its thread calls, by function.

    Each time that a coroutine is gone on with counts as a call of it.
    """
    gc.collect()
    profile = cProfile.Profile()
    profile.enable()
    steps = await work()
    profile.disable()
    found: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for entry in profile.getstats():
        sums = found[_name(entry.code)]
        for index, value in enumerate((entry.callcount, entry.inlinetime, entry.totaltime)):
            sums[index] += value
    return {
        name: Calls(calls / steps, own * _US / steps, cumulative * _US / steps)
        for name, (calls, own, cumulative) in found.items()
    }


@define
class _Collected:
    seconds: float = 0.0
    began: float = 0.0


@contextmanager
def _collecting() -> Iterator[_Collected]:
    """Measure what the garbage collector takes of the processor within the block."""
    collected = _Collected()

    def heard(phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            collected.began = time.thread_time()
        else:
            collected.seconds += time.thread_time() - collected.began

    gc.callbacks.append(heard)
    try:
        yield collected
    finally:
        gc.callbacks.remove(heard)


def _name(code: CodeType | str) -> str:
    """`package.module:Class.function`, or what Python calls it where it is not of Python."""
    if isinstance(code, str):
        return _ADDRESS.sub("", code)
    path = Path(code.co_filename)
    above = [Path(entry) for entry in sys.path if entry and path.is_relative_to(entry)]
    if not above:
        return f"{code.co_filename}:{code.co_qualname}"
    nearest = max(above, key=lambda entry: len(entry.parts))
    module = path.relative_to(nearest).with_suffix("")
    return f"{'.'.join(module.parts).removesuffix('.__init__')}:{code.co_qualname}"
