r"""Real journals for tests: a SQLite file, a wire format under known keys, a writer on top.

```
async with opened(url) as backend, writing(backend) as journal:
    execution_id = await begun(journal)
    await journal.append_acked(result_of(execution_id, 0, b"\x00value"))
```
Nothing here is a stand-in: what these functions return is what an engine is composed of.
"""

from __future__ import annotations

import base64
import os
import sqlite3
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from durable_aead.xaes import Xaes256Gcm
from durable_core.clock import Clock
from durable_core.contracts import (
    BackendSettings,
    BatchOutcome,
    CommitBatch,
    Durability,
    EndedRow,
    ExecutionBackend,
    Fold,
    HeadChange,
    Journal,
    MasterKeys,
    PayloadCipher,
    Usage,
)
from durable_core.ids import ExecutionId, RandomIds, StepId
from durable_core.journal import JournalWriter, JournalWriterHandle, WriterSettings
from durable_core.model.effects import EffectClass
from durable_core.model.entries import EffectIntent, Entry, JournalRow, StepFailure, StepResult
from durable_core.model.execution import ExecutionRow
from durable_core.registry import Registry
from durable_core.replay.detail import detail_prefix, encode_detail
from durable_core.replay.reader import ChainReader
from durable_core.telemetry import Tracing
from durable_core.wire.envelope import WireFormat
from durable_core.wire.keys import Keyring

MASTER: Final = bytes(range(32))
OTHER_MASTER: Final = bytes(range(100, 132))
MASTERS: Final = MasterKeys(1, {1: MASTER})

# Of this process alone: tests that have a schema each share the owners' locks of one database.
OWNER: Final = f"owner-a-{os.getpid()}"
OTHER_OWNER: Final = f"owner-b-{os.getpid()}"
MIB: Final = 1 << 20

FINGERPRINT: Final = b"f" * 32
"""The fingerprint of entries that name no other."""


def key_text(*keys: tuple[int, bytes]) -> str:
    """Master keys as `DURABLE_KEY` spells them, the current one first."""
    return ",".join(
        f"{key_id}:{base64.urlsafe_b64encode(master).decode().rstrip('=')}"
        for key_id, master in keys
    )


def sqlite_url(path: Path) -> str:
    """The URL of the journal in the file `path`."""
    return f"sqlite:///{path}"


def path_of(url: str) -> Path:
    """The file of a journal, the other way round."""
    return Path(url.removeprefix("sqlite:///"))


@define
class ManualClock:
    """A clock that stands still until a test moves it; the `Clock` of writers under test."""

    ms: int = 1_700_000_000_000

    def now_ms(self) -> int:
        """The time that was set, in milliseconds since 1970 UTC."""
        return self.ms


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[ExecutionBackend]:
    """The backend of `url`, closed on leaving."""
    kind = Registry.discover().backend(url.partition("://")[0])
    backend = await kind.open(url, BackendSettings(Durability.NORMAL, 5000))
    try:
        yield backend
    finally:
        await backend.close()


def wire_format(
    masters: MasterKeys | None = MASTERS,
    *,
    max_payload_bytes: int = MIB,
    cipher: PayloadCipher | None = None,
) -> WireFormat:
    """The wire format under `masters`; None: no key, so nothing is sealed or stamped."""
    cipher = cipher or Xaes256Gcm()
    return WireFormat(
        Keyring.derive(masters),
        None if masters is None else cipher,
        {cipher.format_byte: cipher},
        max_payload_bytes,
    )


@asynccontextmanager
async def writing(
    backend: ExecutionBackend,
    wire: WireFormat | None = None,
    settings: WriterSettings | None = None,
    *,
    owner: str = OWNER,
    clock: Clock | None = None,
) -> AsyncIterator[JournalWriterHandle]:
    """A running writer whose owner holds its lock; drained on leaving."""
    await backend.hold_owner_lock(owner)
    writer = JournalWriter(backend, wire or wire_format(), settings, clock=clock)
    async with JournalWriterHandle(writer, owner) as journal:
        yield journal


def fresh_id() -> ExecutionId:
    """A new execution id."""
    return RandomIds().execution_id()


def counted_id(number: int) -> ExecutionId:
    """A UUIDv7 that is the same in every run."""
    return uuid.UUID(int=0x018BCFE5_6800_7000_8000_000000000000 + number)


async def begun(
    journal: JournalWriterHandle,
    execution_id: ExecutionId | None = None,
    *,
    workflow: str = "checkout",
    payload: bytes = b"\x80",
    key: str | None = None,
    sealed: bool = True,
) -> ExecutionId:
    """Begin an execution, durably; its id. The payload is that of no arguments."""
    execution_id = execution_id or fresh_id()
    await journal.begin(execution_id, workflow, payload, key=key, sealed=sealed)
    return execution_id


def detail_of(name: str = "charge", *digests: bytes, sub_class: int = 0, policy: int = 0) -> bytes:
    """What a step's entry says of the step in clear; each digest has 4 bytes."""
    return encode_detail(detail_prefix(name), b"".join(digests), sub_class, policy)


def idem_key_of(step: int | str) -> bytes:
    """An idempotency key that belongs to that step alone."""
    return f"idempotency key of step {step}".encode().ljust(32, b".")[:32]


def _step(execution_id: ExecutionId, step: int | str, effect: int, name: str) -> dict[str, Any]:
    return {
        "execution_id": execution_id,
        "step_id": StepId(str(step)),
        "fingerprint": FINGERPRINT,
        "idem_key": idem_key_of(step),
        "effect_class": effect,
        "detail": detail_of(name),
    }


def result_of(
    execution_id: ExecutionId,
    step: int | str,
    payload: bytes = b"\x00\xf6",
    *,
    effect: int = EffectClass.AT_LEAST_ONCE,
    generation: int = 0,
    name: str = "charge",
) -> StepResult:
    """The result of a step; the payload is an outcome byte and a value, None unless given."""
    fields = _step(execution_id, step, effect, name)
    return StepResult(generation=generation, payload=payload, **fields)


def failure_of(
    execution_id: ExecutionId,
    step: int | str,
    payload: bytes = b"\x83aEam\x01",
    *,
    effect: int = EffectClass.AT_LEAST_ONCE,
    generation: int = 0,
    name: str = "charge",
) -> StepFailure:
    """The failure of a step."""
    fields = _step(execution_id, step, effect, name)
    return StepFailure(generation=generation, payload=payload, **fields)


def intent_of(
    execution_id: ExecutionId,
    step: int | str,
    *,
    generation: int = 0,
    name: str = "charge",
) -> EffectIntent:
    """The intent of a guarded step."""
    fields = _step(execution_id, step, EffectClass.EXACTLY_ONCE_GUARDED, name)
    return EffectIntent(generation=generation, **fields)


def plain_row(entry: Entry, entry_no: int = 1) -> JournalRow:
    """The row that an execution without a key gets for `entry`."""
    execution = ExecutionRow(
        execution_id=entry.execution_id.bytes,
        workflow="checkout",
        execution_key=None,
        kind="workflow",
        status="running",
        generation=entry.generation,
        key_id=None,
        sealed=False,
        stamped=False,
        owner_id=OWNER,
        owner_epoch=1,
        entry_count=entry_no - 1,
        head_hmac=None,
        anchor_mac=None,
        created_at=ManualClock().ms,
        updated_at=ManualClock().ms,
        finalized_at=None,
    )
    envelope = wire_format(None).envelope(execution)
    return envelope.row_of(entry, entry_no, envelope.genesis, ManualClock().ms)


@define
class CountedJournal:
    """A journal that answers from the real one and remembers what was read: (after, limit)."""

    journal: Journal
    reads: list[tuple[int, int]] = field(factory=list)

    async def append(self, batch: CommitBatch) -> BatchOutcome:
        """As the real one."""
        return await self.journal.append(batch)

    async def read_execution(self, execution_id: bytes) -> list[JournalRow]:
        """As the real one."""
        return await self.journal.read_execution(execution_id)

    async def read_execution_range(
        self,
        execution_id: bytes,
        after: int,
        limit: int,
    ) -> list[JournalRow]:
        """As the real one, counted."""
        self.reads.append((after, limit))
        return await self.journal.read_execution_range(execution_id, after, limit)

    async def finalize(self, change: HeadChange, closing: JournalRow) -> int | None:
        """As the real one."""
        return await self.journal.finalize(change, closing)

    async def fold(self, fold: Fold) -> bool:
        """As the real one."""
        return await self.journal.fold(fold)

    async def ended(
        self, after: EndedRow | None, limit: int, *, newest_first: bool = False
    ) -> list[EndedRow]:
        """As the real one."""
        return await self.journal.ended(after, limit, newest_first=newest_first)

    async def open_usage(self) -> Usage:
        """As the real one."""
        return await self.journal.open_usage()

    async def prune(self, rows: Sequence[EndedRow]) -> frozenset[bytes]:
        """As the real one."""
        return await self.journal.prune(rows)

    async def reclaim(self) -> bool:
        """As the real one."""
        return await self.journal.reclaim()


async def reader_of(
    backend: ExecutionBackend,
    execution_id: ExecutionId,
    segment: int = 100,
    *,
    wire: WireFormat | None = None,
    journal: Journal | None = None,
    complete: bool = False,
) -> ChainReader:
    """A reader of the execution as it stands now, its anchor checked."""
    row = await backend.load(execution_id.bytes)
    assert row is not None
    envelope = (wire or wire_format()).verified(row)
    source = journal or backend.journal
    return ChainReader(source, row, envelope, Tracing(), segment, complete=complete)


def change(path: Path, statement: str, *parameters: object) -> int:
    """Edit a journal's file behind the back of durable-core; how many rows were changed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        return connection.execute(statement, parameters).rowcount


def query(path: Path, statement: str, *parameters: object) -> Sequence[tuple[Any, ...]]:
    """Read a journal's file with a connection of our own."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, parameters).fetchall()


def query_maps(path: Path, statement: str, *parameters: object) -> list[Mapping[str, Any]]:
    """The same, each row as a mapping by column."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(statement, parameters).fetchall()]
