"""What a backend over SQL tables does by single statements, which are the same in every dialect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any, ClassVar, Final, Protocol, TypeAlias, TypeVar

from durable_core.contracts.backend import ExecutionBackend, Journal
from durable_core.contracts.exchange import (
    BatchOutcome,
    CommitBatch,
    EndedRow,
    Fold,
    HeadChange,
    InboxRow,
    OwnerLoad,
    PromiseRow,
    Stray,
    StrayKind,
    TimerRow,
    Usage,
)
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow
from durable_core.storage import texts
from durable_core.storage.keycheck import KeyCheck
from durable_core.storage.scripts import NotAsFolded, Script, filing, folding

__all__ = ["Make", "SqlBackend", "SqlJournal", "Statements", "Transactions"]

T = TypeVar("T")
Make: TypeAlias = Callable[[Any], T]
"""What is made of a row of the driver's."""

_ENTRY: Final[Make[JournalRow]] = partial(tuple.__new__, JournalRow)
"""A named tuple's own `_make` takes longer than the tuple itself; the texts name its columns."""

_BEFORE_ALL: Final = (-(2**63), b"")
_BEHIND_ALL: Final = (2**63 - 1, b"\xff" * 17)


class Statements(Protocol):
    """A connection, or several, that run single statements; what the driver raises is translated.

    Texts are in the spelling of `texts`, or in the dialect's own.
    """

    async def rows(self, make: Make[T], text: str, *parameters: object) -> list[T]:
        """What `make` makes of each row. The statement commits by itself where it writes."""
        ...


class Transactions(Statements, Protocol):
    """A connection that commits, and runs what it is handed one after the other."""

    async def transact(self, script: Callable[[], Script[T]]) -> T:
        """What the script returns, run as one transaction; errors are translated.

        It goes on where the caller is cancelled.
        """
        ...


class SqlBackend(ExecutionBackend):
    """The part of a backend that reads or changes one table by one statement.

    `writes` commits, and runs behind all that was handed over; `reads` never waits behind it.
    """

    _journal: Journal
    """To be set by the dialect."""

    _insert_request: ClassVar[str]
    """The text that files a request unless its slot is taken, and returns a row if it did."""

    def __init__(self, address: str, reads: Statements, writes: Transactions) -> None:
        self._address = address
        self._reads = reads
        self._writes = writes
        self._key_check = KeyCheck()

    def _execution(self, row: Any) -> ExecutionRow:  # noqa: ANN401 - what the driver makes of it
        """A stored row as what it stands for."""
        return ExecutionRow._make(row)

    @property
    def journal(self) -> Journal:
        """The journal in this database."""
        return self._journal

    @property
    def address(self) -> str:
        """The URL without its password, and where it names a file, with the resolved path."""
        return self._address

    async def load(self, execution_id: bytes) -> ExecutionRow | None:
        """The execution's committed row, or None. Never waits behind the writer."""
        rows = await self._reads.rows(self._execution, texts.SELECT_EXECUTION, execution_id)
        return rows[0] if rows else None

    async def find(self, workflow: str, execution_key: str) -> bytes | None:
        """The id of the execution that has this key, or None."""
        first: Make[bytes] = itemgetter(0)
        rows = await self._reads.rows(first, texts.SELECT_BY_KEY, workflow, execution_key)
        return rows[0] if rows else None

    async def stored_seqs(self, execution_id: bytes, after: int, limit: int) -> list[int]:
        """The seqs of at most `limit` committed rows with `entry_no > after`, by `entry_no`."""
        first: Make[int] = itemgetter(0)
        return await self._reads.rows(first, texts.SELECT_SEQS, execution_id, after, limit)

    async def claim(
        self,
        expected: ExecutionRow,
        owner_id: str,
        now_ms: int,
    ) -> ExecutionRow | None:
        """Make `owner_id` the owner and raise `owner_epoch` by one; None if another was first.

        One conditional update, durable at return.
        """
        fence = expected.execution_id, expected.owner_epoch, expected.status
        rows = await self._writes.rows(self._execution, texts.CLAIM, owner_id, now_ms, *fence)
        return rows[0] if rows else None

    async def running_owners(self) -> list[OwnerLoad]:
        """Who owns what is running: a row for each owner, workflow and key."""
        return await self._reads.rows(OwnerLoad._make, texts.SELECT_OWNERS)

    async def key_checks(self) -> dict[int, bytes]:
        """The stored check of every key id that something was written under."""
        return dict(await self._reads.rows(tuple[int, bytes], texts.SELECT_KEY_CHECKS))

    def announce_key(self, key_id: int, check: bytes) -> None:
        """Store `check` in the transaction of the next payload or start of this backend."""
        self._key_check.announce(key_id, check)

    async def strays(self, execution_id: bytes | None = None, limit: int = 100) -> list[Stray]:
        """What no execution accounts for, at most `limit`, read in one statement."""
        if execution_id is None:
            return await self._reads.rows(_stray, texts.SELECT_STRAYS, limit)
        only = [execution_id] * len(StrayKind)
        return await self._reads.rows(_stray, texts.SELECT_STRAYS_OF, *only, limit)

    async def find_promise(self, promise_id: bytes) -> PromiseRow | None:
        """The promise with that id, or None. Never waits behind the writer."""
        rows = await self._reads.rows(PromiseRow._make, texts.SELECT_PROMISE, promise_id)
        return rows[0] if rows else None

    async def promises_of(self, execution_id: bytes) -> list[PromiseRow]:
        """The committed promises of an execution by `created_at` and `promise_id`."""
        return await self._reads.rows(PromiseRow._make, texts.SELECT_PROMISES, execution_id)

    async def timers_of(self, execution_id: bytes) -> list[TimerRow]:
        """The committed timers of an execution by `due_at` and `timer_id`."""
        rows = await self._reads.rows(TimerRow._make, texts.SELECT_TIMERS, execution_id)
        # Each database of a server may order texts in another way, so that this is done here.
        return sorted(rows, key=itemgetter(2, 1))

    async def post_inbox(self, row: InboxRow) -> bool:
        """File a request unless its slot is taken; `EntryRejected` without such an execution."""
        check = self._key_check
        waiting = None if row.payload is None else check.waiting
        filed = await self._writes.transact(lambda: filing(row, self._insert_request, waiting))
        check.committed(waiting)
        return filed

    async def read_inbox(self, owner_id: str | None = None, limit: int = 100) -> list[InboxRow]:
        """The oldest requests, all or those for executions of one owner."""
        if owner_id is None:
            return await self._reads.rows(InboxRow._make, texts.SELECT_REQUESTS, limit)
        text = texts.SELECT_REQUESTS_OF_OWNER
        return await self._reads.rows(InboxRow._make, text, owner_id, limit)


class SqlJournal(ABC):
    """The part of a `Journal` that needs no text of a dialect's own.

    `reads` never waits behind the writer, and `writer` commits. What may take long runs on what
    `upkeep` gives, in the way of neither appends nor reads.
    """

    _reads: Statements
    _writer: Transactions
    _key_check: KeyCheck

    @abstractmethod
    async def _upkeep(self) -> Statements: ...

    @abstractmethod
    async def append(self, batch: CommitBatch) -> BatchOutcome:
        """Write `batch` in one transaction, as `Journal.append` says."""

    async def read_execution(self, execution_id: bytes) -> list[JournalRow]:
        """All rows of an execution by `entry_no`; empty where there is none. Unbounded."""
        return await self._reads.rows(_ENTRY, texts.SELECT_ENTRIES, execution_id)

    async def read_execution_range(
        self,
        execution_id: bytes,
        after: int,
        limit: int,
    ) -> list[JournalRow]:
        """At most `limit` committed rows with `entry_no > after`, by `entry_no`."""
        page = execution_id, after, limit
        return await self._reads.rows(_ENTRY, texts.SELECT_ENTRY_RANGE, *page)

    async def fold(self, fold: Fold) -> bool:
        """Let checkpoints take the place of entries, in one transaction; whether it applied."""
        waiting = self._key_check.waiting
        try:
            await self._writer.transact(lambda: folding(fold, waiting))
        except NotAsFolded:
            return False
        self._key_check.committed(waiting)
        return True

    async def finalize(self, change: HeadChange, closing: JournalRow) -> int | None:
        """`append` for one change and one row, without a writer; its seq, or None if fenced."""
        outcome = await self.append(CommitBatch((), (change,), (closing,)))
        return outcome.seqs[0]

    async def ended(
        self, after: EndedRow | None, limit: int, *, newest_first: bool = False
    ) -> list[EndedRow]:
        """At most `limit` terminal executions behind `after`, by `finalized_at` and id."""
        text, place = texts.SELECT_ENDED, _BEFORE_ALL
        if newest_first:
            text, place = texts.SELECT_NEWEST_ENDED, _BEHIND_ALL
        if after is not None:
            place = after.finalized_at, after.execution_id
        pages = (*place, limit) * texts.ENDED_PAGES
        return await (await self._upkeep()).rows(EndedRow._make, text, *pages, limit)

    async def open_usage(self) -> Usage:
        """What the executions hold that have not ended."""
        (usage,) = await (await self._upkeep()).rows(Usage._make, texts.SELECT_OPEN_USAGE)
        return usage

    async def reclaim(self) -> bool:
        """Nothing: for a database that gives back by itself what it does not need."""
        return False


def _stray(row: Any) -> Stray:  # noqa: ANN401 - what the driver makes of it
    return Stray(StrayKind(row[0]), row[1])
