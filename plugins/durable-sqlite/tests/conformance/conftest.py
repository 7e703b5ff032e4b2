"""The harness of this backend: a file for each test, edited with a bare connection."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Unpack

import pytest
import pytest_asyncio
from attrs import field, frozen

pytest.register_assert_rewrite("durable_core.conformance")

from durable_core.conformance.harness import BackendHarness, OpenSettings, settings_of
from durable_core.contracts import BackendCapabilities, ExecutionBackend
from durable_sqlite import LocalBackend


@frozen
class SqliteHarness:
    """What the kit asks for, for one file. A bare connection enforces no foreign keys."""

    path: Path
    stack: AsyncExitStack = field(factory=AsyncExitStack)

    @property
    def backend(self) -> type[ExecutionBackend]:
        return LocalBackend

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    @property
    def capabilities(self) -> BackendCapabilities:
        return BackendCapabilities(shared=False, notifies=False, evicts=False)

    @property
    def broken_text(self) -> str | None:
        return "CAST(x'FF41' AS TEXT)"

    async def open(self, **settings: Unpack[OpenSettings]) -> ExecutionBackend:
        backend = await LocalBackend.open(self.url, settings_of(settings))
        self.stack.push_async_callback(backend.close)
        return backend

    async def reset(self) -> None:
        await self.stack.aclose()
        for file in (self.path, *self.path.parent.glob(f"{self.path.name}-*")):
            file.unlink(missing_ok=True)

    async def tamper(self, statement: str, *parameters: object) -> int:
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            return connection.execute(statement, _named(parameters)).rowcount

    async def query(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        with closing(self._connect()) as connection:
            return connection.execute(statement, _named(parameters)).fetchall()

    @asynccontextmanager
    async def uncommitted(self, statement: str, *parameters: object) -> AsyncIterator[None]:
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(statement, _named(parameters))
            yield
            connection.execute("ROLLBACK")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None)


def _named(parameters: tuple[object, ...]) -> dict[str, object]:
    """`$1` is a parameter of the name `1` to SQLite."""
    return {str(number): value for number, value in enumerate(parameters, start=1)}


@pytest_asyncio.fixture
async def harness(tmp_path: Path) -> AsyncIterator[BackendHarness]:
    harness = SqliteHarness(tmp_path / "journal.db")
    async with harness.stack:
        yield harness
