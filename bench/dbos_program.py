"""DBOS with workflows of five steps: `python -m bench.dbos_program URL`, on Postgres or SQLite.

Runs where `dbos` is installed and durable-core is not, and answers lines: see `workload.answer`.

As its documentation recommends for async programs: `async def` workflows and steps, called from
one event loop, the system tables in the database, everything else as it comes.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import sys

from bench.durability import ON_POSTGRES, ON_SQLITE
from bench.workload import STEPS, Five, answer, value

__all__ = ["main"]


def registered() -> Five:
    """The workflow of five steps, as DBOS runs it."""
    dbos = importlib.import_module("dbos").DBOS

    async def charge(number: int) -> bytes:
        return value(number)

    step = dbos.step(name="charge")(charge)

    async def five(first: int) -> int:
        return sum([(await step(first + n))[-1] for n in range(STEPS)])

    workflow: Five = dbos.workflow(name="five")(five)
    return workflow


def durability(instance: object) -> str:
    """What the database says to one of its own connections."""
    sqlalchemy = importlib.import_module("sqlalchemy")
    engine = getattr(instance, "_sys_db").engine  # noqa: B009 - not published
    text = ON_SQLITE if engine.dialect.name == "sqlite" else ON_POSTGRES
    with engine.connect() as connection:
        return str(connection.execute(sqlalchemy.text(text)).scalar())


def main(url: str) -> None:
    """Launch, answer and end."""
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
    said = f"{importlib.metadata.version('dbos')} {durability(instance)}"
    try:
        asyncio.run(answer(said, five))
    finally:
        dbos.destroy()


if __name__ == "__main__":
    main(sys.argv[1])
