"""The journal of one Postgres database: a batch is one statement in one round trip."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter

import asyncpg
from attrs import define, field

from durable_core.contracts import BatchOutcome, CommitBatch, EndedRow, Notice
from durable_core.errors import TransientStoreError
from durable_core.failpoints import VARIABLE, Failpoints
from durable_core.storage import batches
from durable_core.storage.keycheck import KeyCheck
from durable_core.storage.scripts import storing_check
from durable_core.storage.statements import SqlJournal
from durable_core.storage.turns import meanwhile
from durable_postgres import _sql
from durable_postgres._commit import holders_unseen, statement_of
from durable_postgres._connections import Connection, Reader, Writer, played
from durable_postgres._errors import running

__all__ = ["PostgresJournal"]


@define(slots=False)
class PostgresJournal(SqlJournal):
    """The `Journal` of one Postgres database. What each method promises stands there.

    `writer` commits, `reads` never waits for it, and `pruner` deletes and counts: neither may stand
    before an append. `tell` takes what others may be waiting for.
    """

    _address: str
    _writer: Writer
    _reads: Reader
    _pruner: Writer
    _failpoints: Failpoints
    _key_check: KeyCheck
    _tell: Callable[[Iterable[Notice]], None]
    _stepwise: bool = field(factory=lambda: bool(os.environ.get(VARIABLE)), init=False)
    """A crash test stops inside of a transaction, so that there has to be one which is open."""

    async def append(self, batch: CommitBatch) -> BatchOutcome:
        """Write `batch` in one transaction; durable at return, as `Journal.append` says.

        A cancelled caller does not stop the transaction, and a later append runs behind it.
        """
        self._failpoints.reach("backend.commit.before")
        outcome = await self._writer.run(lambda connection: self._commit(connection, batch))
        self._failpoints.reach("backend.commit.after")
        self._tell(batches.notices_of(batch, outcome))
        return outcome

    async def prune(self, rows: Sequence[EndedRow]) -> frozenset[bytes]:
        """Delete what is as in `rows` still; what somebody else changes just now is passed over."""
        columns = list(zip(*(row.fence for row in rows), strict=True)) or [()] * 4
        return frozenset(await self._pruner.rows(itemgetter(0), _sql.PRUNE, *columns))

    async def _upkeep(self) -> Writer:
        return self._pruner

    async def _commit(self, connection: Connection, batch: CommitBatch) -> BatchOutcome:
        written = await self._write(connection, batch)
        outcome = batches.outcome_of(batch, map(tuple, written))
        if not batch.starts:
            return outcome
        try:
            work = holders_unseen(connection, batch, written, outcome, self._address)
            return await running(self._address, work)
        except TransientStoreError as error:  # the batch itself has committed
            raise TransientStoreError(str(error), landed_unknown=True) from None

    async def _write(self, connection: Connection, batch: CommitBatch) -> Sequence[asyncpg.Record]:
        text, parameters = statement_of(batch)
        waiting = self._key_check.waiting if batches.uses_key(batch) else None
        work = meanwhile(batch)
        if work is not None:
            asyncio.get_running_loop().call_soon(work)
        if waiting is None and not self._stepwise:
            return await connection.fetch(text, *parameters)
        async with connection.transaction():
            await played(connection, storing_check(waiting))
            written = await connection.fetch(text, *parameters)
            if batches.ends_something(batch):
                self._failpoints.reach("backend.finalize.inside")
            self._failpoints.reach("backend.commit.inside")
        self._key_check.committed(waiting)
        return written
