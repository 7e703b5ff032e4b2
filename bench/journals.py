"""Real journals to measure, composed as an engine composes them: sealed, chained, FULL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from attrs import frozen

from bench.rounds import Plan
from durable_aead.xaes import Xaes256Gcm
from durable_core.contracts import BackendSettings, Durability, MasterKeys, PayloadCipher
from durable_core.ids import ExecutionId, RandomIds, StepId
from durable_core.journal import JournalWriter, JournalWriterHandle
from durable_core.model.effects import EffectClass
from durable_core.model.entries import EntryKind, JournalRow, StepResult
from durable_core.replay.detail import detail_prefix, encode_detail
from durable_core.replay.reader import ChainReader
from durable_core.telemetry import Tracing
from durable_core.wire.envelope import WireFormat
from durable_core.wire.keys import Keyring
from durable_core.wire.payload import dump
from durable_sqlite import LocalBackend

__all__ = [
    "KEYS",
    "NAME",
    "VALUE",
    "OpenJournal",
    "fingerprint",
    "fresh_journal",
    "journal_url",
    "opened",
    "result",
    "wire_format",
]

KEYS: Final = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
"""A master key in the spelling of `DURABLE_KEY`; it protects nothing but what is measured."""

NAME: Final = "charge"
_DIGESTS: Final = b"01234567"
VALUE: Final = bytes(253)
"""The value of every step; with its outcome byte it is a payload of 256 bytes."""

_MASTERS: Final = MasterKeys(1, {1: bytes(range(32))})
_OWNER: Final = "bench"
_MIB: Final = 1 << 20
_DETAIL: Final = encode_detail(detail_prefix(NAME), _DIGESTS, 0, 0)
_PAYLOAD: Final = b"\x00" + dump(VALUE)
_NO_ARGUMENTS: Final = b"\x80"
_ACK_TIMEOUT_MS: Final = 5000


def journal_url(path: Path) -> str:
    """The URL of the journal in the file `path`."""
    return f"sqlite:///{path}"


def wire_format(
    *,
    max_payload_bytes: int = _MIB,
    cipher: PayloadCipher | None = None,
) -> WireFormat:
    """The wire format under one key and, unless another one is given, the default cipher."""
    cipher = cipher or Xaes256Gcm()
    return WireFormat(
        Keyring.derive(_MASTERS),
        cipher,
        {cipher.format_byte: cipher},
        max_payload_bytes,
    )


def fingerprint(step: int) -> bytes:
    """The fingerprint of a step, as large as a real one."""
    return step.to_bytes(32, "big")


def result(execution_id: ExecutionId, step: int, payload: bytes = _PAYLOAD) -> StepResult:
    """The result of a step: what an engine would append, with every column filled."""
    return StepResult(
        execution_id,
        0,
        StepId(str(step)),
        fingerprint(step),
        (~step & 0xFFFF).to_bytes(32, "big"),
        EffectClass.IDEMPOTENT,
        payload,
        _DETAIL,
    )


@frozen
class OpenJournal:
    """A running writer on a backend."""

    backend: LocalBackend
    writer: JournalWriterHandle

    async def begin(self, count: int) -> list[ExecutionId]:
        """Begin that many executions, durably."""
        ids = RandomIds()
        begun = [ids.execution_id() for _ in range(count)]
        await asyncio.gather(
            *(self.writer.begin(execution_id, "bench", _NO_ARGUMENTS) for execution_id in begun),
        )
        return begun

    async def reader(self, execution_id: ExecutionId) -> ChainReader:
        """A reader of the execution as it stands, its anchor verified."""
        row = await self.backend.load(execution_id.bytes)
        assert row is not None, "an execution that was begun is not there"
        envelope = self.writer.writer.wire.verified(row)
        return ChainReader(self.backend.journal, row, envelope, Tracing(), complete=True)

    async def results(self, executions: Sequence[ExecutionId]) -> list[JournalRow]:
        """The results of the executions by `seq`; asserts that they are sealed and chains verify.

        The order is that of the file, in which a program without a journal would write them.
        """
        placed: list[tuple[int, JournalRow]] = []
        for execution_id in executions:
            reader = await self.reader(execution_id)
            rows: list[JournalRow] = []
            await reader.each(rows.append)
            for row in rows:
                assert row.hmac is not None, "a row is not stamped"
                assert VALUE not in (row.payload or b""), "a payload is not sealed"
            seqs = await self.backend.stored_seqs(execution_id.bytes, 0, len(rows))
            placed += zip(seqs, rows, strict=True)
        return [row for _, row in sorted(placed) if row.entry_kind == EntryKind.STEP_RESULT]


@asynccontextmanager
async def fresh_journal(plan: Plan) -> AsyncIterator[OpenJournal]:
    """A journal in a file of its own."""
    with plan.fresh_path() as path:
        async with opened(path) as journal:
            yield journal


@asynccontextmanager
async def opened(path: Path, wire: WireFormat | None = None) -> AsyncIterator[OpenJournal]:
    """The journal in the file `path` with a writer, at full durability."""
    settings = BackendSettings(Durability.FULL, _ACK_TIMEOUT_MS)
    backend = await LocalBackend.open(journal_url(path), settings)
    try:
        await backend.hold_owner_lock(_OWNER)
        writer = JournalWriter(backend, wire or wire_format())
        async with JournalWriterHandle(writer, _OWNER) as handle:
            yield OpenJournal(backend, handle)
    finally:
        await backend.close()
