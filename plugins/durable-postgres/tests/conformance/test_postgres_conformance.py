"""Postgres passes the whole backend kit."""

from __future__ import annotations

from durable_core.conformance.backend.append import AppendContract
from durable_core.conformance.backend.claiming import (
    ClaimContract,
    ClaimWaitingContract,
    OwnerLockContract,
)
from durable_core.conformance.backend.concurrency import ConcurrencyContract
from durable_core.conformance.backend.crash import CrashContract
from durable_core.conformance.backend.fence import FenceContract, KeyContract
from durable_core.conformance.backend.folding import FoldContract
from durable_core.conformance.backend.integrity import DamageContract, RoundTripContract
from durable_core.conformance.backend.lifecycle import (
    InboxContract,
    KeyCheckContract,
    LifecycleContract,
)
from durable_core.conformance.backend.lookups import PromiseContract, TimerContract
from durable_core.conformance.backend.migrating import OpenContract
from durable_core.conformance.backend.pruning import EndedContract, PruneContract
from durable_core.conformance.backend.reading import ReadContract
from durable_core.conformance.backend.sharing import (
    CapabilityContract,
    EvictionContract,
    NoticeContract,
)
from durable_core.conformance.backend.succession import SuccessionContract
from durable_core.conformance.backend.waiting import WaitingContract
from durable_core.conformance.machine import StateMachineContract


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


class TestOwnerLocks(OwnerLockContract):
    """Who lives."""


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


class TestOpen(OpenContract):
    """Opening and migrating."""


class TestConcurrency(ConcurrencyContract):
    """Many at once."""


class TestWaiting(WaitingContract):
    """What does not wait."""


class TestCrash(CrashContract):
    """SIGKILL."""


class TestRoundTrips(RoundTripContract):
    """Columns keep what they were given."""


class TestDamage(DamageContract):
    """Tables that others have changed."""


class TestCapabilities(CapabilityContract):
    """What is declared."""


class TestNotices(NoticeContract):
    """Notices."""


class TestEvictions(EvictionContract):
    """Evictions."""


class TestStateMachine(StateMachineContract):
    """Random operations, beside the reference: fewer, since each is a commit on a server."""

    runs = 20
