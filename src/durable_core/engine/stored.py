"""What the journal alone says of an execution: its outcome, its arguments, its open intents.

Every reading here verifies the whole chain and the anchor first (INV-16).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from attrs import field, frozen

from durable_core.config import DurableConfig
from durable_core.contracts.backend import ExecutionBackend
from durable_core.engine.outcome import CONTINUED, Failure, Outcome, read_finished
from durable_core.errors import (
    AmbiguousEffect,
    DecodeError,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionNotFound,
    IntegrityError,
    ReplayDivergence,
)
from durable_core.ids import ExecutionId, shown_id
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.model.execution import TERMINAL, ExecutionRow, Status, status_of
from durable_core.replay.detail import StepDetail
from durable_core.replay.reader import ChainReader
from durable_core.telemetry import Tracing
from durable_core.wire.checkpoint import head_behind
from durable_core.wire.envelope import WireFormat
from durable_core.wire.links import linked_execution
from durable_core.wire.payload import UNTYPED, PayloadCodec

__all__ = [
    "Beginning",
    "IntentFinder",
    "OpenIntent",
    "ReadingParts",
    "open_intents",
    "read_all",
    "read_beginning",
    "read_input",
    "reader_of",
    "stored_outcome",
    "successor_of",
]


class ReadingParts(Protocol):
    """The parts of an engine that reading needs; an inspector has no others."""

    @property
    def config(self) -> DurableConfig:
        """The settings."""
        ...

    @property
    def backend(self) -> ExecutionBackend:
        """The opened database."""
        ...

    @property
    def wire(self) -> WireFormat:
        """Keys, ciphers and limits."""
        ...

    @property
    def codec(self) -> PayloadCodec:
        """What values are encoded with."""
        ...

    @property
    def tracing(self) -> Tracing:
        """Where spans go."""
        ...


@frozen
class OpenIntent:
    """A guarded effect of the current generation that waits for an operator."""

    row: JournalRow
    name: str


@frozen
class Beginning:
    """With which arguments the current generation began, and what the execution continues."""

    payload: bytes = field(repr=False)
    predecessor: ExecutionId | None


class IntentFinder:
    """Finds, among entries that are taken in order, a generation's intents that nothing follows."""

    def __init__(self, generation: int) -> None:
        self._generation = generation
        self._last: dict[str, JournalRow] = {}

    def take(self, entry: JournalRow) -> None:
        """The next entry of the execution."""
        if entry.generation == self._generation and entry.step_id:
            self._last[entry.step_id] = entry

    def found(self) -> list[OpenIntent]:
        """Those that are open behind everything that was taken, by `entry_no`."""
        return [
            OpenIntent(entry, StepDetail.name_in(entry.detail) or "")
            for entry in self._last.values()
            if entry.entry_kind == EntryKind.EFFECT_INTENT
        ]


def reader_of(parts: ReadingParts, row: ExecutionRow, *, checkpoints: bool = False) -> ChainReader:
    """A reader of the execution, once its own row was checked against its anchor.

    With `checkpoints` it hands these out too, each in front of the entries that it stands for.
    """
    return ChainReader(
        parts.backend.journal,
        row,
        parts.wire.verified(row),
        parts.tracing,
        parts.config.replay_segment,
        complete=status_of(row.status) in TERMINAL - {Status.FAILED},
        checkpoints=checkpoints,
    )


async def read_all(
    parts: ReadingParts,
    reader: ChainReader,
    take: Callable[[JournalRow], object],
) -> None:
    """Every entry in order; `ExecutionNotFound` where the execution was pruned meanwhile."""
    try:
        await reader.each(take)
    except IntegrityError as error:
        if await parts.backend.load(reader.row.execution_id) is None:
            message = f"execution {shown_id(reader.row.execution_id)} was pruned while it was read"
            raise ExecutionNotFound(message) from error
        raise


async def read_input(parts: ReadingParts, row: ExecutionRow) -> bytes:
    """The encoded arguments of the current generation."""
    return (await read_beginning(parts, row)).payload


async def read_beginning(parts: ReadingParts, row: ExecutionRow) -> Beginning:
    """How the execution, and its current generation, began."""
    reader = reader_of(parts, row)
    starts: list[JournalRow] = []

    def take(entry: JournalRow) -> None:
        if entry.entry_kind == EntryKind.EXECUTION_STARTED:
            starts[1:] = [entry]

    await read_all(parts, reader, take)
    if not starts:
        message = f"execution {shown_id(row.execution_id)} has no entry that starts it"
        raise DecodeError(message)
    before = linked_execution(starts[0].detail)
    predecessor = None if before is None else ExecutionId(bytes=before)
    return Beginning(reader.envelope.open(starts[-1]), predecessor)


async def successor_of(parts: ReadingParts, row: ExecutionRow) -> ExecutionId | None:
    """The execution that continues this one; None where there is none, or it was pruned meanwhile.

    Only the last entry is read, and checked against the anchor where its key is here.
    """
    if status_of(row.status) is not Status.COMPLETED:
        return None
    before = max(row.entry_count - 2, 0)
    last = await parts.backend.journal.read_execution_range(row.execution_id, before, 2)
    if len(last) < row.entry_count - before or not last:
        return None
    if row.key_id is None or row.key_id in parts.wire.keyring.key_ids:
        envelope = parts.wire.verified(row)
        head = head_behind(last[0]) if row.entry_count > 1 else None
        head = envelope.check(head or envelope.genesis, last[-1])
        if row.stamped and head != row.head_hmac:
            message = f"the last entry of execution {shown_id(row.execution_id)} was changed"
            raise IntegrityError(message)
    successor = linked_execution(last[-1].detail) if _is_end(last[-1]) else None
    return None if successor is None else ExecutionId(bytes=successor)


def _is_end(entry: JournalRow) -> bool:
    return entry.entry_kind == EntryKind.EXECUTION_FINISHED


async def open_intents(parts: ReadingParts, row: ExecutionRow) -> list[OpenIntent]:
    """The intents of the current generation that nothing follows, by `entry_no`."""
    finder = IntentFinder(row.generation)
    await read_all(parts, reader_of(parts, row), finder.take)
    return finder.found()


async def stored_outcome(
    parts: ReadingParts,
    row: ExecutionRow,
    returns: object = UNTYPED,
) -> Outcome:
    """The outcome of an execution that is not `running`, its value structured as `returns`."""
    status = status_of(row.status)
    if status is Status.BLOCKED:
        return Outcome(error=await _why_blocked(parts, row))
    reader = reader_of(parts, row)
    ending: deque[JournalRow] = deque(maxlen=1)
    await read_all(parts, reader, ending.append)
    if not ending or ending[0].entry_kind != EntryKind.EXECUTION_FINISHED:
        message = (
            f"execution {shown_id(row.execution_id)} is {status.label} without a closing entry"
        )
        raise DecodeError(message)
    payload = reader.envelope.open(ending[0])
    successor = linked_execution(ending[0].detail)
    if successor is not None and payload == CONTINUED:
        return Outcome(successor=ExecutionId(bytes=successor))
    finished = read_finished(payload)
    if isinstance(finished, bytes):
        return Outcome(parts.codec.decode(finished, returns))
    return Outcome(error=_error_of(status, finished, row))


def _error_of(status: Status, failure: Failure, row: ExecutionRow) -> Exception:
    match status:
        case Status.CANCELLED:
            return ExecutionCancelled(f"execution {shown_id(row.execution_id)} was cancelled")
        case Status.ABORTED:
            return ReplayDivergence(failure.message)
        case _:
            return ExecutionFailed(failure.error_type, failure.message)


async def _why_blocked(parts: ReadingParts, row: ExecutionRow) -> Exception:
    intents = await open_intents(parts, row)
    name = shown_id(row.execution_id)
    if intents:
        steps = ", ".join(f"{intent.row.step_id} {intent.name!r}" for intent in intents)
        return AmbiguousEffect(
            f"execution {name} is blocked: guarded step {steps} may or may not have had its "
            "effect; settle it with engine.settle(...) or `durable settle`",
        )
    return ReplayDivergence(
        f"execution {name} is blocked: its program does not agree with its journal; deploy the "
        "code that wrote it, then resume, or resume to start a fresh run",
    )
