"""The harness of this backend: an empty database, edited on a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Unpack

import asyncpg
import pytest
import pytest_asyncio
from attrs import define, field, frozen

pytest.register_assert_rewrite("durable_core.conformance")

from durable_core.conformance.backend.migrating import OpenContract
from durable_core.conformance.harness import BackendHarness, OpenSettings, settings_of
from durable_core.contracts import BackendCapabilities, ExecutionBackend
from durable_postgres import PostgresBackend
from tests.emptying import delete_rows, make_empty

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
Prepare = Callable[[str], Awaitable[None]]


@define
class Left:
    """What the last test has left in the database."""

    tables: Prepare | None = None
    """What prepared its tables; None where the first open made them."""

    sound: bool = False
    """Whether nobody has edited them."""


@frozen
class PostgresHarness:
    """What the kit asks for, for one database. `prepare` makes what is there before it is opened.

    Who edits the tables is a superuser, and drops the checks that stand in the way.
    """

    url: str
    left: Left
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
        await make_empty(self.url)
        if self.prepare is not None:
            await self.prepare(self.url)
        self.left.tables, self.left.sound = self.prepare, True

    async def reuse(self) -> None:
        """The same with tables that are there and hold nothing, which takes a tenth of the time."""
        sound = self.left.sound and self.left.tables is self.prepare
        if not (sound and await delete_rows(self.url)):
            await self.reset()

    async def tamper(self, statement: str, *parameters: object) -> int:
        self.left.sound = False
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


@pytest.fixture(scope="session")
def left() -> Left:
    return Left()


@pytest_asyncio.fixture
async def harness(
    request: pytest.FixtureRequest, shared_url: str, left: Left, prepare: Prepare | None
) -> AsyncIterator[BackendHarness]:
    harness = PostgresHarness(shared_url, left, prepare)
    about_opening = request.cls is None or issubclass(request.cls, OpenContract)
    await (harness.reset() if about_opening else harness.reuse())
    async with harness.stack:
        yield harness
