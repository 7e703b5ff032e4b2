"""The `postgres` backend: one database, or one schema of one, for many processes and hosts.

One connection commits and answers what must be seen behind a commit, a few read, one holds the
owner lock, sends and hears notices, and one prunes, from its first use.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import ClassVar, Final, Self

from durable_core.config import redact_url
from durable_core.contracts import (
    BackendCapabilities,
    BackendSettings,
    Claimable,
    InboxRow,
    Notice,
    NoticeKind,
)
from durable_core.errors import ConfigError, EntryRejected
from durable_core.failpoints import Failpoints
from durable_core.model.execution import NOBODY, ExecutionRow
from durable_core.storage.owners import is_owner_id, require_owner_id
from durable_core.storage.statements import SqlBackend
from durable_postgres import _sql
from durable_postgres._connections import CONNECT_S, Connection, Connector, Reader, Writer
from durable_postgres._errors import NotAllowed, opening
from durable_postgres._migrate import migrate, require_session
from durable_postgres._session import OwnerSession
from durable_postgres.journal import PostgresJournal

__all__ = ["PostgresBackend"]

_PRUNE_S: Final = 60.0
"""The longest that one batch of pruning may take, or its connection is given up."""

_NO_TEXT: Final = re.compile(r"[\0\ud800-\udfff]")
"""What a text can hold and no row can."""


class PostgresBackend(SqlBackend):
    """A journal in one Postgres database. What each method promises stands in the contract.

    An acknowledged commit survives the loss of power with `Durability.FULL` (`synchronous_commit`
    is `on` or `remote_apply`), and the death of this process with `Durability.NORMAL` (`off`: a
    crash of the server can lose what it acknowledged in the last fraction of a second).
    """

    name: ClassVar = "postgres"
    capabilities: ClassVar = BackendCapabilities(shared=True, notifies=True, evicts=True)
    _insert_request: ClassVar = _sql.INSERT_REQUEST

    def __init__(self, connector: Connector, writer: Writer, failpoints: Failpoints) -> None:
        self._writer = writer
        self._reader = Reader(connector)
        super().__init__(connector.address, self._reader, writer)
        self._pruner = Writer(connector, _PRUNE_S)
        self._session = OwnerSession(connector)
        parts = writer, self._reader, self._pruner, failpoints, self._key_check
        self._journal = PostgresJournal(self._address, *parts, self._session.tell)

    @classmethod
    async def open(cls, url: str, settings: BackendSettings) -> Self:
        """Connect, migrate under a lock, and return a usable backend.

        Host, user, password and TLS come from the URL and, where it leaves them out, from the
        usual `PG*` variables. `ConfigError` for a URL, user or database that cannot be used, and
        for a pooler that lends connections by the transaction; `JournalUnavailable` for a server
        that does not answer within ten seconds; `SchemaTooNew` for a journal of a newer version.
        """
        connector = Connector(url, redact_url(url), settings)
        failpoints = Failpoints.from_environment()
        limit_s = 2 * settings.ack_timeout_ms / 1000
        writer = Writer(connector, limit_s)
        connection = await opening(url, connector.address, connector.connect())
        try:
            work = _opened(connection, connector, writer, failpoints)
            await opening(url, connector.address, work)
        except BaseException:
            connection.terminate()
            raise
        return cls(connector, writer, failpoints)

    async def close(self) -> None:
        """Finish what was handed over, close every connection, release the owner lock."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._session.close)
            closing.push_async_callback(self._pruner.close)
            closing.push_async_callback(self._reader.close)
            closing.push_async_callback(self._writer.close)

    async def list_executions(
        self,
        *,
        statuses: Sequence[str] = (),
        workflow: str | None = None,
        after: bytes | None = None,
        limit: int = 100,
    ) -> list[ExecutionRow]:
        """At most `limit` rows by execution id (so by age) above `after`; no filter where empty."""
        wanted = list(statuses) or None
        page = after or b"", workflow, limit
        return await self._reads.rows(ExecutionRow._make, _sql.LIST, wanted, *page)

    async def heads(self, execution_ids: Sequence[bytes]) -> list[ExecutionRow]:
        """The rows of these executions, read *behind* every append that was handed over before."""
        return await self._writes.rows(ExecutionRow._make, _sql.SELECT_HEADS, list(execution_ids))

    async def max_seq(self) -> int:
        """The largest assigned `seq`, 0 in an empty journal; ordered like `heads`."""
        ((largest,),) = await self._writer.rows(tuple[int], _sql.SELECT_MAX_SEQ)
        return largest

    async def claim(
        self,
        expected: ExecutionRow,
        owner_id: str,
        now_ms: int,
    ) -> ExecutionRow | None:
        """Make `owner_id` the owner and raise `owner_epoch` by one; None if another was first."""
        claimed = await super().claim(expected, owner_id, now_ms)
        if claimed is not None and owner_id == NOBODY:
            self._session.tell([Notice(NoticeKind.WAITING, expected.execution_id)])
        return claimed

    async def claim_waiting(
        self,
        which: Claimable,
        owner_id: str,
        now_ms: int,
        limit: int,
    ) -> list[ExecutionRow]:
        """Claim the oldest of what is `which`, at most `limit`; passes over what is locked."""
        storable = [name for name in which.workflows if not _NO_TEXT.search(name)]
        wanted = [list(which.owners), storable, list(which.key_ids)]
        parameters = owner_id, now_ms, *wanted, list(which.passed), limit
        return sorted(await self._writes.rows(ExecutionRow._make, _sql.CLAIM_WAITING, *parameters))

    async def hold_owner_lock(
        self, owner_id: str, standing: Callable[[bool], None] | None = None
    ) -> None:
        """Take the lock that says that `owner_id` lives, until `close` or the process's death.

        It belongs to a session of the server. Where that breaks, `standing` hears False, the lock
        is taken anew in another session, and `standing` hears True.
        """
        require_owner_id(owner_id)
        await self._session.hold(owner_id, standing)

    async def owner_alive(self, owner_id: str) -> bool:
        """Whether somebody holds that owner's lock, probed in shared mode without waiting."""
        ours = self._session.holds(owner_id)
        if ours is not None:
            return ours
        if not is_owner_id(owner_id):
            return False
        rows = await self._reader.rows(tuple[bool], _sql.PROBE_OWNER, owner_id)
        return bool(rows) and not rows[0][0]

    async def evict(self, owner_id: str) -> bool:
        """End the session that holds that owner's lock; whether it is over.

        `ConfigError` where the role may not do that: it has to be the owner's role, a member of
        it, or of `pg_signal_backend`.
        """
        try:
            ended = await self._reader.rows(tuple[bool], _sql.EVICT_OWNER, owner_id)
        except NotAllowed as error:
            message = (
                f"this user may not end the owner's session in {self._address}; evict as the "
                "owner's role or a member of it, or grant pg_signal_backend"
            )
            raise ConfigError(message) from error
        return all(row[0] for row in ended) if ended else not await self.owner_alive(owner_id)

    def listen(self, hear: Callable[[Notice], None]) -> None:
        """Call `hear` on the event loop for what any engine commits, while there is a session."""
        self._session.listen(hear)

    async def post_inbox(self, row: InboxRow) -> bool:
        """File a request unless its slot is taken; `EntryRejected` without such an execution."""
        filed = await super().post_inbox(row)
        if filed:
            self._session.tell([Notice(NoticeKind.REQUEST, row.execution_id)])
        return filed

    async def remove_inbox(self, execution_id: bytes, slot: str) -> None:
        """Delete a request that its owner has journaled or refused."""
        with suppress(EntryRejected):  # a text that no row can hold
            await self._writer.rows(tuple, _sql.DELETE_REQUEST, execution_id, slot)

    async def probe(self) -> None:
        """Commit something that changes nothing; raises like `Journal.append` if that fails."""
        await self._writer.rows(tuple, _sql.PROBE)


async def _opened(
    connection: Connection, connector: Connector, writer: Writer, failpoints: Failpoints
) -> None:
    async with asyncio.timeout(2 * CONNECT_S):
        await require_session(connection, connector)
        must_exist = connector.settings.must_exist
        await migrate(connection, connector.address, failpoints, must_exist=must_exist)
        await writer.adopt(connection)
