"""The address in front of a service leads to the process that serves now, and to no other."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench.comparison.front import front

Streams = tuple[StreamReader, StreamWriter]


@asynccontextmanager
async def serving(name: bytes) -> AsyncIterator[str]:
    """The port of something that answers each line with its name."""

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        while await reader.readline():
            writer.write(name + b"\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield str(server.sockets[0].getsockname()[1])


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Streams]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def asked(streams: Streams) -> bytes:
    """The answer to a line; empty where the connection is cut."""
    reader, writer = streams
    try:
        writer.write(b"who?\n")
        return await reader.readline()
    except ConnectionError:
        return b""


async def cut(streams: Streams) -> bool:
    """Wait for the end of the connection; whether nothing came before it."""
    try:
        return await streams[0].read() == b""
    except ConnectionError:
        return True


async def test_the_connections_to_the_one_before_are_cut(tmp_path: Path) -> None:
    port = tmp_path / "port"
    async with serving(b"A") as a, serving(b"B") as b, front(port) as url:
        async with connected(url) as early:
            assert await asked(early) == b"", "nobody serves yet"
        port.write_text(a)
        async with connected(url) as first, connected(url) as second:
            assert [await asked(first), await asked(second)] == [b"A\n", b"A\n"]
            port.write_text(b)
            async with connected(url) as third:
                assert await asked(third) == b"B\n"
            assert [await cut(first), await cut(second)] == [True, True]
