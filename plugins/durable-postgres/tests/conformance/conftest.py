"""The harness of this backend: a database for each test, edited on a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Unpack

import asyncpg
import pytest
import pytest_asyncio
from attrs import field, frozen

pytest.register_assert_rewrite("durable_core.conformance")

from durable_core.conformance.harness import BackendHarness, OpenSettings, settings_of
from durable_core.contracts import BackendCapabilities, ExecutionBackend
from durable_postgres import PostgresBackend

DROP_CHECKS = """
DO $$ DECLARE found record; BEGIN
    FOR found IN SELECT conrelid::regclass AS place, conname FROM pg_constraint
        WHERE contype = 'c' AND connamespace = current_schema()::regnamespace
            AND coninhcount = 0
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.place, found.conname);
    END LOOP;
END $$
"""
END_OTHERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
EMPTY = "SET lock_timeout = '10s'; DROP SCHEMA public CASCADE; CREATE SCHEMA public"

Prepare = Callable[[str], Awaitable[None]]


@frozen
class PostgresHarness:
    """What the kit asks for, for one database. `prepare` makes what is there before it is opened.

    Who edits the tables is a superuser, and drops the checks that stand in the way.
    """

    url: str
    prepare: Prepare | None = None
    stack: AsyncExitStack = field(factory=AsyncExitStack)

    @property
    def backend(self) -> type[ExecutionBackend]:
        return PostgresBackend

    @property
    def capabilities(self) -> BackendCapabilities:
        return BackendCapabilities(shared=True, notifies=True, evicts=True)

    @property
    def broken_text(self) -> str | None:
        return None

    async def open(self, **settings: Unpack[OpenSettings]) -> ExecutionBackend:
        backend = await PostgresBackend.open(self.url, settings_of(settings))
        self.stack.push_async_callback(backend.close)
        return backend

    async def reset(self) -> None:
        await self.stack.aclose()
        async with self._connected() as connection:
            await connection.execute(END_OTHERS)  # what a killed child has left behind
            await connection.execute(EMPTY)
        if self.prepare is not None:
            await self.prepare(self.url)

    async def tamper(self, statement: str, *parameters: object) -> int:
        async with self._connected() as connection:
            await connection.execute(DROP_CHECKS)
            done: str = await connection.execute(statement, *parameters)
        count = done.rsplit(maxsplit=1)[-1]
        return int(count) if count.isdigit() else 0

    async def query(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        async with self._connected() as connection:
            return [tuple(row) for row in await connection.fetch(statement, *parameters)]

    @asynccontextmanager
    async def uncommitted(self, statement: str, *parameters: object) -> AsyncIterator[None]:
        async with self._connected() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(statement, *parameters)
            yield
            await transaction.rollback()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        connection = await asyncpg.connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()


@pytest.fixture
def prepare() -> Prepare | None:
    """What makes the tables; None where that is left to the first open."""
    return None


@pytest_asyncio.fixture
async def harness(shared_url: str, prepare: Prepare | None) -> AsyncIterator[BackendHarness]:
    harness = PostgresHarness(shared_url, prepare)
    await harness.reset()
    async with harness.stack:
        yield harness
