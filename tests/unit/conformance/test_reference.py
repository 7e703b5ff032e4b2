"""The reference passes what needs no SQL and no process: the kit asks for nothing impossible."""

from __future__ import annotations

import pytest
from hypothesis.errors import Flaky

from durable_core.conformance.backend.append import AppendContract
from durable_core.conformance.backend.claiming import ClaimContract, ClaimWaitingContract
from durable_core.conformance.backend.fence import FenceContract, KeyContract
from durable_core.conformance.backend.folding import FoldContract
from durable_core.conformance.backend.integrity import RoundTripContract
from durable_core.conformance.backend.lifecycle import (
    InboxContract,
    KeyCheckContract,
    LifecycleContract,
)
from durable_core.conformance.backend.lookups import PromiseContract, TimerContract
from durable_core.conformance.backend.pruning import EndedContract, PruneContract
from durable_core.conformance.backend.reading import ReadContract
from durable_core.conformance.backend.sharing import EvictionContract, NoticeContract
from durable_core.conformance.backend.succession import SuccessionContract
from durable_core.conformance.faults import FaultyBackend
from durable_core.conformance.harness import BackendHarness, settings_of
from durable_core.conformance.machine import StateMachineContract
from durable_core.conformance.memory import MemoryBackend
from durable_core.conformance.rows import Rows
from durable_core.conformance.tables import Tables
from durable_core.contracts import CommitBatch
from durable_core.errors import ConfigError
from durable_core.model.execution import ExecutionRow


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


class TestKeyChecks(KeyCheckContract):
    """Checks of keys."""


class TestSuccessions(SuccessionContract):
    """What continues another."""


class TestPromises(PromiseContract):
    """Promises."""


class TestTimers(TimerContract):
    """Timers."""


class TestEnded(EndedContract):
    """What has ended."""


class TestFolds(FoldContract):
    """Checkpoints in the place of entries."""


class TestPrune(PruneContract):
    """Pruning."""


class TestRoundTrips(RoundTripContract):
    """Columns keep what they were given."""


class TestNotices(NoticeContract):
    """Of a backend that notifies."""


class TestEvictions(EvictionContract):
    """Of a backend that evicts."""


class TestStateMachine(StateMachineContract):
    """The reference agrees with itself."""

    runs = 5


async def test_the_machine_finds_a_backend_that_forgets(
    harness: BackendHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that does not raise the epoch: the machine that runs it fails.

    As `Flaky` where the failure shows at another operation when it is repeated. Only one side in
    two forgets, so there are more runs than usual; the first that fails is the last.
    """

    class LongMachine(StateMachineContract):
        runs = 300

    async def forgetful(
        self: FaultyBackend, expected: ExecutionRow, owner_id: str, now_ms: int
    ) -> ExecutionRow | None:
        claimed = await self.real.claim(expected, owner_id, now_ms)
        return claimed and claimed._replace(owner_epoch=1)

    monkeypatch.setattr(FaultyBackend, "claim", forgetful)
    with pytest.raises((AssertionError, BaseExceptionGroup, Flaky)):
        await LongMachine().test_random_operations_agree_with_the_reference(harness)


def test_a_transaction_that_fails_leaves_the_tables_as_they_were() -> None:
    rows, tables = Rows(), Tables()
    work = tables.begin()
    work.append(rows.start(1))
    assert tables == Tables()
    tables.commit(work)
    assert tables.entries_of(rows.execution_id(1)) == [rows.entry(1, 1, entry_kind=1)]
    assert tables.append(CommitBatch((), (rows.change(1, 2),), ())).unmatched == frozenset()


async def test_only_an_empty_reference_can_be_opened() -> None:
    with pytest.raises(ConfigError, match="there is no journal"):
        await MemoryBackend.open("memory:", settings_of({"must_exist": True}))
