"""A harness for the reference in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import NoReturn, Unpack

import pytest_asyncio
from attrs import field, mutable

from durable_core.conformance.faults import FaultyBackend
from durable_core.conformance.harness import BackendHarness, OpenSettings
from durable_core.conformance.memory import MemoryBackend, MemoryDatabase
from durable_core.contracts import BackendCapabilities, ExecutionBackend
from durable_core.errors import ConfigError


@mutable
class MemoryHarness:
    """Every other backend that it opens is in a wrapper that has no fault."""

    database: MemoryDatabase = field(factory=MemoryDatabase)
    opened: int = 0
    stack: AsyncExitStack = field(factory=AsyncExitStack)

    @property
    def backend(self) -> type[ExecutionBackend]:
        return MemoryBackend

    @property
    def url(self) -> str:
        return "memory:"

    @property
    def capabilities(self) -> BackendCapabilities:
        return BackendCapabilities(shared=False, notifies=True, evicts=True)

    @property
    def broken_text(self) -> str | None:
        return None

    async def open(self, **_: Unpack[OpenSettings]) -> ExecutionBackend:
        self.opened += 1
        plain = MemoryBackend(self.database)
        backend = FaultyBackend(plain) if self.opened % 2 else plain
        self.stack.push_async_callback(backend.close)
        return backend

    async def reset(self) -> None:
        await self.stack.aclose()
        self.database = MemoryDatabase()
        self.opened = 0  # a run must not depend on the one before it

    async def tamper(self, statement: str, *_: object) -> int:
        no_sql(statement)

    async def query(self, statement: str, *_: object) -> list[tuple[object, ...]]:
        no_sql(statement)

    def uncommitted(self, statement: str, *_: object) -> AbstractAsyncContextManager[None]:
        no_sql(statement)


def no_sql(statement: str) -> NoReturn:
    message = f"there is no SQL in memory: {statement}"
    raise ConfigError(message)


@pytest_asyncio.fixture
async def harness() -> AsyncIterator[BackendHarness]:
    harness = MemoryHarness()
    async with harness.stack:
        yield harness
