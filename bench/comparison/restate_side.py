"""Restate: a server for each scenario, and an address of the service that outlives a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from bench import peer_engines
from bench.comparison.front import front
from bench.comparison.sides import Side
from bench.peers import running
from bench.restate_server import restate_binary, restate_server

__all__ = ["RESTATE"]

_UNCOMPRESSED: Final = """
[log-server]
rocksdb-disable-wal-compression = true
"""
"""Compression hides a text from a search, and from nobody who wants to read it."""


@frozen(kw_only=True)
class _Restate(Side):
    """`binary` is the program of the server, once the side is ready."""

    binary: Path = Path()

    async def ready(self, folder: Path) -> Side:
        """The same with a server from npm, whose version is the first one in the name."""
        binary = await asyncio.to_thread(restate_binary, folder / "server")
        async with running(str(binary), "--version") as asked:
            *_, version = asked.first.split()
        named = evolve(self, name=f"{self.name} {version}, Python SDK", binary=binary)
        return await Side.ready(named, folder / "sdk")

    @asynccontextmanager
    async def serving(self, folder: Path) -> AsyncIterator[Sequence[str]]:
        """A server with its data in the store of `folder`, and the URL of the service."""
        async with (
            restate_server(self.binary, folder / "store", _UNCOMPRESSED) as server,
            front(folder / "port") as url,
        ):
            yield (server.ingress, server.admin, url)


RESTATE: Final = _Restate(
    name="Restate",
    module="restate_program",
    distribution="restate_sdk",
    requirements=peer_engines.RESTATE,
    rows="its store is RocksDB, in a format of its own, which no tool edits by hand",
)
