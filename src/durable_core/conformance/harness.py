"""What a backend's tests supply to the kit, and what each of its classes starts from.

`tests/conformance/conftest.py` of a backend says
`pytest.register_assert_rewrite("durable_core.conformance")` first, since pytest rewrites only what
is not imported yet, and then gives a fixture `harness` that is a `BackendHarness`.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypedDict, Unpack

import pytest
import pytest_asyncio

from durable_core.conformance.rows import Rows
from durable_core.contracts import (
    BackendCapabilities,
    BackendSettings,
    Durability,
    ExecutionBackend,
)

__all__ = ["BackendContract", "BackendHarness", "OpenSettings", "settings_of"]


class OpenSettings(TypedDict, total=False):
    """The fields of `BackendSettings`; usual are `FULL`, 5000 ms, and a journal that is made."""

    durability: Durability
    ack_timeout_ms: int
    must_exist: bool


def settings_of(changes: OpenSettings) -> BackendSettings:
    """The usual settings with these changes: how a harness makes them."""
    return BackendSettings(
        changes.get("durability", Durability.FULL),
        changes.get("ack_timeout_ms", 5000),
        changes.get("must_exist", False),
    )


class BackendHarness(Protocol):
    """One empty database, for as long as one test; the fixture `harness` of a backend's tests.

    The fixture closes what was opened, and removes the database, when the test has ended.
    """

    @property
    def backend(self) -> type[ExecutionBackend]:
        """The class under test."""
        ...

    @property
    def url(self) -> str:
        """Where the database is. Child processes open it too, with the environment of the test."""
        ...

    @property
    def capabilities(self) -> BackendCapabilities:
        """What the backend is expected to declare: said once more, by hand."""
        ...

    @property
    def broken_text(self) -> str | None:
        """An SQL expression for a text that is no UTF-8; None where the database can hold none."""
        ...

    async def open(self, **settings: Unpack[OpenSettings]) -> ExecutionBackend:
        """Another open backend on the same database, with connections of its own."""
        ...

    async def reset(self) -> None:
        """Close what is open, and make the database as empty as it was in the beginning."""
        ...

    async def tamper(self, statement: str, *parameters: object) -> int:
        """Run one statement on a connection that knows nothing of ours; how many rows it changed.

        Committed at return. Written as both dialects have it, with parameters `$1`, `$2`, …; bytes
        and texts are given as parameters. Neither checks nor foreign keys may stand in its way.
        """
        ...

    async def query(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """The rows of a query on such a connection, in the same spelling."""
        ...

    def uncommitted(self, statement: str, *parameters: object) -> AbstractAsyncContextManager[None]:
        """The statement in a transaction that stays open, and is rolled back on leaving."""
        ...


class BackendContract:
    """What all classes of the backend kit have: the builder of rows, and one open backend."""

    @pytest.fixture
    def rows(self) -> Rows:
        """Makes the rows of executions by number."""
        return Rows()

    @pytest_asyncio.fixture
    async def backend(self, harness: BackendHarness) -> ExecutionBackend:
        """A backend on the database of this test."""
        return await harness.open()
