"""The connections of one backend: those that write, and a few that read; made anew when lost."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, TypeAlias, TypeVar

import asyncpg
from attrs import define, field, frozen

from durable_core.contracts import BackendSettings, Durability
from durable_core.errors import EntryRejected, TransientStoreError
from durable_core.storage.forking import at_fork
from durable_core.storage.jobs import Jobs
from durable_core.storage.patience import ask_again
from durable_core.storage.refusals import closed
from durable_core.storage.scripts import Script
from durable_core.storage.statements import Make
from durable_core.storage.texts import numbered
from durable_postgres import _sql
from durable_postgres._errors import connecting, running

__all__ = ["CONNECT_S", "Connection", "Connector", "Reader", "Session", "Writer", "end", "played"]

T = TypeVar("T")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONNECT_S: Final = 10.0
_READERS: Final = 4
_READ_S: Final = 60.0


@define(eq=False)
class Connector:
    """Makes connections, and keeps a forked child from holding any of them open.

    The session of an owner ends with its process. A child that inherits the socket would keep it,
    so it puts another file in its place and sends nothing: the session belongs to the parent.
    """

    url: str = field(repr=False)
    address: str
    settings: BackendSettings
    _made: weakref.WeakSet[Connection] = field(factory=weakref.WeakSet, init=False)
    _forks: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        at_fork(self, before="_count", after_in_child="_leave")

    @property
    def lock_timeout(self) -> str:
        """Below the acknowledgement timeout, so that the writer can still try again."""
        return f"{max(1, self.settings.ack_timeout_ms // 2)}ms"

    async def connect(self) -> Connection:
        """A bare connection within `CONNECT_S`; raises what the driver raises."""
        while True:
            forks = self._forks
            connection = await asyncpg.connect(
                self.url,
                timeout=CONNECT_S,
                max_cached_statement_lifetime=0,
                max_cacheable_statement_size=0,
            )
            self._made.add(connection)
            if forks == self._forks:
                return connection
            connection.terminate()  # a child may have it, and did not know

    async def connected(self, prepare: Callable[[Connection], Awaitable[None]]) -> Connection:
        """Another one, with what `prepare` does to it; driver errors are translated."""
        return await connecting(self.address, self._prepared(prepare))

    async def _prepared(self, prepare: Callable[[Connection], Awaitable[None]]) -> Connection:
        connection = await self.connect()
        try:
            async with asyncio.timeout(CONNECT_S):
                await prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _count(self) -> None:
        self._forks += 1

    def _leave(self) -> None:
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for connection in self._made:
            # The driver publishes no way to its socket.
            transport: asyncio.Transport = getattr(connection, "_transport")  # noqa: B009
            wire = transport.get_extra_info("socket")
            if wire.fileno() >= 0:
                os.dup2(nothing, wire.fileno(), inheritable=False)
        os.close(nothing)


@frozen
class Session:
    """Which session of the server a connection has; a number alone may be another's by now."""

    pid: int
    started: object

    @classmethod
    async def after(cls, earlier: Session | None, connection: Connection) -> Session:
        """The session of this connection, when the one that it takes the place of is over.

        The server's own also through a pooler in session mode.
        """
        session = cls(*(await connection.fetch(_sql.BACKEND))[0])
        if earlier is not None:
            await earlier.end(connection)
        return session

    async def end(self, connection: Connection) -> None:
        """End it, by way of another connection, unless it is over; returns when it is.

        Its open transaction is rolled back then, or has committed.
        """
        ended = await connection.fetch(_sql.END_BACKEND, self.pid, self.started)
        if ended and not ended[0][0]:
            message = "an earlier session of this engine is still ending on the server; try again"
            raise TransientStoreError(message)


class Writer:
    """A connection that commits. One job at a time, in order of the calls, each within `limit_s`.

    A caller that is cancelled does not stop its job, and the next one runs behind it. A connection
    that broke is made anew at the next use, behind whatever the old one still had to commit.
    """

    def __init__(self, connector: Connector, limit_s: float | None) -> None:
        self._connector = connector
        self._limit_s = limit_s
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None
        self._session: Session | None = None
        self._jobs = Jobs(connector.address)

    async def adopt(self, connection: Connection) -> None:
        """Make `connection` the one that commits."""
        settings = self._connector.settings
        full = settings.durability is Durability.FULL
        await connection.fetch(_sql.WRITER_SETTINGS, self._connector.lock_timeout, full)
        self._session = await Session.after(self._session, connection)
        self._connection = connection

    async def rows(self, make: Make[T], text: str, *parameters: object) -> list[T]:
        """What `make` makes of each row of one statement, which is its own transaction."""
        text = numbered(text)
        found = await self.run(lambda connection: connection.fetch(text, *parameters))
        return [make(row) for row in found]

    async def transact(self, script: Callable[[], Script[T]]) -> T:
        """What the script returns, run as one transaction."""

        async def job(connection: Connection) -> T:
            async with connection.transaction():
                return await played(connection, script())

        return await self.run(job)

    async def run(self, job: Callable[[Connection], Awaitable[T]]) -> T:
        """What `job` returns; driver errors are translated, as `Journal` says."""
        return await self._jobs.run(lambda: self._run(job))

    async def close(self) -> None:
        """Finish what was handed over, within `CONNECT_S`, and close. Idempotent."""
        await self._jobs.finish(CONNECT_S, self._cut)
        connection, self._connection = self._connection, None
        if connection is not None:
            await end(connection)

    def _cut(self) -> None:
        if self._connection is not None:
            self._connection.terminate()  # it gets no answer, and nobody is to wait for one

    async def _run(self, job: Callable[[Connection], Awaitable[T]]) -> T:
        address = self._connector.address
        async with self._turn:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connector.connected(self.adopt)
            return await running(address, self._within_limit(job, self._connection))

    async def _within_limit(
        self, job: Callable[[Connection], Awaitable[T]], connection: Connection
    ) -> T:
        try:
            async with asyncio.timeout(self._limit_s):
                return await job(connection)
        except (TimeoutError, asyncpg.ReadOnlySQLTransactionError, asyncio.CancelledError):
            # No answer, or a server that a failover left: the next use looks for another.
            connection.terminate()
            raise


class Reader:
    """A few connections for everything that only reads, made as they are used.

    What the server cannot answer just now is asked again until the acknowledgement timeout.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._patience_s = connector.settings.ack_timeout_ms / 1000
        self._idle: asyncio.LifoQueue[Connection | None] = asyncio.LifoQueue()
        self._closed = False
        for _ in range(_READERS):
            self._idle.put_nowait(None)

    async def rows(self, make: Make[T], text: str, *parameters: object) -> list[T]:
        """What `make` makes of each row of one statement; none for a text that no row can hold."""
        text = numbered(text)
        try:
            found = await ask_again(lambda: self._once(text, parameters), self._patience_s)
        except EntryRejected:
            return []
        return [make(row) for row in found]

    async def close(self) -> None:
        """Close every connection, behind what is being read. Idempotent."""
        self._closed = True
        for connection in [await self._idle.get() for _ in range(_READERS)]:
            self._idle.put_nowait(None)
            if connection is not None:
                await end(connection)

    async def _once(self, text: str, parameters: Sequence[object]) -> list[asyncpg.Record]:
        address = self._connector.address
        connection = await self._idle.get()
        try:
            if self._closed:
                raise closed(address)
            if connection is None or connection.is_closed():
                connection = await connecting(address, self._connector.connect())
            return await running(address, _answer(connection, text, parameters))
        finally:
            self._idle.put_nowait(connection)


async def _answer(
    connection: Connection, text: str, parameters: Sequence[object]
) -> list[asyncpg.Record]:
    try:
        async with asyncio.timeout(_READ_S):
            return await connection.fetch(text, *parameters)
    except (TimeoutError, asyncio.CancelledError):
        connection.terminate()  # its answer is still to come, or never will
        raise


async def played(connection: Connection, script: Script[T]) -> T:
    """What the script returns, run in the transaction that is open."""
    try:
        text, parameters = next(script)
        while True:
            found = await connection.fetch(numbered(text), *parameters)
            text, parameters = script.send([tuple(row) for row in found])
    except StopIteration as end:
        returned: T = end.value
        return returned


async def end(connection: Connection) -> None:
    """Close; what does not end in time is cut."""
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        await connection.close(timeout=CONNECT_S / 2)
