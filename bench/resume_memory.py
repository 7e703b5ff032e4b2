"""NFR-10: what a long execution takes in memory while it is resumed, over a short one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bench.figures import Bar, Figure, Unit
from bench.kinds import Kind, mixed, sequential
from bench.memory import traced
from bench.resuming import left_running, resume
from bench.rounds import Plan

__all__ = ["measure"]

_BAR: Final = Bar(1.2)
_SHORT: Final = 1000
_MIB: Final = 1 << 20


async def measure(plan: Plan) -> list[Figure]:
    """100,000 steps, and as many entries of all kinds as there is time for."""
    return [
        await _figure(plan, sequential, plan.size(100_000, 10_000)),
        await _figure(plan, mixed, plan.size(20_000, 5000)),
    ]


async def _figure(plan: Plan, kind: Callable[[int], Kind], size: int) -> Figure:
    await _peak(plan, kind(_SHORT))  # what is made once, by whoever comes first
    reference = await _peak(plan, kind(_SHORT))
    ours = await _peak(plan, kind(size))
    what = f"memory while {kind(size).what} are resumed, against {_SHORT:,}"
    return Figure("NFR-10", what, Unit.MEBIBYTES, ours, ours / reference, reference, bar=_BAR)


async def _peak(plan: Plan, kind: Kind) -> float:
    with plan.fresh_path() as path:
        execution_id = await left_running(path, kind)
        with traced() as allocated:
            before = allocated.now
            allocated.reset_peak()
            await resume(path, execution_id, kind)
            return (allocated.peak - before) / _MIB
