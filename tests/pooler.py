"""A small real pooler: it speaks just enough of the protocol to lend sessions of a server.

In transaction mode a client gets the session that was used last, for one transaction; in statement
mode also, and one that begins a transaction of several statements is disconnected; in session mode
it has one of its own until it leaves. The server has to trust its clients.
"""

from __future__ import annotations

import asyncio
import struct
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

from attrs import define, field

Mode = Literal["session", "transaction", "statement"]
Message = tuple[bytes, bytes]

TLS_OR_GSS = (80877103, 80877104)
CANCEL = 80877102
FIRST = 900_000
"""What the numbers of clients are counted from."""

GONE = (OSError, EOFError)
REFUSAL = b"SFATAL\0VFATAL\0C08P01\0Mtransaction blocks not allowed in statement pooling mode\0\0"
"""What PgBouncer says."""


async def read_message(reader: asyncio.StreamReader) -> Message:
    kind = await reader.readexactly(1)
    (length,) = struct.unpack("!i", await reader.readexactly(4))
    return kind, await reader.readexactly(length - 4)


def encoded(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


@define(eq=False)
class Lent:
    """A session of the server, and what it said of itself when it began."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: list[Message]


@define(eq=False)
class Pooler:
    server_port: int
    mode: Mode
    size: int
    version: str | None = None
    keeps: bool = False
    """Whether the session of a client that is gone stays, as on a server that has not noticed."""

    port: int = 0
    clients: int = 0
    sent: dict[int, Counter[bytes]] = field(factory=lambda: defaultdict(Counter))
    """How many messages of each kind a client has sent, by the number that it was given."""

    free: list[Lent] = field(factory=list)
    kept: list[Lent] = field(factory=list)
    slots: asyncio.Semaphore = field(init=False)
    tasks: set[asyncio.Task[None]] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.slots = asyncio.Semaphore(self.size)

    async def take(self, startup: bytes) -> Lent:
        await self.slots.acquire()
        if self.free:
            return self.free.pop()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        writer.write(struct.pack("!i", len(startup) + 4) + startup)
        greeting = [await read_message(reader)]
        while greeting[-1][0] != b"Z":
            greeting.append(await read_message(reader))
        return Lent(reader, writer, greeting)

    def give_back(self, lent: Lent, *, reusable: bool) -> None:
        if self.keeps and not reusable:
            self.kept.append(lent)
        elif reusable:
            self.free.append(lent)
        else:
            lent.writer.close()
        self.slots.release()

    def welcome(self, lent: Lent) -> bytes:
        """What the server said, with a number of our own, and another version if so wished."""
        self.clients += 1
        said = b""
        for kind, body in lent.greeting:
            if kind == b"K":
                said += encoded(kind, struct.pack("!ii", FIRST + self.clients, 1))
            elif kind == b"S" and body.startswith(b"server_version\0") and self.version:
                said += encoded(kind, b"server_version\0" + self.version.encode() + b"\0")
            else:
                said += encoded(kind, body)
        return said

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        client = Client(self, reader, writer)
        try:
            with suppress(*GONE):
                await client.run()
        finally:
            client.leave()
            self.tasks.discard(task)


@define(eq=False)
class Client:
    pooler: Pooler
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    lent: Lent | None = None
    pump: asyncio.Task[None] | None = None
    unanswered: int = 0

    async def run(self) -> None:
        startup = await self.startup()
        if startup is None:
            return
        first = await self.pooler.take(startup)
        self.writer.write(self.pooler.welcome(first))
        sent = self.pooler.sent[FIRST + self.pooler.clients]
        if self.pooler.mode == "session":
            self.lend(first)
        else:
            self.pooler.give_back(first, reusable=True)
        while True:
            kind, body = await read_message(self.reader)
            sent[kind] += 1
            if kind == b"X":
                return
            if self.lent is None:
                self.lend(await self.pooler.take(startup))
            assert self.lent is not None
            if kind in b"SQ":
                self.unanswered += 1
            self.lent.writer.write(encoded(kind, body))

    async def startup(self) -> bytes | None:
        while True:
            (length,) = struct.unpack("!i", await self.reader.readexactly(4))
            body = await self.reader.readexactly(length - 4)
            (code,) = struct.unpack("!i", body[:4])
            if code == CANCEL:
                return None
            if code not in TLS_OR_GSS:
                return body
            self.writer.write(b"N")

    def lend(self, lent: Lent) -> None:
        self.lent, self.unanswered = lent, 0
        self.pump = asyncio.ensure_future(self.answer(lent))

    async def answer(self, lent: Lent) -> None:
        try:
            while True:
                kind, body = await read_message(lent.reader)
                if kind == b"Z" and body != b"I" and self.pooler.mode == "statement":
                    self.writer.write(encoded(b"E", REFUSAL))
                    self.writer.close()
                    return
                self.writer.write(encoded(kind, body))
                if kind == b"Z":
                    self.unanswered -= 1
                    idle = body == b"I" and self.unanswered == 0
                    if idle and self.pooler.mode != "session":
                        self.lent = None
                        self.pooler.give_back(lent, reusable=True)
                        return
        except GONE:
            self.writer.close()

    def leave(self) -> None:
        if self.pump is not None:
            self.pump.cancel()
        if self.lent is not None:
            self.pooler.give_back(self.lent, reusable=False)
        self.writer.close()


@asynccontextmanager
async def pooler(
    server_port: int, mode: Mode, size: int = 20, version: str | None = None
) -> AsyncIterator[Pooler]:
    running = Pooler(server_port, mode, size, version)
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        for task in list(running.tasks):
            task.cancel()
        if running.tasks:
            await asyncio.wait(list(running.tasks))
        for lent in (*running.free, *running.kept):
            lent.writer.close()
