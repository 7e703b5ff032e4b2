"""`python -m bench.profile`: where the time of a step goes, written as text into `profiles/`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from attrs import frozen

from bench.arguments import add_folder, folder, one_of, word
from bench.engines import fresh_engine, guarded_five, idempotent_five, verified
from bench.fives import Five, run_fives
from bench.journals import fresh_journal, result
from bench.kinds import Kind, branches, mixed, sequential
from bench.machine import commit, filesystem_of, machine_line
from bench.profiled import Calls, Cost, Work, median_of, profiled, timed
from bench.resuming import left_running, reopened
from bench.rounds import Plan

__all__ = ["WORKLOADS", "main"]

T = TypeVar("T")

_FOLDER: Final = Path(__file__).parent / "profiles"
_AT_ONCE: Final = 1000
_RESUMED: Final = 5000
_BRANCHES: Final = 100
_ROUNDS: Final = 3
_WARM: Final = 100
_SHOWN: Final = 40
_COUNTED: Final = {
    "turns of the event loop": "asyncio.base_events:BaseEventLoop._run_once",
    "callbacks that it ran": "asyncio.events:Handle._run",
    "wakes by other threads": "asyncio.selector_events:BaseSelectorEventLoop._read_from_self",
}


@frozen
class _Workload:
    """What is profiled; `prepared` yields the work, and checks on leaving what it has done."""

    what: str
    prepared: Callable[[Plan], AbstractAsyncContextManager[Work]]


def _fives(what: str, five: Five, at_once: int, full: int, quick: int) -> _Workload:
    @asynccontextmanager
    async def prepared(plan: Plan) -> AsyncIterator[Work]:
        workflows = plan.size(full, quick)
        async with fresh_engine(plan) as engine:
            await run_fives(engine, five, _WARM)
            yield lambda: run_fives(engine, five, workflows, at_once)
            await verified(engine, _WARM + workflows)

    return _Workload(what, prepared)


def _resumed(kind: Kind) -> _Workload:
    @asynccontextmanager
    async def prepared(plan: Plan) -> AsyncIterator[Work]:
        with plan.fresh_path() as path:
            execution_id = await left_running(path, kind)
            async with reopened(path, execution_id, kind) as resume:

                async def work() -> int:
                    await resume()
                    return _RESUMED

                yield work

    return _Workload(f"{kind.what} resumed, from the claim to the result", prepared)


def _appended(full: int, quick: int) -> _Workload:
    @asynccontextmanager
    async def prepared(plan: Plan) -> AsyncIterator[Work]:
        count = plan.size(full, quick)
        async with fresh_journal(plan) as journal:
            (execution_id,) = await journal.begin(1)

            async def work() -> int:
                for step in range(count):
                    await journal.writer.append_acked(result(execution_id, step))
                return count

            yield work
            stored = await journal.results([execution_id])
            assert len(stored) == count, "an acknowledged entry is not there"

    return _Workload("acknowledged appends, one after the other", prepared)


WORKLOADS: Final[Mapping[str, _Workload]] = MappingProxyType(
    {
        "guarded-sequential": _fives(
            "guarded steps, one workflow after the other", guarded_five, 1, 400, 100
        ),
        "guarded-concurrent": _fives(
            f"guarded steps of {_AT_ONCE:,} workflows at once", guarded_five, _AT_ONCE, 2000, 1000
        ),
        "idempotent-sequential": _fives(
            "idempotent steps, one workflow after the other", idempotent_five, 1, 1000, 100
        ),
        "idempotent-concurrent": _fives(
            f"idempotent steps of {_AT_ONCE:,} workflows at once",
            idempotent_five,
            _AT_ONCE,
            2000,
            1000,
        ),
        "lone-append": _appended(3000, 300),
        "resume": _resumed(sequential(_RESUMED)),
        "resume-branches": _resumed(branches(_RESUMED, _BRANCHES)),
        "resume-mixed": _resumed(mixed(_RESUMED)),
    }
)
"""What can be profiled, by name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile what the arguments name, or everything, and write a file of each; 0."""
    options = _parser().parse_args(arguments)
    logging.getLogger("durable_core").addHandler(logging.NullHandler())
    taken = f"{machine_line(filesystem_of(options.folder))}, commit {commit()}"
    label = f"-{options.label}" if options.label else ""
    for name in options.names or WORKLOADS:
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="durable-bench-") as place:
            text = _text(name, taken, Plan(Path(place), options.quick))
        path = options.into / f"{datetime.now(UTC):%Y-%m-%d}{label}-{name}.txt"
        path.write_text(text, encoding="utf-8")
        print(path)
    return 0


def _text(name: str, taken: str, plan: Plan) -> str:
    """The whole file: what it is of, what the clocks say, and the two tables of functions."""
    workload = WORKLOADS[name]
    cost = median_of([asyncio.run(_within(workload, plan, timed)) for _ in range(_ROUNDS)])
    functions = asyncio.run(_within(workload, plan, profiled))
    return "\n".join(
        (
            f"{name}: {workload.what}",
            taken,
            *_totals(cost, functions),
            *_table("own time", functions, lambda calls: calls.own),
            *_table("cumulative time", functions, lambda calls: calls.cumulative),
            "",
        )
    )


async def _within(workload: _Workload, plan: Plan, how: Callable[[Work], Awaitable[T]]) -> T:
    async with workload.prepared(plan) as work:
        return await how(work)


def _totals(cost: Cost, functions: Mapping[str, Calls]) -> Iterable[str]:
    yield "\nA step without the profiler, median of rounds:"
    for microseconds, what in (
        (cost.wall, "by the wall clock"),
        (cost.processor, "of the processor"),
        (cost.thread, "of that by the event loop's thread"),
        (cost.collecting, "of that by the garbage collector"),
    ):
        yield f"{microseconds:12,.1f} µs  {what}"
    yield "\nA step under the profiler, on the event loop's thread:"
    yield f"{sum(calls.own for calls in functions.values()):12,.1f} µs  by the wall clock"
    yield f"{sum(calls.calls for calls in functions.values()):12,.2f}     calls of functions"
    for what, function in _COUNTED.items():
        count = functions[function].calls if function in functions else 0.0
        yield f"{count:12,.3f}     {what}"


def _table(
    by: str, functions: Mapping[str, Calls], order: Callable[[Calls], float]
) -> Iterable[str]:
    yield f"\nPer step, by {by}, the first {_SHOWN}:"
    yield f"{'own µs':>10} {'all µs':>10} {'calls':>9}  function"
    ranked = sorted(functions.items(), key=lambda item: order(item[1]), reverse=True)
    for name, calls in ranked[:_SHOWN]:
        yield f"{calls.own:10.2f} {calls.cumulative:10.2f} {calls.calls:9.3f}  {name}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    parser.add_argument(
        "--label", type=word, default="", help="a word for the files' names, such as before"
    )
    parser.add_argument(
        "--into",
        type=folder,
        default=_FOLDER,
        metavar="DIR",
        help="where the files go (default: %(default)s)",
    )
    add_folder(parser)
    parser.add_argument(
        "names",
        nargs="*",
        type=one_of(WORKLOADS),
        metavar="name",
        help=f"what to profile, everything by default: {', '.join(WORKLOADS)}",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
