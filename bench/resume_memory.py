"""NFR-10: what a long execution takes in memory while it is resumed, over shorter ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bench.curves import Curve, point_of
from bench.figures import Bar, Figure, Unit
from bench.kinds import Kind, mixed, sequential
from bench.memory import traced
from bench.resuming import left_running, resume
from bench.rounds import Plan

__all__ = ["measure"]

_BAR: Final = Bar(1.2)
_SHORT: Final = 1000
_MIB: Final = 1 << 20


async def measure(plan: Plan) -> list[Figure | Curve]:
    """100,000 steps, and as many entries of all kinds as there is time for."""
    return [
        *await _lines(plan, sequential, (10_000, plan.size(100_000, 20_000))),
        *await _lines(plan, mixed, (5000, plan.size(20_000, 10_000))),
    ]


async def _lines(
    plan: Plan, kind: Callable[[int], Kind], sizes: Sequence[int]
) -> tuple[Figure, Curve]:
    """The longest against a short one, and all of them."""
    await _peak(plan, kind(_SHORT))  # what is made once, by whoever comes first
    peaks = {size: await _peak(plan, kind(size)) for size in (_SHORT, *sizes)}
    reference, ours = peaks[_SHORT], peaks[max(sizes)]
    what = f"memory while {kind(max(sizes)).what} are resumed, against {_SHORT:,}"
    figure = Figure("NFR-10", what, Unit.MEBIBYTES, ours, ours / reference, reference, bar=_BAR)
    points = tuple(point_of(size, [peak]) for size, peak in peaks.items())
    _, _, resumed = kind(_SHORT).what.partition(" ")
    value, axis, unit = "memory", "entries of an execution", Unit.MEBIBYTES
    return figure, Curve("curve-memory", value, f"{resumed} resumed", axis, unit, points)


async def _peak(plan: Plan, kind: Kind) -> float:
    with plan.fresh_path() as path:
        execution_id = await left_running(path, kind)
        with traced() as allocated:
            before = allocated.now
            allocated.reset_peak()
            await resume(path, execution_id, kind)
            return (allocated.peak - before) / _MIB
