"""From a database to a journal of the current schema version, or to a clear refusal.

Nothing is written before the schema is known to be empty or a journal of ours. Migrating is one
transaction under an advisory lock, so that of many first opens at once one migrates and the others
find it done, and a crash leaves an old version or a new one (EC-30).
"""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg

from durable_core.clock import SystemClock
from durable_core.errors import ConfigError
from durable_core.failpoints import Failpoints
from durable_core.storage.migrations import Migrations, foreign, is_journal, none_yet
from durable_core.storage.refusals import unusable_url
from durable_core.storage.texts import INSERT_VERSION, SELECT_VERSION, numbered
from durable_postgres import _sql
from durable_postgres._connections import Connection, Connector
from durable_postgres._errors import NO_SCHEMA, POOLED

__all__ = ["migrate", "require_session"]

_OLDEST_SERVER: Final = 14
_POOL_ANSWER_S: Final = 3.0


async def require_session(connection: Connection, connector: Connector) -> None:
    """`ConfigError` for a server that is too old, or a pooler that lends for less than a session.

    A pooler gives its clients numbers of its own. Behind one, a second client opens a transaction:
    where it gets the session that the first one had, sessions are lent, not given.
    """
    major = connection.get_server_version().major
    if major < _OLDEST_SERVER:
        message = (
            f"{connector.address} is Postgres {major}, which is too old for a journal; "
            f"use {_OLDEST_SERVER} or newer"
        )
        raise ConfigError(message)
    if await connection.fetchval(_sql.BACKEND_PID) == connection.get_server_pid():
        return
    other: Connection | None = None
    try:
        async with asyncio.timeout(_POOL_ANSWER_S):
            other = await connector.connect()
            lent = await _is_lent(connection, other)
    except TimeoutError:
        lent = True  # the one connection of its pool is in the transaction
    finally:
        if other is not None:
            other.terminate()
    if lent:
        connection.terminate()
        raise unusable_url(connector.address, POOLED)


async def _is_lent(connection: Connection, other: Connection) -> bool:
    first = await connection.fetchval(_sql.BACKEND_PID)
    try:
        await other.transaction().start()
    except asyncpg.PostgresConnectionError:
        await connection.fetchval(_sql.BACKEND_PID)  # raises where it is the server that is gone
        return True  # it lends for a statement, and allows no transaction of several
    if await other.fetchval(_sql.BACKEND_PID) == first:
        return True
    return bool(first != await connection.fetchval(_sql.BACKEND_PID))


async def migrate(
    connection: Connection, address: str, failpoints: Failpoints, *, must_exist: bool
) -> None:
    """`ConfigError` for a schema that is not ours, `SchemaTooNew` for one of a newer version."""
    newest = _migrations().newest
    stored = await _version(connection, address)
    if stored == newest:
        return
    if must_exist and stored == 0:
        raise none_yet(address)
    # By default it may be stricter, and see nothing of what another did while this one waited.
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(_sql.WAIT_FOR_MIGRATION)
        await connection.fetch(_sql.LOCK_MIGRATION)
        stored = await _version(connection, address)
        if stored < newest:
            failpoints.reach("backend.migrate.before")
            for number, text in _migrations().pending(stored):
                await connection.execute(text)
                await connection.fetch(numbered(INSERT_VERSION), number, SystemClock().now_ms())
                failpoints.reach("backend.migrate.inside")


async def _version(connection: Connection, address: str) -> int:
    """The version of the journal in the schema, 0 where the schema is empty."""
    if await connection.fetchval(_sql.SELECT_SCHEMA) is None:
        raise unusable_url(address, NO_SCHEMA)
    if not is_journal(address, await _tables(connection)):
        return 0
    try:
        stored = await connection.fetchval(SELECT_VERSION)
    except (asyncpg.UndefinedColumnError, asyncpg.DatatypeMismatchError):
        raise foreign(address) from None
    # Looked at behind the version: a migration beside this one may have come between.
    return _migrations().require_whole(address, await _tables(connection), stored)


async def _tables(connection: Connection) -> frozenset[str]:
    return frozenset(row[0] for row in await connection.fetch(_sql.SELECT_TABLES))


def _migrations() -> Migrations:
    return Migrations.of("durable_postgres")
