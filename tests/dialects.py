"""Which database the tests run on: `--dialect sqlite` (a file each) or `postgres`.

Tests that carry the marker `dialects` run on both. Of a run on Postgres the rest is left out, and
so are those that also carry `files`; those with `postgres` run there only. The server is the one
that `DURABLE_TEST_POSTGRES_URL` names.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import uuid
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, Final, TypeVar

__all__ = ["DIALECTS", "new_postgres", "query", "server_url"]

T = TypeVar("T")

DIALECTS: Final = ("sqlite", "postgres")
_SERVER: Final = "DURABLE_TEST_POSTGRES_URL"


@contextmanager
def new_postgres(server: str) -> Iterator[str]:
    """A URL of that server's database with a new, empty schema; dropped on leaving.

    A schema is a journal of its own, and is made much faster than a database.
    """
    name = f"test_{uuid.uuid4().hex}"
    _aside(_execute(server, f"CREATE SCHEMA {name}"))
    try:
        yield f"{server}{'&' if '?' in server else '?'}search_path={name}"
    finally:
        _aside(_execute(server, f"DROP SCHEMA {name} CASCADE"))


def query(url: str, statement: str) -> Sequence[tuple[Any, ...]]:
    """What a statement returns on a connection of our own, beside every engine."""
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()
    return _aside(_execute(url, statement))


async def _execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    import asyncpg  # noqa: PLC0415 - only where that is the dialect

    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def _aside(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in a thread and a loop of its own: there may be a loop here already."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


def server_url() -> str:
    """The server's URL; an error that says how to have one where there is none."""
    url = os.environ.get(_SERVER)
    if not url:
        message = f"{_SERVER} names no server; run `python -m tests.postgres -- pytest …`"
        raise RuntimeError(message)
    return url
