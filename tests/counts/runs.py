"""What is done while it is counted: each run has a journal of its own, and gives what it cost.

On any database: a run opens engines with `Open`, and what is counted of them is the dialect's own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final, Protocol

from durable_core import DurableEngine
from tests.counts.programs import (
    Steps,
    branches_and_then,
    guarded_steps,
    idempotent_steps,
    steps_and_then,
)
from tests.journals import begun, result_of

__all__ = ["RUNS", "WHOLE", "Costs", "Counters", "Open", "Run"]

AtEnd = Callable[[], Awaitable[object]]

Costs = dict[str, Counter[str]]
"""Case → what → how often."""

_FIVE: Final = 5
_MORE: Final = 24
"""With its beginning and end that makes 26 entries; those of five steps are 7. Both numbers have
three binary digits that are 1, so both take three of SQLite's `INSERT`s."""

_AT_ONCE: Final = 200
_SEGMENT: Final = 100
_LENGTHS: Final = (_SEGMENT, _SEGMENT, 2 * _SEGMENT)
_BRANCHES: Final = 10


class Counters(Protocol):
    """An engine, and all that is counted of it."""

    @property
    def engine(self) -> DurableEngine:
        """The engine."""
        ...

    async def of(self, work: Callable[[], Awaitable[object]]) -> Counter[str]:
        """What `work` costs, by the names of `numbers`."""
        ...


class Open(Protocol):
    """Opens an engine on the journal of a run."""

    def __call__(
        self, workflow: Steps, *, recover: bool = ...
    ) -> AbstractAsyncContextManager[Counters]:
        """To be entered with `async with`."""
        ...


WHOLE: Final = frozenset({"largest batch"})
"""What is counted of a whole run, and cannot be shared out."""

Run = Callable[[Open], Coroutine[Any, Any, Costs]]


async def _one_after_the_other(kind: str, workflow: Steps, opened: Open) -> Costs:
    async with opened(workflow) as counters:
        run = partial(_completed, counters.engine, workflow)
        await run(_FIVE)  # prepares what is prepared once
        five = await counters.of(partial(run, _FIVE))
        more = await counters.of(partial(run, _MORE))
    return {
        f"{kind} step": _shared(more, five, _MORE - _FIVE),
        f"workflow of five {kind} steps": five,
    }


async def _at_once(kind: str, workflow: Steps, opened: Open) -> Costs:
    async with opened(workflow) as counters:
        run = partial(_completed, counters.engine, workflow, _FIVE)
        await run()

        async def all_of_them() -> None:
            await asyncio.gather(*(run() for _ in range(_AT_ONCE)))

        cost = await counters.of(all_of_them)
    return {f"{_AT_ONCE} workflows of five {kind} steps at once": cost}


async def _replay(opened: Open) -> Costs:
    _, (whole, replayed) = await _left_and_resumed(steps_and_then, opened)
    return {f"{_SEGMENT} steps resumed": whole, f"{_SEGMENT} replayed steps": replayed}


async def _in_branches(kind: str, opened: Open) -> Costs:
    program = partial(branches_and_then, name=kind, count=_BRANCHES)
    live, (_, replayed) = await _left_and_resumed(program, opened)
    where = f"{kind} steps in ten branches"
    return {f"{_SEGMENT} {where}": live, f"{_SEGMENT} replayed {where}": replayed}


async def _left_and_resumed(
    program: Callable[[AtEnd], Steps], opened: Open
) -> tuple[Counter[str], tuple[Counter[str], Counter[str]]]:
    """What a hundred more steps cost; of a resume elsewhere all, and what a hundred more cost.

    Three executions stay behind their steps, the first to prepare what is prepared once.
    """
    arrived: asyncio.Queue[None] = asyncio.Queue()
    ids = []

    async def stay() -> None:
        arrived.put_nowait(None)
        await asyncio.Event().wait()

    async def live(steps: int) -> None:
        ids.append((await counters.engine.start(left, steps)).id)
        await arrived.get()
        await counters.engine.flush()

    async def resume(steps: int) -> None:
        handle = await counters.engine.resume(ids.pop(0))
        assert await handle.result() == sum(range(steps))

    left = program(stay)
    async with opened(left) as counters:
        made = [await counters.of(partial(live, steps)) for steps in _LENGTHS]
    async with opened(program(partial(asyncio.sleep, 0)), recover=False) as counters:
        replayed = [await counters.of(partial(resume, steps)) for steps in _LENGTHS]
    _, whole, longer = replayed
    return _shared(made[2], made[1], 1), (whole, _shared(longer, whole, 1))


async def _lone_append(opened: Open) -> Costs:
    async with opened(guarded_steps) as counters:
        journal = counters.engine.parts.journal
        execution_id = await begun(journal)
        await journal.append_acked(result_of(execution_id, 0))
        entry = result_of(execution_id, 1)
        cost = await counters.of(partial(journal.append_acked, entry))
    return {"lone acknowledged append": cost}


async def _completed(engine: DurableEngine, workflow: Steps, steps: int) -> None:
    assert await engine.run(workflow, steps) == sum(range(steps))


def _shared(more: Counter[str], fewer: Counter[str], parts: int) -> Counter[str]:
    """What each of the parts costs of which one has more; all but calls come out even."""
    shared: Counter[str] = Counter()
    for what in more.keys() - WHOLE:
        shared[what], left = divmod(more[what] - fewer[what], parts)
        assert left == 0 or what == "calls", f"{left} {what} beside {shared[what]} for each"
    return shared


RUNS: Final[dict[str, Run]] = {
    "guarded": partial(_one_after_the_other, "guarded", guarded_steps),
    "idempotent": partial(_one_after_the_other, "idempotent", idempotent_steps),
    "guarded-at-once": partial(_at_once, "guarded", guarded_steps),
    "idempotent-at-once": partial(_at_once, "idempotent", idempotent_steps),
    "replay": _replay,
    "guarded-branches": partial(_in_branches, "guarded"),
    "idempotent-branches": partial(_in_branches, "idempotent"),
    "append": _lone_append,
}
