"""Jobs for child processes: `python children.py JOB ARGUMENT…`. Each says a line when ready."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys

from durable_core.contracts import BackendSettings, CommitBatch, Durability, HeadChange
from durable_core.errors import DurableError
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow
from durable_sqlite import LocalBackend

SETTINGS = BackendSettings(Durability.FULL, 5000)
ID = bytes(15) + b"\x01"


def row(entry_no: int, size: int = 10) -> JournalRow:
    payload = b"p" * size
    step = str(entry_no)
    return JournalRow(ID, entry_no, 0, step, 3, None, None, 1, None, payload, 1, None, 1000)


def start() -> CommitBatch:
    execution = ExecutionRow(
        *(ID, "w", "k", "workflow", "running", 0, None, False, False),
        *("o", 1, 1, None, None, 1000, 1000, None),
    )
    return CommitBatch((execution,), (), (row(1),))


def advance(count: int, size: int = 10, *, last: bool = False) -> CommitBatch:
    status, at = ("completed", 3000) if last else ("running", None)
    change = HeadChange(ID, 1, "running", count - 1, status, 0, count, None, None, 2000, at)
    return CommitBatch((), (change,), (row(count, size),))


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def fill(url: str) -> None:
    """Write until the largest file that the process may write is full; then make room again."""
    backend = await LocalBackend.open(url, SETTINGS)
    await backend.journal.append(start())
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    count = 1
    try:
        while True:
            await backend.journal.append(advance(count + 1, 50_000))
            count += 1
    except DurableError as error:
        say(f"{type(error).__name__}: {error}")
    try:
        await backend.journal.append(advance(count + 1, 500_000))
    except DurableError as error:
        say(type(error).__name__)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await backend.probe()
    await backend.journal.append(advance(count + 1))
    say([entry.entry_no for entry in await backend.journal.read_execution(ID)][-1] == count + 1)
    await backend.close()


async def write_lock(url: str) -> None:
    """Probe with a short wait; say what is raised."""
    backend = await LocalBackend.open(url, BackendSettings(Durability.FULL, 100))
    try:
        await backend.probe()
    except DurableError as error:
        say(type(error).__name__)
    await backend.close()


async def open_unprivileged(url: str) -> None:
    """Open as a user whom permissions bind; say what is raised.

    The first open imports what is imported late, which that user may not be able to read.
    """
    await (await LocalBackend.open("sqlite://:memory:", SETTINGS)).close()
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        backend = await LocalBackend.open(url, SETTINGS)
    except DurableError as error:
        say(f"{type(error).__name__}: {error}")
    else:
        await backend.close()
        say("opened")


JOBS = {job.__name__: job for job in (fill, write_lock, open_unprivileged)}

if __name__ == "__main__":
    os.umask(0)
    asyncio.run(JOBS[sys.argv[1]](*sys.argv[2:]))
