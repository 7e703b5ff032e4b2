"""The `sqlite` backend: one file (INV-14), its connections, its owners and what is not the journal.

The write connection takes everything that commits or that must be seen behind a commit; the read
connection takes the rest. In memory both are one connection.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Final, Self

from durable_core.contracts import (
    BackendCapabilities,
    BackendSettings,
    Claimable,
    ExecutionBackend,
    InboxRow,
    Journal,
    OwnerLoad,
    Stray,
    StrayKind,
)
from durable_core.failpoints import Failpoints
from durable_core.model.execution import ExecutionRow, Status
from durable_core.storage.keycheck import KeyCheck
from durable_sqlite import _sql
from durable_sqlite._connection import (
    Connection,
    connect,
    immediate,
    prepare_pruner,
    prepare_reader,
    stored_bytes,
)
from durable_sqlite._errors import opening_errors
from durable_sqlite._file import OpenedFile
from durable_sqlite._keycheck import store_key_check
from durable_sqlite._migrate import open_file, open_memory
from durable_sqlite._owners import OwnerLocks
from durable_sqlite._url import Location, parse_url
from durable_sqlite.journal import SqliteJournal

__all__ = ["LocalBackend"]

_ALL: Final = tuple(status.label for status in Status)
_ACTIVE: Final = frozenset({Status.RUNNING.label, Status.BLOCKED.label})


class LocalBackend(ExecutionBackend):
    """A journal in one SQLite file, for any number of processes of one host.

    What each method promises stands in `ExecutionBackend`. An acknowledged commit survives the
    loss of power with `Durability.FULL`, and the death of the process with `Durability.NORMAL`.
    """

    name: ClassVar = "sqlite"
    capabilities: ClassVar = BackendCapabilities(shared=False, notifies=False, evicts=False)

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
        self._writer = writer
        self._reader = reader
        self._pruner: Connection | None = None
        self._opening_pruner = asyncio.Lock()
        self._owners = OwnerLocks(location.owners)
        self._key_check = KeyCheck()
        opener = self._open_pruner
        self._file = file
        self._journal = SqliteJournal(writer, reader, opener, failpoints, self._key_check, file)

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

    @property
    def journal(self) -> Journal:
        """The journal in this file."""
        return self._journal

    @property
    def address(self) -> str:
        """The URL with the resolved path."""
        return self._location.address

    async def close(self) -> None:
        """Finish what was handed over, close every connection, release the owner locks."""
        async with AsyncExitStack() as closing:
            closing.callback(self._owners.release)
            closing.push_async_callback(self._writer.close)
            closing.push_async_callback(self._reader.close)
            if self._pruner is not None:
                closing.push_async_callback(self._pruner.close)

    async def load(self, execution_id: bytes) -> ExecutionRow | None:
        """The execution's committed row, or None. Never waits behind the writer."""
        rows = await self._executions(self._reader, _sql.SELECT_EXECUTION, (execution_id,))
        return rows[0] if rows else None

    async def find(self, workflow: str, execution_key: str) -> bytes | None:
        """The id of the execution that has this key, or None."""
        rows = await _fetch(self._reader, _sql.SELECT_BY_KEY, (workflow, execution_key))
        return rows[0][0] if rows else None

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
            return await self._executions(self._reader, _sql.LIST_ALL, page)
        text = _sql.LIST_ACTIVE if _ACTIVE.issuperset(wanted) else _sql.LIST_ANY
        slots = tuple(wanted[min(i, len(wanted) - 1)] for i in range(len(_ALL)))
        return await self._executions(self._reader, text, (*slots, *page))

    async def heads(self, execution_ids: Sequence[bytes]) -> list[ExecutionRow]:
        """The rows of these executions, read *behind* every append that was handed over before."""

        def job(connection: sqlite3.Connection) -> list[ExecutionRow]:
            return [
                _execution(row)
                for chunk in _sql.in_chunks(execution_ids)
                for row in connection.execute(_sql.SELECT_HEADS[len(chunk)], chunk).fetchall()
            ]

        return await self._writer.call(job)

    async def max_seq(self) -> int:
        """The largest assigned `seq`, 0 in an empty journal; ordered like `heads`."""
        rows = await _fetch(self._writer, _sql.SELECT_MAX_SEQ)
        return rows[0][0] or 0

    async def stored_seqs(self, execution_id: bytes, after: int, limit: int) -> list[int]:
        """The seqs of at most `limit` committed rows with `entry_no > after`, by `entry_no`."""
        rows = await _fetch(self._reader, _sql.SELECT_SEQS, (execution_id, after, limit))
        return [seq for (seq,) in rows]

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
        fence = (expected.execution_id, expected.owner_epoch, expected.status)
        rows = await self._executions(self._writer, _sql.CLAIM, (owner_id, now_ms, *fence))
        return rows[0] if rows else None

    async def running_owners(self) -> list[OwnerLoad]:
        """Who owns what is running: a row for each owner, workflow and key."""
        rows = await _fetch(self._reader, _sql.SELECT_OWNERS)
        return [OwnerLoad._make(row) for row in rows]

    async def claim_waiting(
        self,
        which: Claimable,
        owner_id: str,
        now_ms: int,
        limit: int,
    ) -> list[ExecutionRow]:
        """Claim the oldest of what is `which`, at most `limit`, in one transaction."""
        wanted = {
            "owners": json.dumps(list(which.owners)),
            "workflows": json.dumps(list(which.workflows)),
            "key_ids": json.dumps(list(which.key_ids)),
            "passed": json.dumps([one.hex() for one in which.passed]),
            "owner_id": owner_id,
            "now_ms": now_ms,
            "limit": limit,
        }
        self._file.require_in_place()
        rows = await _fetch(self._writer, _sql.CLAIM_WAITING, wanted)
        return sorted(_execution(row) for row in rows)

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

    async def key_checks(self) -> dict[int, bytes]:
        """The stored check of every key id ever used with this database."""
        return dict(await _fetch(self._reader, _sql.SELECT_KEY_CHECKS))

    def announce_key(self, key_id: int, check: bytes) -> None:
        """Store `check` in the transaction of the next payload or start of this backend."""
        self._key_check.announce(key_id, check)

    async def strays(self, execution_id: bytes | None = None, limit: int = 100) -> list[Stray]:
        """What no execution accounts for, at most `limit`, read in one statement."""
        text = _sql.SELECT_STRAYS if execution_id is None else _sql.SELECT_STRAYS_OF
        rows = await _fetch(self._reader, text, {"only": execution_id, "limit": limit})
        return [Stray(StrayKind(kind), found) for kind, found in rows]

    async def post_inbox(self, row: InboxRow) -> bool:
        """File a request unless its slot is taken; whether it was filed. Durable at return.

        `EntryRejected` where the execution does not exist.
        """
        check = self._key_check

        def job(connection: sqlite3.Connection) -> bool:
            self._file.require_in_place()
            waiting = None if row.payload is None else check.waiting
            with immediate(connection):
                store_key_check(connection, waiting)
                filed = connection.execute(_sql.INSERT_REQUEST, row).rowcount == 1
            check.committed(waiting)
            return filed

        return await self._writer.call(job)

    async def read_inbox(self, owner_id: str | None = None, limit: int = 100) -> list[InboxRow]:
        """The oldest requests, all or those for executions of one owner.

        `JournalUnavailable` also where the file is not in its place any more: an engine that
        commits nothing asks for requests all the time, so this is where it learns that.
        """
        self._file.require_in_place()
        if owner_id is None:
            rows = await _fetch(self._reader, _sql.SELECT_REQUESTS, (limit,))
        else:
            rows = await _fetch(self._reader, _sql.SELECT_REQUESTS_OF_OWNER, (owner_id, limit))
        return [InboxRow._make(row) for row in rows]

    async def remove_inbox(self, execution_id: bytes, slot: str) -> None:
        """Delete a request that its owner has journaled or refused."""
        await _fetch(self._writer, _sql.DELETE_REQUEST, (execution_id, stored_bytes(slot)))

    async def probe(self) -> None:
        """Commit something that changes nothing; raises like `Journal.append` if that fails."""
        self._file.require_in_place()
        await _fetch(self._writer, _sql.PROBE)

    async def _executions(
        self,
        connection: Connection,
        text: str,
        parameters: tuple[object, ...],
    ) -> list[ExecutionRow]:
        return [_execution(row) for row in await _fetch(connection, text, parameters)]

    async def _open_pruner(self) -> Connection:
        """The maintenance connection, opened at its first use; in memory the only one there is."""
        path = self._location.path
        if path is None:
            return self._writer
        async with self._opening_pruner:
            if self._pruner is None:
                self._file.require_in_place()  # or SQLite would make a new one
                self._pruner = await Connection.start(
                    lambda: prepare_pruner(connect(path, self._settings), self._settings),
                    self.address,
                )
        return self._pruner


async def _fetch(
    connection: Connection,
    text: str,
    parameters: Sequence[object] | Mapping[str, object] = (),
) -> list[tuple[Any, ...]]:
    """All rows of one statement, which commits by itself where it writes."""
    return await connection.call(lambda raw: raw.execute(text, parameters).fetchall())


def _execution(row: tuple[Any, ...]) -> ExecutionRow:
    """A stored row, with `sealed` and `stamped` as the booleans that they are."""
    return ExecutionRow._make((*row[:7], bool(row[7]), bool(row[8]), *row[9:]))
