"""The journal and its writer without the workflow layer; docs/writer-alone.md explains it.

Run it with a key and a URL: `DURABLE_KEY=$(durable keygen) python writer_alone.py sqlite:///a.db`.
"""

from __future__ import annotations

import argparse
import asyncio
import uuid

from durable_core.contracts import BackendSettings, Durability, ExecutionBackend
from durable_core.ids import ExecutionId, RandomIds, StepId
from durable_core.journal import JournalWriter, JournalWriterHandle
from durable_core.keysources import EnvironmentKeys
from durable_core.model.effects import EffectClass
from durable_core.model.entries import ExecutionFinished, JournalRow, StepResult
from durable_core.model.execution import Status
from durable_core.registry import Registry
from durable_core.replay.reader import ChainReader
from durable_core.telemetry import Tracing
from durable_core.wire.envelope import WireFormat
from durable_core.wire.fingerprint import ROOT_BRANCH, idempotency_key, step_fingerprint
from durable_core.wire.keys import Keyring

WORKFLOW = "ingest"


def wire_format(plugins: Registry) -> WireFormat:
    """What seals and stamps: the key of `DURABLE_KEY`, and the installed ciphers."""
    keyring = Keyring.derive(EnvironmentKeys().load())
    return WireFormat(keyring, plugins.cipher("xaes-256-gcm"), plugins.ciphers(), 1 << 20)


def record(wire: WireFormat, execution_id: uuid.UUID, number: int, content: bytes) -> StepResult:
    """One entry. Payloads are bytes of your own; the writer seals them when it commits."""
    keys = wire.keyring.execution_keys(wire.keyring.current)
    effect = int(EffectClass.AT_LEAST_ONCE)
    fingerprint = step_fingerprint(keys, "reading", effect, 0, content)
    key = idempotency_key(execution_id.bytes, ROOT_BRANCH, fingerprint, number)
    return StepResult(execution_id, 0, StepId(str(number)), fingerprint, key, effect, content)


async def write(journal: JournalWriterHandle, wire: WireFormat, execution_id: ExecutionId) -> None:
    """A start, two buffered entries, one acknowledged one, and the end."""
    await journal.begin(execution_id, WORKFLOW, b"sensor 7")
    for number in (0, 1):
        accepted = journal.append_buffered(record(wire, execution_id, number, b"%d C" % number))
        print(f"entry {number}: {'accepted' if accepted else 'refused'}")
    seq = await journal.append_acked(record(wire, execution_id, 2, b"2 C"))
    print(f"entry 2: durable with everything before it, seq {seq}")
    await journal.append_acked(ExecutionFinished(execution_id, 0, Status.COMPLETED, b"done"))
    print("health:", journal.health().state.value)


async def read(backend: ExecutionBackend, wire: WireFormat, execution_id: ExecutionId) -> None:
    """Every entry again: anchor and chain are verified, then the payloads are opened."""
    row = await backend.load(execution_id.bytes)
    assert row is not None
    reader = ChainReader(backend.journal, row, wire.verified(row), Tracing())

    def show(entry: JournalRow) -> None:
        print(entry.entry_no, entry.step_id or "-", reader.envelope.open(entry).decode())

    await reader.each(show)


async def main(url: str) -> None:
    """Open, write, read back, close."""
    plugins = Registry.discover()
    wire = wire_format(plugins)
    settings = BackendSettings(Durability.FULL, ack_timeout_ms=5000)
    backend = await plugins.backend("sqlite").open(url, settings)
    ids = RandomIds()
    owner_id, execution_id = ids.owner_id(), ids.execution_id()
    try:
        await backend.hold_owner_lock(owner_id)
        async with JournalWriterHandle(JournalWriter(backend, wire), owner_id) as journal:
            await write(journal, wire, execution_id)
        await read(backend, wire, execution_id)
    finally:
        await backend.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The journal without the workflow layer.")
    parser.add_argument("url", help="the journal, such as sqlite:///a.db")
    asyncio.run(main(parser.parse_args().url))
