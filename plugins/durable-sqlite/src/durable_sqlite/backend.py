"""The `sqlite` backend: one file (INV-14), its connections, its owners and what is not the journal.

The write connection takes everything that commits or that must be seen behind a commit; the read
connection takes the rest. In memory both are one connection.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Final, Self

from durable_core.contracts import (
    BackendCapabilities,
    BackendSettings,
    Claimable,
    Durability,
    InboxRow,
)
from durable_core.failpoints import Failpoints
from durable_core.model.execution import ExecutionRow, Status
from durable_core.storage.many import each
from durable_core.storage.refusals import closed
from durable_core.storage.statements import SqlBackend
from durable_sqlite import _sql
from durable_sqlite._connection import (
    Connection,
    connect,
    prepare_pruner,
    prepare_reader,
    stored_bytes,
)
from durable_sqlite._errors import opening_errors
from durable_sqlite._file import OpenedFile
from durable_sqlite._log import Log
from durable_sqlite._migrate import open_file, open_memory
from durable_sqlite._owners import OwnerLocks
from durable_sqlite._url import Location, parse_url
from durable_sqlite.journal import SqliteJournal

__all__ = ["LocalBackend"]

_ALL: Final = tuple(status.label for status in Status)
_ACTIVE: Final = frozenset({Status.RUNNING.label, Status.BLOCKED.label})


class LocalBackend(SqlBackend):
    """A journal in one SQLite file, for any number of processes of one host.

    What each method promises stands in `ExecutionBackend`. An acknowledged commit survives the
    loss of power with `Durability.FULL`, and the death of the process with `Durability.NORMAL`.
    """

    name: ClassVar = "sqlite"
    capabilities: ClassVar = BackendCapabilities(shared=False, notifies=False, evicts=False)
    _insert_request: ClassVar = _sql.INSERT_REQUEST

    def __init__(
        self,
        location: Location,
        settings: BackendSettings,
        writer: Connection,
        reader: Connection,
        file: OpenedFile,
        failpoints: Failpoints,
    ) -> None:
        self._location = location
        self._settings = settings
        super().__init__(location.address, reader, writer)
        self._writer = writer
        self._reader = reader
        self._pruner: Connection | None = None
        self._opening_pruner = asyncio.Lock()
        self._closed = False
        self._owners = OwnerLocks(location.owners)
        opener, check = self._open_pruner, self._key_check
        self._file = file
        log = Log(location.path if settings.durability is Durability.FULL else None)
        self._journal = SqliteJournal(writer, reader, opener, failpoints, check, file, log)

    @classmethod
    async def open(cls, url: str, settings: BackendSettings) -> Self:
        """Create or open the file that `url` names, migrate it, and return a usable backend.

        Symbolic links are resolved: every path to one file is one journal. A new file gets mode
        0600. `ConfigError` for a URL, path or file that cannot be a journal, or that is another
        application's database; `SchemaTooNew` for a journal of a newer version. On any error
        nothing stays open, and a file that is not ours is as it was. Waits at most about 10 s
        for others that open or migrate.
        """
        location = parse_url(url)
        failpoints = Failpoints.from_environment()
        path = location.path
        if path is None:
            memory = await Connection.start(
                lambda: open_memory(settings, failpoints),
                location.address,
            )
            return cls(location, settings, memory, memory, OpenedFile.at(None), failpoints)
        writer = await Connection.start(
            lambda: open_file(path, settings, failpoints),
            location.address,
        )
        async with AsyncExitStack() as on_error:
            on_error.push_async_callback(writer.close)
            with opening_errors(location.address):
                file = OpenedFile.at(path)
            reader = await Connection.start(
                lambda: prepare_reader(connect(path, settings)),
                location.address,
            )
            on_error.pop_all()
        return cls(location, settings, writer, reader, file, failpoints)

    async def close(self) -> None:
        """Finish what was handed over, close every connection, release the owner locks."""
        async with AsyncExitStack() as closing:
            closing.callback(self._owners.release)
            closing.push_async_callback(self._writer.close)
            closing.push_async_callback(self._reader.close)
            closing.push_async_callback(self._close_pruner)

    async def list_executions(
        self,
        *,
        statuses: Sequence[str] = (),
        workflow: str | None = None,
        after: bytes | None = None,
        limit: int = 100,
    ) -> list[ExecutionRow]:
        """At most `limit` rows by execution id (so by age) above `after`; no filter where empty."""
        wanted = tuple(dict.fromkeys(statuses))
        name = None if workflow is None else stored_bytes(workflow)
        page = (after or b"", name, name, limit)
        if not wanted:
            # Not by way of all the words: a row with another one is not to be left out.
            return await self._reads.rows(self._execution, _sql.LIST_ALL, *page)
        text = _sql.LIST_ACTIVE if _ACTIVE.issuperset(wanted) else _sql.LIST_ANY
        slots = tuple(wanted[min(i, len(wanted) - 1)] for i in range(len(_ALL)))
        return await self._reads.rows(self._execution, text, *slots, *page)

    async def heads(self, execution_ids: Sequence[bytes]) -> list[ExecutionRow]:
        """The rows of these executions, read *behind* every append that was handed over before."""

        def job(connection: sqlite3.Connection) -> list[ExecutionRow]:
            return [
                self._execution(row)
                for found in each(
                    connection.execute, _sql.SELECT_HEADS, [(one,) for one in execution_ids]
                )
                for row in found.fetchall()
            ]

        return await self._writer.call(job)

    async def max_seq(self) -> int:
        """The largest assigned `seq`, 0 in an empty journal; ordered like `heads`."""
        ((largest,),) = await self._writes.rows(tuple[int | None], _sql.SELECT_MAX_SEQ)
        return largest or 0

    async def claim(
        self,
        expected: ExecutionRow,
        owner_id: str,
        now_ms: int,
    ) -> ExecutionRow | None:
        """Make `owner_id` the owner and raise `owner_epoch` by one; None where another was first.

        One conditional update, durable at return.
        """
        self._file.require_in_place()
        return await super().claim(expected, owner_id, now_ms)

    async def claim_waiting(
        self,
        which: Claimable,
        owner_id: str,
        now_ms: int,
        limit: int,
    ) -> list[ExecutionRow]:
        """Claim the oldest of what is `which`, at most `limit`, in one transaction."""
        lists = which.owners, which.workflows, which.key_ids, [one.hex() for one in which.passed]
        wanted = owner_id, now_ms, *(json.dumps(list(one)) for one in lists), limit
        self._file.require_in_place()
        return sorted(await self._writes.rows(self._execution, _sql.CLAIM_WAITING, *wanted))

    async def hold_owner_lock(
        self,
        owner_id: str,
        standing: Callable[[bool], None] | None = None,  # noqa: ARG002 - this lock is never lost
    ) -> None:
        """Take the lock that says that `owner_id` lives, until `close` or the process's death."""
        await self._owners.hold(owner_id)

    async def owner_alive(self, owner_id: str) -> bool:
        """Whether somebody holds that owner's lock, probed in shared mode without waiting."""
        return self._owners.alive(owner_id)

    async def post_inbox(self, row: InboxRow) -> bool:
        """File a request unless its slot is taken; whether it was filed. Durable at return.

        `EntryRejected` where the execution does not exist.
        """
        self._file.require_in_place()
        return await super().post_inbox(row)

    async def read_inbox(self, owner_id: str | None = None, limit: int = 100) -> list[InboxRow]:
        """The oldest requests, all or those for executions of one owner.

        `JournalUnavailable` also where the file is not in its place any more: an engine that
        commits nothing asks for requests all the time, so this is where it learns that.
        """
        self._file.require_in_place()
        return await super().read_inbox(owner_id, limit)

    async def remove_inbox(self, execution_id: bytes, slot: str) -> None:
        """Delete a request that its owner has journaled or refused."""
        await self._writes.rows(tuple, _sql.DELETE_REQUEST, execution_id, stored_bytes(slot))

    async def probe(self) -> None:
        """Commit something that changes nothing; raises like `Journal.append` if that fails."""
        self._file.require_in_place()
        await self._writes.rows(tuple, _sql.PROBE)

    def _execution(self, row: Any) -> ExecutionRow:  # noqa: ANN401 - what the driver makes of it
        """With `sealed` and `stamped` as the booleans that they are."""
        return ExecutionRow._make((*row[:7], bool(row[7]), bool(row[8]), *row[9:]))

    async def _open_pruner(self) -> Connection:
        """The maintenance connection, opened at its first use; in memory the only one there is."""
        path = self._location.path
        if path is None:
            return self._writer
        async with self._opening_pruner:
            if self._closed:
                raise closed(self.address)
            if self._pruner is None:
                self._file.require_in_place()  # or SQLite would make a new one
                self._pruner = await Connection.start(
                    lambda: prepare_pruner(connect(path, self._settings), self._settings),
                    self.address,
                )
        return self._pruner

    async def _close_pruner(self) -> None:
        """Close it, behind whoever is opening it at this moment; nobody opens it from then on."""
        async with self._opening_pruner:
            self._closed = True
            if self._pruner is not None:
                await self._pruner.close()
