"""The storage contract: a backend turns a `CommitBatch` into one transaction and rows into tuples.

Decisions live in core; a backend only stores. It never sees plaintext, keys or policies, and it
takes no part in the choice of what to write. Execution ids are their 16 raw bytes at this edge.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol, Self

from attrs import frozen

from durable_core.config import Durability
from durable_core.contracts.allowlist import ALLOWED_BACKENDS, may_define_backend
from durable_core.contracts.exchange import (
    BatchOutcome,
    Claimable,
    CommitBatch,
    EndedRow,
    Fold,
    HeadChange,
    InboxRow,
    Notice,
    OwnerLoad,
    PromiseRow,
    Stray,
    TimerRow,
    Usage,
)
from durable_core.errors import BackendNotAllowed, PluginError
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow

__all__ = [
    "BackendCapabilities",
    "BackendSettings",
    "Durability",
    "ExecutionBackend",
    "Journal",
]


@frozen
class BackendCapabilities:
    """What a backend can do beyond the contract; the engine asks here instead of by name."""

    shared: bool
    """Several hosts may use one database. Encryption cannot be switched off then (INV-8)."""

    notifies: bool
    """The backend wakes waiters in other processes (`listen`); without it they poll."""

    evicts: bool
    """The backend can end the session of an owner that lives (`evict`)."""


@frozen
class BackendSettings:
    """What a backend is opened with, besides its URL."""

    durability: Durability
    ack_timeout_ms: int
    """A backend's own lock waits stay below this, so that the writer can still retry."""

    must_exist: bool = False
    """Refuse a database that holds no journal yet with `ConfigError`; create and change nothing."""


class Journal(Protocol):
    """The append-only part of a backend.

    Driver errors never leave it: transient trouble (busy, disconnected, serialization) is
    `errors.TransientStoreError`, a row that can never be written is `errors.EntryRejected`, and
    whatever stops the whole store (disk full, read-only, corrupt) is `JournalUnavailable`.
    """

    async def append(self, batch: CommitBatch) -> BatchOutcome:
        """Write `batch` in one transaction and return once it is durable.

        Applies every `HeadChange` and start, then inserts the rows of those that applied, in
        order, and keeps, arms and disarms what is theirs of promises and timers. A start that
        continues an execution takes over its key. Atomic: when it
        raises a known error, nothing of the batch is written. Called by one task at a time. A
        caller that is cancelled learns nothing about the outcome.
        """
        ...

    async def read_execution(self, execution_id: bytes) -> list[JournalRow]:
        """All rows of an execution by `entry_no`; empty where there is none. Unbounded."""
        ...

    async def read_execution_range(
        self,
        execution_id: bytes,
        after: int,
        limit: int,
    ) -> list[JournalRow]:
        """At most `limit` committed rows with `entry_no > after`, by `entry_no`."""
        ...

    async def finalize(self, change: HeadChange, closing: JournalRow) -> int | None:
        """Apply `change` and insert `closing` in one transaction; its seq, or None if fenced.

        `append` for one change and one row, for callers that end an execution without a writer. An
        engine never calls it: what it ends goes through its writer, in order with everything else.
        """
        ...

    async def fold(self, fold: Fold) -> bool:
        """Let checkpoints take the place of entries; whether it applied. Durable at return.

        One transaction: where something is not as `fold` says, or it raises a known error, nothing
        is deleted and nothing is written. The row of the execution stays as it is. What commits
        meanwhile stays too, as long as it is in none of the ranges. A caller that is cancelled
        learns nothing about the outcome.
        """
        ...

    async def ended(
        self, after: EndedRow | None, limit: int, *, newest_first: bool = False
    ) -> list[EndedRow]:
        """At most `limit` terminal executions behind `after`, by `finalized_at` and id.

        In the reverse order with `newest_first`. Committed rows; `after` need not be there any
        more. May be slow, and stands neither before an append nor before another read.
        """
        ...

    async def open_usage(self) -> Usage:
        """What the executions hold that have not ended; in the way of nobody, as `ended`."""
        ...

    async def prune(self, rows: Sequence[EndedRow]) -> frozenset[bytes]:
        """Delete those of the executions that are as in `rows` still; which ones went.

        Still means the same `status`, `owner_epoch` and `finalized_at`. One transaction, durable
        at return; an execution goes with all its rows or not at all. One that somebody else is
        changing at this moment may stay. Commits wait while it runs: give it few rows at a time.
        """
        ...

    async def reclaim(self) -> bool:
        """Give back to the system a bounded piece of the space that pruning has left free.

        Whether there is more of it. False at once where the database does that by itself.
        """
        ...


class ExecutionBackend(ABC):
    """One dedicated database (INV-14): executions, ownership, inbox, and the journal itself.

    The set of backends is closed (INV-19): a subclass outside the allowed packages fails when its
    class is created. Unless a method says otherwise it may be called from any task of the event
    loop that opened the backend, and it raises what `Journal` says of errors.
    """

    name: ClassVar[str]
    capabilities: ClassVar[BackendCapabilities]

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if not may_define_backend(cls.__module__):
            allowed = ", ".join(sorted(place.package for place in ALLOWED_BACKENDS.values()))
            message = (
                f"class {cls.__qualname__} in {cls.__module__!r} subclasses ExecutionBackend; "
                f"the backend set is closed and only these packages may: {allowed}"
            )
            raise BackendNotAllowed(message)

    @classmethod
    @abstractmethod
    async def open(cls, url: str, settings: BackendSettings) -> Self:
        """Connect, migrate under a lock, and return a usable backend.

        `ConfigError` for a URL, file or database that cannot be used, `SchemaTooNew` for one that
        a newer version wrote. On any error nothing stays open and nothing is half-migrated.
        """

    @property
    @abstractmethod
    def journal(self) -> Journal:
        """The journal in this database."""

    @property
    @abstractmethod
    def address(self) -> str:
        """The URL without any password, for messages."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection and release the owner lock. Idempotent."""

    @abstractmethod
    async def load(self, execution_id: bytes) -> ExecutionRow | None:
        """The execution's committed row, or None. Never waits behind the writer."""

    @abstractmethod
    async def find(self, workflow: str, execution_key: str) -> bytes | None:
        """The id of the execution that has this key, or None."""

    @abstractmethod
    async def list_executions(
        self,
        *,
        statuses: Sequence[str] = (),
        workflow: str | None = None,
        after: bytes | None = None,
        limit: int = 100,
    ) -> list[ExecutionRow]:
        """At most `limit` rows by execution id (so by age) above `after`; no filter where empty."""

    @abstractmethod
    async def heads(self, execution_ids: Sequence[bytes]) -> list[ExecutionRow]:
        """The rows of these executions, read *behind* every append that was handed over before."""

    @abstractmethod
    async def max_seq(self) -> int:
        """The largest assigned `seq`, 0 in an empty journal; ordered like `heads`."""

    @abstractmethod
    async def stored_seqs(self, execution_id: bytes, after: int, limit: int) -> list[int]:
        """The seqs of at most `limit` committed rows with `entry_no > after`, by `entry_no`."""

    @abstractmethod
    async def claim(
        self, expected: ExecutionRow, owner_id: str, now_ms: int
    ) -> ExecutionRow | None:
        """Make `owner_id` the owner and raise `owner_epoch` by one; durable at return.

        Applies only while `owner_epoch` and `status` are as in `expected`; otherwise None. Of many
        claimers one wins. Every entry of the earlier owner that commits later is refused.
        """

    @abstractmethod
    async def running_owners(self) -> list[OwnerLoad]:
        """Who owns what is running: a row for each owner, workflow and key, in any order.

        Committed rows, never waiting behind the writer. For whoever looks for the dead.
        """

    @abstractmethod
    async def claim_waiting(
        self, which: Claimable, owner_id: str, now_ms: int, limit: int
    ) -> list[ExecutionRow]:
        """`claim` at most `limit` running executions at once, the oldest first; durable at return.

        One transaction. What somebody else is claiming or changing at this moment is passed over
        and not waited for where the database can do that, so that several who ask at once share
        what there is. Returns the claimed rows by execution id, each with its raised epoch.
        """

    @abstractmethod
    async def hold_owner_lock(
        self, owner_id: str, standing: Callable[[bool], None] | None = None
    ) -> None:
        """Take the lock that says that `owner_id` lives, until `close` or the process's death.

        Where it can be lost earlier, since the connection that holds it breaks, the backend calls
        `standing(False)` on the event loop, and `standing(True)` as soon as it has taken the lock
        again, which it tries until `close`. In between others take the owner for dead.
        """

    @abstractmethod
    async def owner_alive(self, owner_id: str) -> bool:
        """Whether somebody holds that owner's lock, probed in shared mode without waiting."""

    async def evict(self, owner_id: str) -> bool:
        """End the session that holds that owner's lock, where the backend `evicts`.

        Whether that session is over: the owner is dead, or has to take its lock anew. What it has
        committed stays; what it sends later is refused only where its executions are claimed.
        """
        return not await self.owner_alive(owner_id)

    def listen(self, hear: Callable[[Notice], None]) -> None:  # noqa: ARG002 - silent here
        """Call `hear` on the event loop for what any engine commits, where the backend `notifies`.

        Notices are hints: one may come twice, late, or (after a crash or a lost connection) not at
        all, so whoever waits polls as well. Called at most once, after `hold_owner_lock`.
        """
        if self.capabilities.notifies:
            message = f"{type(self).__name__} says that it notifies, and does not listen"
            raise PluginError(message)

    @abstractmethod
    async def key_checks(self) -> dict[int, bytes]:
        """The stored check of every key id that something was written under."""

    @abstractmethod
    def announce_key(self, key_id: int, check: bytes) -> None:
        """What is written from now on may be under `key_id`: its `check` goes with it.

        Stored, unless it is there, in the transaction of the next batch with a start or a payload
        that `Journal.append` commits, or of the next request with one. `EntryRejected` from those
        if the id has another check by then. Nothing is stored here: a key under which nothing was
        written leaves no trace.
        """

    @abstractmethod
    async def strays(self, execution_id: bytes | None = None, limit: int = 100) -> list[Stray]:
        """What no execution accounts for, at most `limit`: damage, since no batch leaves any.

        Entries, requests, promises and timers of an execution that has no row, and keys that lead
        to an execution whose row is not there or has another workflow or key. All of one moment, so
        that what starts or is pruned beside it does not show. With `execution_id` only what names
        that one.
        """

    @abstractmethod
    async def post_inbox(self, row: InboxRow) -> bool:
        """File a request unless its slot is taken; whether it was filed. Durable at return.

        `EntryRejected` where the execution does not exist.
        """

    @abstractmethod
    async def read_inbox(self, owner_id: str | None = None, limit: int = 100) -> list[InboxRow]:
        """The oldest requests, all or those for executions of one owner."""

    @abstractmethod
    async def remove_inbox(self, execution_id: bytes, slot: str) -> None:
        """Delete a request that its owner has journaled or refused."""

    @abstractmethod
    async def find_promise(self, promise_id: bytes) -> PromiseRow | None:
        """The promise with that id, or None. Never waits behind the writer.

        Of several executions that have one of that id, which no batch of an engine's makes, the
        oldest of them.
        """

    @abstractmethod
    async def promises_of(self, execution_id: bytes) -> list[PromiseRow]:
        """The committed promises of an execution by `created_at` and `promise_id`. Unbounded."""

    @abstractmethod
    async def timers_of(self, execution_id: bytes) -> list[TimerRow]:
        """The committed timers of an execution by `due_at` and `timer_id`. Unbounded.

        Ids are ordered by their UTF-8 bytes.
        """

    @abstractmethod
    async def probe(self) -> None:
        """Commit something that changes nothing; raises like `Journal.append` if that fails."""
