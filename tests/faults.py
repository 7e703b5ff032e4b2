"""A running writer on a real SQLite backend that can be made to fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from durable_core.conformance.faults import FaultyBackend
from durable_core.journal import JournalWriter, JournalWriterHandle, WriterSettings
from durable_core.wire.envelope import WireFormat
from tests.journals import OWNER, opened, wire_format

__all__ = ["faulty"]


@asynccontextmanager
async def faulty(
    url: str,
    settings: WriterSettings | None = None,
    wire: WireFormat | None = None,
) -> AsyncIterator[tuple[FaultyBackend, JournalWriterHandle]]:
    """The backend and the handle of its writer; losses are not raised at close."""
    async with opened(url) as real:
        await real.hold_owner_lock(OWNER)
        backend = FaultyBackend(real)
        writer = JournalWriter(backend, wire or wire_format(), settings)
        handle = JournalWriterHandle(writer, OWNER)
        await writer.start()
        try:
            yield backend, handle
        finally:
            backend.faults.clear()
            backend.probe_faults.clear()
            await _drained(handle)


async def _drained(handle: JournalWriterHandle) -> None:
    with_losses = handle.health().failed
    try:
        await handle.close()
    except Exception:
        if not with_losses:
            raise
