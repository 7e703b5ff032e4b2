"""The kit on tables in parts, as far as parts could matter: what looks for rows, and changes them.

The parts are by hash, by the columns that a distributed database would use.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from durable_core.conformance.backend.append import AppendContract
from durable_core.conformance.backend.claiming import (
    ClaimContract,
    ClaimWaitingContract,
)
from durable_core.conformance.backend.fence import FenceContract, KeyContract
from durable_core.conformance.backend.folding import FoldContract
from durable_core.conformance.backend.lifecycle import (
    InboxContract,
    LifecycleContract,
)
from durable_core.conformance.backend.lookups import PromiseContract, TimerContract
from durable_core.conformance.backend.pruning import EndedContract, PruneContract
from durable_core.conformance.backend.reading import ReadContract
from durable_core.conformance.backend.succession import SuccessionContract
from durable_core.conformance.harness import BackendHarness
from tests.partitions import PARTED_BY, make_partitioned


@pytest.fixture
def prepare() -> Callable[[str], Awaitable[None]]:
    return make_partitioned


async def test_the_journal_is_in_parts(harness: BackendHarness) -> None:
    await harness.open()
    query = "SELECT count(*) FROM pg_class WHERE relkind::text = $1"
    assert await harness.query(query, "p") == [(len(PARTED_BY),)]


class TestAppend(AppendContract):
    """Batches."""


class TestFence(FenceContract):
    """The fence of a batch."""


class TestKeys(KeyContract):
    """Keys of executions."""


class TestReads(ReadContract):
    """Reads."""


class TestClaims(ClaimContract):
    """Claims one by one."""


class TestClaimsOfMany(ClaimWaitingContract):
    """Claims of many at once."""


class TestLifecycle(LifecycleContract):
    """Ends."""


class TestInbox(InboxContract):
    """Requests."""


class TestSuccessions(SuccessionContract):
    """What continues another."""


class TestPromises(PromiseContract):
    """Promises."""


class TestTimers(TimerContract):
    """Timers."""


class TestFolds(FoldContract):
    """Checkpoints in the place of entries."""


class TestEnded(EndedContract):
    """What has ended."""


class TestPrune(PruneContract):
    """Pruning."""

    runs = 6
