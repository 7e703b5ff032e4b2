"""The journal of one SQLite database: appends on one connection, reads on another."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence

from durable_core.contracts import BatchOutcome, CommitBatch, Fold, PruneReport
from durable_core.failpoints import Failpoints
from durable_core.storage.batches import retention_ages
from durable_core.storage.keycheck import KeyCheck
from durable_core.storage.statements import SqlJournal
from durable_sqlite import _sql
from durable_sqlite._commit import commit
from durable_sqlite._connection import Connection, immediate
from durable_sqlite._file import OpenedFile

__all__ = ["SqliteJournal"]


class SqliteJournal(SqlJournal):
    """The `Journal` of one SQLite database.

    `writer` commits, and `reader` never waits for it. `pruner` opens, at its first call, the
    connection that deletes: a long delete must not stand before an append in one queue.
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
    ) -> None:
        self._writer = writer
        self._reads = reader
        self._pruner = pruner
        self._failpoints = failpoints
        self._key_check = key_check
        self._file = file

    async def append(self, batch: CommitBatch) -> BatchOutcome:
        """Write `batch` in one transaction; durable at return, as `Journal.append` says.

        A cancelled caller does not stop the transaction, and a later append runs behind it.
        """
        rest = (batch, self._failpoints, self._key_check)

        def job(connection: sqlite3.Connection) -> BatchOutcome:
            self._file.require_in_place()
            return commit(connection, *rest)

        return await self._writer.call(job)

    async def fold(self, fold: Fold) -> bool:
        """Let checkpoints take the place of entries, in one transaction; whether it applied."""
        self._file.require_in_place()
        return await super().fold(fold)

    async def prune(
        self,
        *,
        completed_before: int,
        failed_before: int,
        limit: int,
    ) -> PruneReport:
        """Delete at most `limit` terminal executions finalized before the given times (ms).

        The completed ones go first. Appends wait while it runs, so keep `limit` in the hundreds.
        """
        ages = retention_ages(completed_before, failed_before)
        connection = await self._pruner()
        return await connection.call(lambda raw: _prune(raw, ages, limit))


def _prune(
    connection: sqlite3.Connection,
    ages: Sequence[tuple[str, int]],
    limit: int,
) -> PruneReport:
    """Choose and delete under one write lock: what is chosen as terminal still is when it goes."""
    connection.execute(_sql.CREATE_PRUNED)
    with immediate(connection):
        connection.execute(_sql.CLEAR_PRUNED)
        left = limit
        for status, before in ages:
            left -= connection.execute(_sql.FILL_PRUNED, (status, before, left)).rowcount
        for text in _sql.PRUNE_OWNED:
            connection.execute(text)
        entries = connection.execute(_sql.PRUNE_ENTRIES).rowcount
        executions = connection.execute(_sql.PRUNE_EXECUTIONS).rowcount
    return PruneReport(executions, entries)
