"""The journal of one SQLite database: appends on one connection, reads on another."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence

from durable_core.contracts import BatchOutcome, CommitBatch, EndedRow, Fold
from durable_core.failpoints import Failpoints
from durable_core.storage.keycheck import KeyCheck
from durable_core.storage.statements import SqlJournal
from durable_core.storage.turns import Turns
from durable_sqlite import _sql
from durable_sqlite._commit import commit, prune
from durable_sqlite._connection import Connection
from durable_sqlite._file import OpenedFile
from durable_sqlite._log import Log

__all__ = ["SqliteJournal"]


class SqliteJournal(SqlJournal):
    """The `Journal` of one SQLite database.

    `writer` commits, and `reader` never waits for it. `pruner` opens, at its first call, the
    connection that deletes and counts: neither may stand before an append in one queue.
    """

    _writer: Connection

    def __init__(
        self,
        writer: Connection,
        reader: Connection,
        pruner: Callable[[], Awaitable[Connection]],
        failpoints: Failpoints,
        key_check: KeyCheck,
        file: OpenedFile,
        log: Log,
    ) -> None:
        self._writer = writer
        self._reads = reader
        self._pruner = pruner
        self._failpoints = failpoints
        self._key_check = key_check
        self._file = file
        self._log = log

    async def append(self, batch: CommitBatch) -> BatchOutcome:
        """Write `batch` in one transaction; durable at return, as `Journal.append` says.

        A cancelled caller does not stop the transaction, and a later append runs behind it.
        """
        turns = Turns.over(batch)
        rest = (batch, self._failpoints, self._key_check, turns, self._log)

        def job(connection: sqlite3.Connection) -> BatchOutcome:
            self._file.require_in_place()
            return commit(connection, *rest)

        return await self._writer.call(job, turns, batch.told)

    async def fold(self, fold: Fold) -> bool:
        """Let checkpoints take the place of entries, in one transaction; whether it applied."""
        self._file.require_in_place()
        return await super().fold(fold)

    async def prune(self, rows: Sequence[EndedRow]) -> frozenset[bytes]:
        """Delete what is as in `rows` still. Appends wait while it runs."""
        return await (await self._pruner()).call(lambda raw: prune(raw, rows))

    async def reclaim(self) -> bool:
        """Cut up to a MiB of free pages off the database; whether there are more. Appends wait.

        Behind the last of them the -wal is written back, without which the file stays as long.
        """
        pruner = await self._pruner()
        # As a script: it has no columns, and `execute` would stop it behind its first page.
        await pruner.call(lambda raw: raw.executescript(_sql.RECLAIM))
        if await pruner.rows(tuple, _sql.SOME_FREE):
            return True
        await pruner.rows(tuple, _sql.CHECKPOINT)
        return False

    async def _upkeep(self) -> Connection:
        return await self._pruner()
