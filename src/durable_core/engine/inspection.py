"""Reads a journal without an engine: no owner lock, no writer, nothing created, nothing changed.

For tools that look at a database with no application running, or beside one. Carries INV-16 for
them: with a key, whatever they are told has been checked; without one it is marked as unverified.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from attrs import evolve, frozen

from durable_core.config import DurableConfig
from durable_core.contracts.backend import ExecutionBackend
from durable_core.contracts.keys import KeyProvider
from durable_core.engine.compose import (
    check_keys,
    find_keys,
    fitting_keys,
    open_backend,
    payload_codec,
    wire_format,
)
from durable_core.engine.outcome import CONTINUED, Failure, read_finished
from durable_core.engine.recorded import read_settled
from durable_core.engine.stored import OpenIntent, open_intents, read_all, reader_of
from durable_core.engine.verification import VerifyReport, verify
from durable_core.errors import DecodeError, ExecutionNotFound, IntegrityError
from durable_core.ids import ExecutionId, execution_id_of, shown_id
from durable_core.model.entries import STEP_KINDS, EntryKind, JournalRow, Outcome
from durable_core.model.execution import ExecutionRow, Status
from durable_core.registry import Registry
from durable_core.replay.detail import StepDetail
from durable_core.telemetry import Tracing
from durable_core.wire.checkpoint import Span
from durable_core.wire.envelope import ExecutionEnvelope, WireFormat
from durable_core.wire.links import linked_execution
from durable_core.wire.payload import PayloadCodec, load

__all__ = [
    "Check",
    "Inspector",
    "RevealedPayload",
    "SeenEntry",
    "SeenExecution",
    "linked_to",
    "open_journal",
    "revealed",
]

_LINKING: Final = frozenset({EntryKind.EXECUTION_STARTED, EntryKind.EXECUTION_FINISHED})


class Check(enum.Enum):
    """What is known of an execution's own row; the value is the word for it."""

    VERIFIED = "verified"
    """It fits its anchor."""

    NO_KEY = "no key"
    """It has stamps, and the key that they are checked with is not here."""

    UNSTAMPED = "unstamped"
    """It has no stamps to check: there was no key when it was written, or they were taken off."""

    DAMAGED = "damaged"
    """It does not fit its anchor."""


@frozen
class SeenExecution:
    """An execution's committed row, and what checking it against its anchor gave."""

    row: ExecutionRow
    check: Check

    @property
    def verified(self) -> bool:
        """Whether the row is known to be what was written."""
        return self.check is Check.VERIFIED

    @property
    def execution_id(self) -> ExecutionId:
        """The row's id."""
        return ExecutionId(bytes=self.row.execution_id)

    @property
    def name(self) -> str:
        """The id to show; one that somebody has made unlike any id too."""
        return shown_id(self.row.execution_id)


@frozen
class RevealedPayload:
    """A decoded payload: what it is in one word, and its value as plain data. A secret."""

    meaning: str
    value: object


@frozen
class SeenEntry:
    """A journal row, the step's name where it has one, and its payload where that was asked for.

    The name of a checkpoint is the range of entries that it stands for. Those follow it, as rows
    that are not stored (`FoldedRow`), where there is a key to open it.
    """

    row: JournalRow
    step_name: str | None
    payload: RevealedPayload | None = None

    @property
    def linked(self) -> ExecutionId | None:
        """Of a start the execution that is continued, of an end the one that continues it."""
        return linked_to(self.row)


@frozen
class Inspector:
    """An opened journal for reading. For any task of the event loop that opened it."""

    config: DurableConfig
    backend: ExecutionBackend
    wire: WireFormat
    codec: PayloadCodec
    tracing: Tracing

    async def executions(
        self,
        *,
        status: Status | None = None,
        workflow: str | None = None,
        limit: int = 100,
    ) -> list[SeenExecution]:
        """At most `limit` executions, oldest first; one that was altered is among them, marked."""
        rows = await self.backend.list_executions(
            statuses=() if status is None else (status.label,),
            workflow=workflow,
            limit=limit,
        )
        return [SeenExecution(row, self._check(row)) for row in rows]

    async def execution(self, execution_id: ExecutionId) -> SeenExecution:
        """One execution; `ExecutionNotFound`, `IntegrityError` if its row was altered."""
        row = await self.backend.load(execution_id_of(execution_id).bytes)
        if row is None:
            message = f"no execution {execution_id} in this journal"
            raise ExecutionNotFound(message)
        seen = SeenExecution(row, self._check(row))
        if seen.check is Check.DAMAGED:
            self.wire.verified(row)
        return seen

    async def entries(self, seen: SeenExecution, *, reveal: bool = False) -> list[SeenEntry]:
        """Every entry of an execution by `entry_no`; the whole chain is checked where it can be.

        With `reveal` payloads are opened and decoded, which needs the key, and stamps if there is a
        key. Raises `IntegrityError` for damage, `ExecutionNotFound` for an execution that was
        pruned meanwhile, `DecodeError`, `PayloadTooLarge`.
        """
        entries: list[SeenEntry] = []

        def take(row: JournalRow, envelope: ExecutionEnvelope | None) -> None:
            payload = None
            opened = reveal and row.entry_kind != EntryKind.CHECKPOINT
            if opened and row.payload is not None and envelope is not None:
                payload = revealed(row, envelope.open(row))
            entries.append(SeenEntry(row, _step_name(row), payload))

        await self.each(seen, take, reveal=reveal)
        return entries

    async def each(
        self,
        seen: SeenExecution,
        take: Callable[[JournalRow, ExecutionEnvelope | None], object],
        *,
        reveal: bool = False,
    ) -> None:
        """Hand every entry by `entry_no` to `take`, with what opens its payload where it may.

        Checks and raises as `entries` does, and holds one segment at a time.
        """
        if reveal or seen.check is not Check.NO_KEY:
            parts = self if reveal else self._lenient
            reader = reader_of(parts, seen.row, checkpoints=True)
            envelope = reader.envelope if reveal or seen.verified else None
            await read_all(self, reader, lambda row: take(row, envelope))
            return
        read_to = 0
        while rows := await self.backend.journal.read_execution_range(
            seen.row.execution_id, read_to, self.config.replay_segment
        ):
            for row in rows:
                take(row, None)
            read_to = rows[-1].entry_no
        if not read_to:
            await self.execution(seen.execution_id)

    async def open_intents(self, seen: SeenExecution) -> Sequence[OpenIntent]:
        """The guarded effects whose outcome nobody knows; the whole chain is checked."""
        return await open_intents(self, seen.row)

    async def verify(self, execution_id: ExecutionId | None = None) -> VerifyReport:
        """Check one execution or all of them; see `DurableEngine.verify`."""
        return await verify(self, execution_id)

    @property
    def _lenient(self) -> Inspector:
        """One that shows what carries no stamps: it is marked, and no payload of it is shown."""
        return evolve(self, wire=evolve(self.wire, accept_unstamped=True))

    def _check(self, row: ExecutionRow) -> Check:
        known = self.wire.keyring.key_ids
        if (row.key_id is not None or (row.sealed and not known)) and row.key_id not in known:
            return Check.NO_KEY
        try:
            self._lenient.wire.verified(row)
        except IntegrityError:
            return Check.DAMAGED
        return Check.VERIFIED if row.stamped else Check.UNSTAMPED


@asynccontextmanager
async def open_journal(
    url: str | None,
    config: DurableConfig,
    keys: str | KeyProvider | None = None,
    *,
    key_optional: bool = False,
    registry: Registry | None = None,
) -> AsyncIterator[Inspector]:
    """Open an existing journal for reading; what an engine does beside it goes on undisturbed.

    Settings and keys are found as `DurableEngine.open` finds them. A missing key is no error here,
    but wherever something is sealed or stamped under it. `ConfigError` for a key id with other
    bytes than this database knows; with `key_optional` that key counts as missing. Also raises
    `ConfigError` for a database that does not exist, which is not created, and `PluginError`,
    `SchemaTooNew`, `JournalUnavailable`.
    """
    plugins = registry or Registry.discover()
    # Nothing is sealed here, so that the cipher of new payloads need not be installed.
    reading = evolve(config, encrypt_payload=False)
    masters = find_keys(reading, keys, plugins)
    wire = wire_format(reading, masters, plugins)
    backend = await open_backend(url or config.url, config, plugins, must_exist=True)
    try:
        if key_optional and masters is not None:
            wire = evolve(wire, keyring=await fitting_keys(backend, masters))
        await check_keys(backend, wire.keyring)
        yield Inspector(
            config,
            backend,
            wire,
            payload_codec(config),
            Tracing(),
        )
    finally:
        await backend.close()


def linked_to(row: JournalRow) -> ExecutionId | None:
    """The execution that a start or an end names as the one before, or behind, its own."""
    if row.entry_kind not in _LINKING:
        return None
    linked = linked_execution(row.detail)
    return None if linked is None else ExecutionId(bytes=linked)


def _step_name(row: JournalRow) -> str | None:
    if row.entry_kind == EntryKind.CHECKPOINT:
        return f"entries {Span.decode(row).first} to {row.entry_no}"
    return StepDetail.name_in(row.detail) if row.entry_kind in STEP_KINDS else None


def revealed(row: JournalRow, payload: bytes) -> RevealedPayload:
    """An opened payload as plain data; `DecodeError` where it does not follow the format."""
    match row.entry_kind:
        case EntryKind.EXECUTION_STARTED:
            return RevealedPayload("arguments", load(payload))
        case EntryKind.STEP_RESULT:
            return _result(row, payload)
        case EntryKind.STEP_FAILED:
            return _failed(Failure.decode(payload))
        case EntryKind.EXECUTION_FINISHED if payload == CONTINUED:
            return RevealedPayload("continued as", str(linked_to(row)))
        case EntryKind.EXECUTION_FINISHED | EntryKind.PROMISE_RESOLVED:
            return _finished(payload)
        case EntryKind.INTENT_SETTLED:
            return _settled(payload)
        case _:
            message = f"entry {row.entry_no} is of kind {row.entry_kind}, which is unknown here"
            raise DecodeError(message)


def _result(row: JournalRow, payload: bytes) -> RevealedPayload:
    if not payload or payload[0] not in set(Outcome):
        message = f"the result in entry {row.entry_no} has an unknown outcome byte"
        raise DecodeError(message)
    outcome = Outcome(payload[0])
    meaning = outcome.name.lower().replace("_", " ")
    value = None if outcome is Outcome.ASSUMED_DONE else load(payload[1:])
    return RevealedPayload(meaning, value)


def _finished(payload: bytes) -> RevealedPayload:
    finished = read_finished(payload)
    if isinstance(finished, Failure):
        return _failed(finished)
    return RevealedPayload("value", load(finished))


def _settled(payload: bytes) -> RevealedPayload:
    settled = read_settled(payload)
    if settled is None:
        return RevealedPayload("did not run", None)
    return RevealedPayload("ran", load(settled))


def _failed(failure: Failure) -> RevealedPayload:
    told = {"error_type": failure.error_type, "message": failure.message}
    return RevealedPayload("error", told | {"attempts": failure.attempts})
