"""The session of an engine: the lock that says that it lives, and the notices that it exchanges.

One connection, and one task that keeps it. A session advisory lock is freed by the server when its
session ends, so the death of the process frees it at once. Notices go out here behind the commit,
never within it: Postgres takes one lock for the whole server when a transaction that has notified
commits, and every commit would wait for every other one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from durable_core.contracts import Notice
from durable_core.storage.notices import packed, unpacked
from durable_core.storage.owners import take
from durable_core.storage.refusals import closed
from durable_postgres import _sql
from durable_postgres._connections import Connection, Connector, Session, end
from durable_postgres._errors import running

__all__ = ["Hear", "OwnerSession", "Standing"]

Standing = Callable[[bool], None]
Hear = Callable[[Notice], None]

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 0.2
_HEARTBEAT_S: Final = 5.0
_FAREWELL_S: Final = 1.0
_UNSENT: Final = 10_000
"""Notices that wait for a lost session; the oldest are dropped, since whoever waits polls too."""


class OwnerSession:
    """Holds the locks of this backend's owners, sends notices and hears those of others.

    Where the connection breaks, each owner's `standing` is called with False, the connection is
    made anew with all it had, and `standing` is called with True. `close` ends it.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._owners: dict[str, Standing | None] = {}
        self._unsent: list[Notice] = []
        self._hear: Hear | None = None
        self._connection: Connection | None = None
        self._session: Session | None = None
        self._channel = ""
        self._standing = False
        self._turn = asyncio.Lock()
        self._work = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    async def hold(self, owner_id: str, standing: Standing | None) -> None:
        """Take the lock of `owner_id` until `close`; `JournalUnavailable` if another has it."""
        async with self._turn:
            connection = await self._connected()
            await running(self._connector.address, self._lock(connection, owner_id))
            self._owners[owner_id] = standing
            self._standing = True
        self._start()

    def holds(self, owner_id: str) -> bool | None:
        """Whether that owner of ours has its lock at this moment; None where it is not ours."""
        return self._standing and self._alive() if owner_id in self._owners else None

    def listen(self, hear: Hear) -> None:
        """Call `hear` for each notice from now on."""
        self._hear = hear
        self._start()

    def tell(self, notices: Iterable[Notice]) -> None:
        """Send notices soon; never waits and never fails."""
        before = len(self._unsent)
        self._unsent.extend(notices)
        if len(self._unsent) > before and not self._closed:
            del self._unsent[:-_UNSENT]
            self._start()

    async def close(self) -> None:
        """Send what is left, if that takes no time, and end the session. Idempotent."""
        self._closed = True
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            self._work.set()
            if self._unsent:
                await asyncio.wait([keeper], timeout=_FAREWELL_S)
            keeper.cancel()
            await asyncio.wait([keeper])
        async with self._turn:  # behind whoever is taking a lock at this moment
            self._owners.clear()
            connection, self._connection = self._connection, None
        if connection is not None:
            await end(connection)

    def _alive(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    def _start(self) -> None:
        self._work.set()
        if self._keeper is None and not self._closed:
            self._keeper = asyncio.ensure_future(self._keep())
            self._keeper.set_name("durable-postgres session")

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._closed or self._unsent:
            try:
                async with self._turn:
                    await self._serve(await self._connected())
                pause = _FIRST_PAUSE_S
            except Exception:  # noqa: BLE001 - whatever it was, the lock has to be held again
                self._drop()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_HEARTBEAT_S):
                    await self._work.wait()

    async def _serve(self, connection: Connection) -> None:
        """Send what waits to be sent; nothing at all is a heartbeat, which needs an answer."""
        self._work.clear()
        unsent, self._unsent = self._unsent, []
        if unsent:
            work = connection.fetch(_sql.NOTIFY, self._channel, packed(unsent))
        else:
            work = connection.fetch(_sql.HEARTBEAT)
        async with asyncio.timeout(_HEARTBEAT_S):
            await running(self._connector.address, work)
            if self._hear is not None:
                # Again where it is there already: the driver sends LISTEN for the first only.
                await running(
                    self._connector.address,
                    connection.add_listener(self._channel, self._on_notify),
                )

    async def _connected(self) -> Connection:
        """The connection, made anew with all locks where there is none any more."""
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if self._closed and not self._unsent:
            raise closed(self._connector.address)
        self._lost()
        connection = self._connection = await self._connector.connected(self._prepare)
        connection.add_termination_listener(self._on_end)
        if self._owners:
            self._say(standing=True)
        return connection

    async def _prepare(self, connection: Connection) -> None:
        await connection.fetch(_sql.SESSION_SETTINGS, self._connector.lock_timeout)
        self._session = await Session.after(self._session, connection)
        self._channel = (await connection.fetch(_sql.CHANNEL))[0][0]
        for owner_id in self._owners:
            await self._lock(connection, owner_id)

    async def _lock(self, connection: Connection, owner_id: str) -> None:
        async def attempt() -> bool:
            return bool(await connection.fetchval(_sql.LOCK_OWNER, owner_id))

        await take(f"the owner lock in {self._connector.address}", attempt)

    def _on_end(self, _connection: object) -> None:
        self._lost()
        self._work.set()

    def _on_notify(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if self._hear is not None and isinstance(payload, str):
            for notice in unpacked(payload):
                self._hear(notice)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
        self._lost()

    def _lost(self) -> None:
        if self._standing:
            self._say(standing=False)

    def _say(self, *, standing: bool) -> None:
        self._standing = standing
        if self._closed:
            return
        for tell in list(self._owners.values()):
            if tell is not None:
                tell(standing)
