"""An address that stays while the processes behind it change, as that of a load balancer does."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

__all__ = ["front"]

_BYTES: Final = 1 << 16
_TURN_S: Final = 0.02


@asynccontextmanager
async def front(target: Path) -> AsyncIterator[str]:
    """Its URL. What comes is passed on to the port that the file `target` names.

    When the file names another one, the connections to the one before are cut.
    """

    async def pass_on(reader: StreamReader, writer: StreamWriter) -> None:
        port = _named(target)
        with suppress(OSError):
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
            pumps = {
                asyncio.create_task(_pump(reader, inner_writer)),
                asyncio.create_task(_pump(inner_reader, writer)),
                asyncio.create_task(_changed(target, port)),
            }
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            inner_writer.transport.abort()
        writer.transport.abort()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _named(target: Path) -> str:
    """The port; nothing where nobody serves yet."""
    return target.read_text() if target.exists() else ""


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_BYTES):
            writer.write(data)
            await writer.drain()


async def _changed(target: Path, port: str) -> None:
    """Return when the file names another port."""
    while _named(target) == port:  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(_TURN_S)
