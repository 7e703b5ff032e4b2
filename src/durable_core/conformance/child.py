"""What the kit's child processes do: `python -m durable_core.conformance.child JOB CLASS URL …`.

`CLASS` is the backend as `module:name`. A job says a line when it is ready, and a line for each
thing that was acknowledged, so that a test knows what a killed process had been told.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Final

from durable_core.conformance.rows import Rows
from durable_core.contracts import BackendSettings, Durability, ExecutionBackend

__all__ = ["ENTRIES", "PRUNED", "WORKFLOW_KEY", "main"]

ENTRIES = 5
"""How many entries the job `write` appends; the last one ends the execution."""

PRUNED = 200
"""How many executions the job `prune-on` starts."""

WORKFLOW_KEY = "order-1"

_SETTINGS = BackendSettings(Durability.FULL, 5000)
_ROWS = Rows()


def _say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def _word() -> None:
    await asyncio.to_thread(sys.stdin.readline)


@asynccontextmanager
async def _opened(
    backend: type[ExecutionBackend], url: str, count: int = 1
) -> AsyncIterator[list[ExecutionBackend]]:
    """So many backends, opened at once; all that are open are closed on leaving.

    Also those beside one whose open failed: what is open may keep the process from ending.
    """
    opening = (backend.open(url, _SETTINGS) for _ in range(count))
    tries = await asyncio.gather(*opening, return_exceptions=True)
    opened = [one for one in tries if not isinstance(one, BaseException)]
    try:
        for failure in tries:
            if isinstance(failure, BaseException):
                raise failure
        yield opened
    finally:
        for one in opened:
            await one.close()


async def _open_some(backend: type[ExecutionBackend], url: str) -> None:
    """Wait for the word, then open a few times at once, use each, and close."""
    _say("ready")
    await _word()
    async with _opened(backend, url, 3) as opened:
        for one in opened:
            await one.probe()
    _say("done")


async def _write(backend: type[ExecutionBackend], url: str) -> None:
    """Append `ENTRIES` entries one by one; the number of each that is acknowledged."""
    async with _opened(backend, url) as (opened,):
        await opened.journal.append(_ROWS.start(1, execution_key=WORKFLOW_KEY))
        _say(1)
        for count in range(2, ENTRIES + 1):
            last = {"status": "completed", "finalized_at": 3000} if count == ENTRIES else {}
            await opened.journal.append(_ROWS.advance(count, 1, **last))
            _say(count)


async def _write_on(backend: type[ExecutionBackend], url: str) -> None:
    """Append batches of three executions until killed; the number of each batch."""
    async with _opened(backend, url) as (opened,):
        await opened.journal.append(_ROWS.start(1, 2, 3))
        count = 1
        while True:
            _say(count)
            count += 1
            await opened.journal.append(_ROWS.advance(count, 1, 2, 3))


async def _prune_on(backend: type[ExecutionBackend], url: str) -> None:
    """Delete executions that have ended, two at a time, until killed; how many times so far."""
    opened = await backend.open(url, _SETTINGS)
    ended = {"status": "completed", "finalized_at": 5}
    await opened.journal.append(_ROWS.start(*range(1, PRUNED + 1), **ended))
    for count in range(PRUNED // 2):
        _say(count)
        await opened.journal.prune(await opened.journal.ended(None, 2))
    await asyncio.Event().wait()


async def _start_keyed(backend: type[ExecutionBackend], url: str, first: str) -> None:
    """Wait for the word, then start ten executions with one key; which one has it each time."""
    async with _opened(backend, url) as (opened,):
        _say("ready")
        await _word()
        for number in range(int(first), int(first) + 10):
            outcome = await opened.journal.append(_ROWS.start(number, execution_key=WORKFLOW_KEY))
            own = _ROWS.execution_id(number)
            _say(int.from_bytes(outcome.taken.get(own, own), "big"))


async def _claim_some(backend: type[ExecutionBackend], url: str, owner: str) -> None:
    """Wait for the word, then claim each of twenty executions; the numbers of those it got."""
    async with _opened(backend, url) as (opened,):
        _say("ready")
        await _word()
        for number in range(1, 21):
            if await opened.claim(_ROWS.execution(number), owner, 5000) is not None:
                _say(number)


async def _own(
    backend: type[ExecutionBackend], url: str, owner: str, *, fork: bool = False
) -> None:
    """Hold an owner's lock until killed; with `fork`, beside a forked child that lives on."""
    async with _opened(backend, url) as (opened,):
        await opened.hold_owner_lock(owner)
        if not fork:
            _say("held")
        elif not os.fork():
            # Said by the child: what it has inherited of the lock is closed by now.
            _say(os.getpid())
            sys.stdin.readline()
            os._exit(0)
        await asyncio.Event().wait()


async def _own_and_fork(backend: type[ExecutionBackend], url: str, owner: str) -> None:
    await _own(backend, url, owner, fork=True)


_Job = Callable[..., Coroutine[object, object, None]]

_JOBS: Final[Mapping[str, _Job]] = {
    "claim": _claim_some,
    "open": _open_some,
    "prune-on": _prune_on,
    "own": _own,
    "own-and-fork": _own_and_fork,
    "start": _start_keyed,
    "write": _write,
    "write-on": _write_on,
}


def main(job: str, place: str, url: str, *arguments: str) -> None:
    """Run one job to its end."""
    module, _, name = place.partition(":")
    backend = getattr(importlib.import_module(module), name)
    asyncio.run(_JOBS[job](backend, url, *arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
