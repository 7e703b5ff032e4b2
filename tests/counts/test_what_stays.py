"""What is left of steps that are done: nothing that grows with them.

A workflow of any length is to run in the memory of a short one. Whatever keeps something for each
step, a cache without a bound or a list that nobody clears, shows here.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.counts.cases import Case
from tests.counts.numbers import KEPT
from tests.counts.programs import steps_and_then
from tests.counts.runs import Costs, Open
from tests.counts.sqlite import on_sqlite

_STEPS: Final = 100
_ROUNDS: Final = 4


async def _kept(case: Case, opened: Open) -> Costs:
    """What so many further steps have left; the batch in hand is equal before and after them."""
    flushes: asyncio.Queue[asyncio.Event] = asyncio.Queue()
    counts: list[int] = []

    async def look() -> None:
        flushes.put_nowait(flushed := asyncio.Event())
        await flushed.wait()
        gc.collect()
        # The driver clears its weak references to cursors by the hundred.
        counts.append(sum(type(one) is not weakref.ref for one in gc.get_objects()))

    program = steps_and_then(look, case.run, rounds=_ROUNDS)
    async with opened(program) as counters:
        handle = await counters.engine.start(program, _STEPS)
        for _ in range(_ROUNDS):
            flushed = await flushes.get()
            await counters.engine.flush()
            flushed.set()
        assert await handle.result() == sum(range(_ROUNDS * _STEPS))
    _, before, after, _ = counts  # at the first something is made once, at the last all ends
    return {case.name: Counter({"objects kept": after - before})}


@pytest.mark.parametrize("case", KEPT, ids=lambda case: case.run)
def test_what_stays(case: Case, tmp_path: Path) -> None:
    costs = on_sqlite(partial(_kept, case), tmp_path / "journal.db")
    broken = list(case.broken(costs[case.name]))
    assert not broken, "\n".join(broken)
