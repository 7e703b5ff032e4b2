"""A journal in memory keeps the contract as well, as far as one connection can tell."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from durable_core.conformance.backend.append import AppendContract
from durable_core.conformance.backend.claiming import ClaimContract
from durable_core.conformance.backend.fence import FenceContract, KeyContract
from durable_core.conformance.backend.integrity import RoundTripContract
from durable_core.conformance.backend.lifecycle import (
    InboxContract,
    KeyCheckContract,
    LifecycleContract,
)
from durable_core.conformance.backend.pruning import EndedContract, PruneContract
from durable_core.conformance.backend.reading import ReadContract
from durable_core.conformance.harness import BackendContract, settings_of
from durable_core.contracts import ExecutionBackend
from durable_sqlite import LocalBackend


class InMemory(BackendContract):
    """Instead of the file of a harness."""

    @pytest_asyncio.fixture
    async def backend(self) -> AsyncIterator[ExecutionBackend]:  # type: ignore[override]
        backend = await LocalBackend.open("sqlite://:memory:", settings_of({}))
        yield backend
        await backend.close()


class TestAppend(InMemory, AppendContract):
    """Batches."""


class TestFence(InMemory, FenceContract):
    """The fence of a batch."""


class TestKeys(InMemory, KeyContract):
    """Keys of executions."""


class TestReads(InMemory, ReadContract):
    """Reads."""


class TestClaims(InMemory, ClaimContract):
    """Claims one by one."""


class TestLifecycle(InMemory, LifecycleContract):
    """Ends."""


class TestInbox(InMemory, InboxContract):
    """Requests."""


class TestKeyChecks(InMemory, KeyCheckContract):
    """Checks of keys."""


class TestEnded(InMemory, EndedContract):
    """What has ended."""


class TestPrune(InMemory, PruneContract):
    """Pruning."""


class TestRoundTrips(InMemory, RoundTripContract):
    """Columns keep what they were given."""
