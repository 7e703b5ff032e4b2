"""One SQLite connection with a thread of its own, and the settings of each kind of connection."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Self, TypeVar

import aiosqlite

from durable_core.contracts import BackendSettings
from durable_core.storage.answers import Answer
from durable_core.storage.refusals import closed
from durable_core.storage.scripts import Script, play
from durable_core.storage.statements import Make
from durable_core.storage.turns import Turns
from durable_sqlite import _sql
from durable_sqlite._errors import JournalErrors, opening_errors

__all__ = [
    "Connection",
    "abandon",
    "connect",
    "immediate",
    "played",
    "prepare_pruner",
    "prepare_reader",
    "prepare_writer",
    "stored_bytes",
]

T = TypeVar("T")

_BUSY_TIMEOUT_MS: Final = 1000
_CACHED_STATEMENTS: Final = 512
"""More than all texts of `_sql`, so that each is parsed once."""


class Connection(aiosqlite.Connection):
    """An `aiosqlite.Connection` that runs a whole job in one hop to its thread.

    Jobs run one after the other in the order in which they were handed over. A caller that is
    cancelled does not stop its job, and the next one still waits for it.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection], address: str) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._address = address
        self._errors = JournalErrors(address)
        self._ended = False
        self._stopped: asyncio.Future[None] | None = None

    @classmethod
    async def start(cls, connector: Callable[[], sqlite3.Connection], address: str) -> Self:
        """Start the thread, run `connector` on it, and return the open connection.

        A connector that fails leaves nothing open, and neither does a caller that is cancelled:
        it waits for the connector to end.
        """
        self = cls(connector, address)
        opening = asyncio.ensure_future(_opened(self))
        try:
            with opening_errors(address):
                await asyncio.shield(opening)
        except BaseException:
            await asyncio.wait([opening])
            await self.close()
            raise
        return self

    async def call(
        self,
        job: Callable[[sqlite3.Connection], T],
        turns: Turns | None = None,
        told: Callable[[T], None] | None = None,
    ) -> T:
        """Run `job` on the thread; driver errors are translated, as `Journal` says.

        `job` has to be a plain function or a closure: aiosqlite logs what it runs at DEBUG, and
        a `functools.partial` would show its arguments there (INV-5).

        With `turns` the event loop goes on when the job says so, and what the job returns is `told`
        before it is returned.
        """
        if self._ended:
            raise closed(self._address)
        with self._errors:
            # Past the parent's methods: each of them is a hop to the thread for a single
            # statement, and a transaction needs all of its statements in one hop.
            loop = asyncio.get_running_loop()
            done: asyncio.Future[T] = Answer(told, loop) if told else loop.create_future()
            self._tx.put_nowait((done, lambda: job(self._conn)))
            if turns is not None:
                turns.wait()
            return await done

    async def rows(self, make: Make[T], text: str, *parameters: object) -> list[T]:
        """What `make` makes of each row, on the thread; it commits by itself where it writes."""
        return await self.call(
            lambda raw: [make(row) for row in raw.execute(text, parameters).fetchall()]
        )

    async def transact(self, script: Callable[[], Script[T]]) -> T:
        """What the script returns, run as one write transaction in one hop to the thread."""

        def job(raw: sqlite3.Connection) -> T:
            with immediate(raw):
                return played(raw, script())

        return await self.call(job)

    async def close(self) -> None:
        """Finish the jobs that were handed over, close, and wait for the thread. Idempotent."""
        self._ended = True
        await super().close()
        if self._stopped is not None:
            await self._stopped

    def stop(self) -> asyncio.Future[None] | None:
        """Let the thread end. Noted, since aiosqlite itself does not wait where opening failed."""
        self._stopped = super().stop()
        return self._stopped


async def _opened(connection: Connection) -> None:
    await connection


def connect(path: str, settings: BackendSettings) -> sqlite3.Connection:
    """A bare connection in autocommit mode; transactions are begun and ended by our own SQL.

    The lock wait is 1 s, or half of the acknowledgement timeout where that is shorter. Text that is
    no UTF-8 is read with surrogates in place of its bytes: it is damage, but of its own row alone,
    and whoever checks that row finds it.
    """
    wait_ms = min(_BUSY_TIMEOUT_MS, settings.ack_timeout_ms // 2)
    connection = sqlite3.connect(
        path,
        timeout=wait_ms / 1000,
        isolation_level=None,
        cached_statements=_CACHED_STATEMENTS,
        # The thread of aiosqlite uses it; what is left over is closed where it is collected.
        check_same_thread=False,
    )
    connection.text_factory = _text
    return connection


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


def stored_bytes(text: str) -> bytes:
    """The bytes that `text` was read from, for `CAST(? AS TEXT)`: the driver takes UTF-8 alone."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")  # was read from nowhere, and is found nowhere


def prepare_writer(connection: sqlite3.Connection, settings: BackendSettings) -> None:
    """The settings of a connection that commits what an engine waits for."""
    connection.execute(_sql.SYNCHRONOUS[settings.durability.value])
    connection.execute(_sql.FOREIGN_KEYS)
    connection.execute(_sql.CACHE_32_MIB)
    connection.execute(_sql.CHECKPOINT_AT_32_MIB)
    connection.execute(_sql.TEMP_IN_MEMORY)


def prepare_reader(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The settings of a connection that must not write."""
    connection.execute(_sql.READ_ONLY)
    return connection


def prepare_pruner(
    connection: sqlite3.Connection,
    settings: BackendSettings,
) -> sqlite3.Connection:
    """The settings of a connection that deletes whole executions.

    Without foreign keys: it deletes every child row itself, and for each execution SQLite would
    look for a remaining key by reading all keys, whose index begins with the workflow.
    """
    prepare_writer(connection, settings)
    connection.execute(_sql.NO_FOREIGN_KEYS)
    return connection


@contextmanager
def immediate(connection: sqlite3.Connection, begin: str = _sql.BEGIN) -> Iterator[None]:
    """One write transaction around what stands inside: all of it or nothing."""
    abandon(connection)
    connection.execute(begin)
    try:
        yield
        connection.execute(_sql.COMMIT)
    except BaseException:
        abandon(connection)
        raise


def played(connection: sqlite3.Connection, script: Script[T]) -> T:
    """What the script returns, run in the transaction that is open."""
    return play(script, lambda *step: connection.execute(*step).fetchall())


def abandon(connection: sqlite3.Connection) -> None:
    """Roll back whatever is open; some errors have done that already, and none may hide why."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute(_sql.ROLLBACK)
