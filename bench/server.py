"""A Postgres server for a measurement, and databases on it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from bench.rounds import Plan
from tests.postgres import Server, temporary_server

__all__ = ["fresh_url", "server_of"]


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
