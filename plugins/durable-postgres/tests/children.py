"""Jobs for child processes: `python children.py JOB URL ARGUMENT…`. Each says a line when ready."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from durable_core.contracts import BackendSettings, CommitBatch, Durability, HeadChange
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow
from durable_postgres import PostgresBackend

SETTINGS = BackendSettings(Durability.FULL, 5000)
ID = bytes(15) + b"\x01"


def row(entry_no: int) -> JournalRow:
    step = str(entry_no)
    return JournalRow(ID, entry_no, 0, step, 3, None, None, 1, None, b"p", 1, None, 1000)


def start() -> CommitBatch:
    execution = ExecutionRow(
        *(ID, "w", "k", "workflow", "running", 0, None, False, False),
        *("o", 1, 1, None, None, 1000, 1000, None),
    )
    return CommitBatch((execution,), (), (row(1),))


def advance(count: int, *, last: bool = False) -> CommitBatch:
    status, at = ("completed", 3000) if last else ("running", None)
    change = HeadChange(ID, 1, "running", count - 1, status, 0, count, None, None, 2000, at)
    return CommitBatch((), (change,), (row(count),))


def say(what: object) -> None:
    print(what, flush=True)  # noqa: T201 - what the test reads


async def write(url: str) -> None:
    """Three batches; each is said when it is acknowledged."""
    backend = await PostgresBackend.open(url, SETTINGS)
    for number, batch in enumerate((start(), advance(2), advance(3, last=True)), 1):
        await backend.journal.append(batch)
        say(number)
    await backend.close()


async def own(url: str, owner_id: str) -> None:
    backend = await PostgresBackend.open(url, SETTINGS)
    await backend.hold_owner_lock(owner_id)
    say(0)
    await asyncio.Event().wait()


async def own_and_fork(url: str, owner_id: str) -> None:
    """A child of its own outlives it, without the lock."""
    backend = await PostgresBackend.open(url, SETTINGS)
    await backend.hold_owner_lock(owner_id)
    await backend.load(ID)
    reading, writing = os.pipe()
    forked = os.fork()
    if forked == 0:
        os.write(writing, b"x")
        signal.pause()
        os._exit(0)
    os.read(reading, 1)
    await backend.probe()  # the sessions of the parent go on
    assert await backend.owner_alive(owner_id)
    say(forked)
    await asyncio.Event().wait()


JOBS = {job.__name__: job for job in (write, own, own_and_fork)}

asyncio.run(JOBS[sys.argv[1]](*sys.argv[2:]))
