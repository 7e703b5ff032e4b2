"""DBOS on Postgres, with workflows of five steps: `python dbos_program.py URL`.

Runs where `dbos` is installed and durable-core is not. It says its version and what the server
tells its sessions of durability. Then each line `AT_ONCE COUNT` is answered with the seconds that
`COUNT` workflows took, `AT_ONCE` of them at a time.

As its documentation recommends for async programs: `async def` workflows and steps, called from
one event loop, the system tables in Postgres, everything else as it comes.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import sys
import time
from collections.abc import Awaitable, Callable

__all__ = ["main"]

STEPS = 5
FIRST = 7
SUM = sum(range(FIRST, FIRST + STEPS))
SETTINGS = (
    "SELECT 'PostgreSQL ' || current_setting('server_version') || ', fsync ' "
    "|| current_setting('fsync') || ', synchronous_commit ' "
    "|| current_setting('synchronous_commit')"
)

Five = Callable[[int], Awaitable[int]]


def registered() -> Five:
    """The workflow of five steps, as DBOS runs it."""
    dbos = importlib.import_module("dbos").DBOS

    async def charge(number: int) -> bytes:
        return bytes(253) + bytes((number,))

    step = dbos.step(name="charge")(charge)

    async def five(first: int) -> int:
        return sum([(await step(first + n))[-1] for n in range(STEPS)])

    workflow: Five = dbos.workflow(name="five")(five)
    return workflow


async def seconds(five: Five, at_once: int, count: int) -> float:
    """How long that many workflows take, each result checked."""
    places = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with places:
            assert await five(FIRST) == SUM, "a workflow's result is wrong"

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    return time.perf_counter() - began


def durability(instance: object) -> str:
    """What the server says to one of its own sessions."""
    sqlalchemy = importlib.import_module("sqlalchemy")
    store = getattr(instance, "_sys_db")  # noqa: B009 - not published
    with store.engine.connect() as connection:
        return str(connection.execute(sqlalchemy.text(SETTINGS)).scalar())


async def serve(five: Five, instance: object) -> None:
    """Answer the lines of the input until it ends."""
    print(importlib.metadata.version("dbos"), durability(instance), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        at_once, count = map(int, line.split())
        print(await seconds(five, at_once, count), flush=True)


def main(url: str) -> None:
    """Launch, serve and end."""
    dbos = importlib.import_module("dbos").DBOS
    instance = dbos(
        config={
            "name": "bench",
            "system_database_url": url,
            "console_log_level": "ERROR",
            "log_level": "ERROR",
        },
    )
    five = registered()
    dbos.launch()
    try:
        asyncio.run(serve(five, instance))
    finally:
        dbos.destroy()


if __name__ == "__main__":
    main(sys.argv[1])
