"""A Postgres server for a measurement, and databases on it; what it says of its durability."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from bench.rounds import Plan
from durable_core import DurableEngine
from durable_postgres import PostgresBackend
from tests.postgres import Server, temporary_server

__all__ = ["durability_of_the_writer", "fresh_url", "server_of"]

_SETTINGS = """
SELECT 'PostgreSQL ' || current_setting('server_version')
    || ', fsync ' || current_setting('fsync')
    || ', synchronous_commit ' || current_setting('synchronous_commit')
"""


@contextmanager
def server_of(plan: Plan) -> Iterator[Server]:
    """A server with the settings of a new one, in the plan's folder, until the block ends."""
    plan.folder.chmod(0o755)  # the server runs as another user where this one is root
    with temporary_server(plan.folder) as server:
        yield server


async def fresh_url(server: Server) -> str:
    """The URL of a new, empty database."""
    name = f"bench_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return server.url(name)


async def durability_of_the_writer(engine: DurableEngine) -> str:
    """What the server says to the session by which the engine commits."""
    backend = engine.parts.backend
    assert isinstance(backend, PostgresBackend), "the engine is not on Postgres"
    ((said,),) = await backend._writer.rows(tuple[str], _SETTINGS)  # noqa: SLF001 - its session
    return said
