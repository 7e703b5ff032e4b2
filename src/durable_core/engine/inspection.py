"""Reads a journal without an engine: no owner lock, no writer, nothing created, nothing changed.

For tools that look at a database with no application running, or beside one. Carries INV-16 for
them: with a key, whatever they are told has been checked; without one it is marked as unverified.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from attrs import evolve, frozen

from durable_core.config import DurableConfig
from durable_core.contracts.backend import ExecutionBackend
from durable_core.contracts.keys import KeyProvider
from durable_core.engine.compose import (
    compare_keys,
    find_keys,
    open_backend,
    payload_codec,
    wire_format,
)
from durable_core.engine.outcome import Failure, read_finished
from durable_core.engine.recorded import read_settled
from durable_core.engine.stored import OpenIntent, open_intents, reader_of
from durable_core.engine.verification import VerifyReport, verify
from durable_core.errors import DecodeError, ExecutionNotFound
from durable_core.ids import ExecutionId
from durable_core.model.entries import EntryKind, JournalRow, Outcome
from durable_core.model.execution import ExecutionRow, Status
from durable_core.registry import Registry
from durable_core.replay.detail import StepDetail
from durable_core.telemetry import Tracing
from durable_core.wire.envelope import WireFormat
from durable_core.wire.payload import PayloadCodec, load

__all__ = ["Inspector", "RevealedPayload", "SeenEntry", "SeenExecution", "open_journal"]

_STEP_KINDS: Final = frozenset(
    {
        EntryKind.EFFECT_INTENT,
        EntryKind.STEP_RESULT,
        EntryKind.STEP_FAILED,
        EntryKind.INTENT_SETTLED,
    },
)


@frozen
class SeenExecution:
    """An execution's committed row, and whether it was checked against its anchor.

    Only a stamped execution can be checked, and only with its key.
    """

    row: ExecutionRow
    verified: bool

    @property
    def execution_id(self) -> ExecutionId:
        """The row's id."""
        return ExecutionId(bytes=self.row.execution_id)


@frozen
class RevealedPayload:
    """A decoded payload: what it is in one word, and its value as plain data. A secret."""

    meaning: str
    value: object


@frozen
class SeenEntry:
    """A journal row, the step's name where it has one, and its payload where that was asked for."""

    row: JournalRow
    step_name: str | None
    payload: RevealedPayload | None = None


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
        """At most `limit` executions, oldest first. `IntegrityError` for an altered row."""
        rows = await self.backend.list_executions(
            statuses=() if status is None else (status.label,),
            workflow=workflow,
            limit=limit,
        )
        return [self._seen(row) for row in rows]

    async def execution(self, execution_id: ExecutionId) -> SeenExecution:
        """One execution; `ExecutionNotFound`, `IntegrityError`."""
        row = await self.backend.load(execution_id.bytes)
        if row is None:
            message = f"no execution {execution_id} in this journal"
            raise ExecutionNotFound(message)
        return self._seen(row)

    async def entries(self, seen: SeenExecution, *, reveal: bool = False) -> list[SeenEntry]:
        """Every entry of an execution by `entry_no`; the whole chain is checked where it can be.

        With `reveal` payloads are opened and decoded, which needs the key. Raises `IntegrityError`
        for damage, `DecodeError`, `PayloadTooLarge`.
        """
        if not reveal and not self._checkable(seen.row):
            rows = await self.backend.journal.read_execution(seen.row.execution_id)
            return [SeenEntry(row, _step_name(row)) for row in rows]
        reader = reader_of(self, seen.row)
        entries: list[SeenEntry] = []

        def take(row: JournalRow) -> None:
            payload = None
            if reveal and row.payload is not None:
                payload = _revealed(row, reader.envelope.open(row))
            entries.append(SeenEntry(row, _step_name(row), payload))

        await reader.each(take)
        return entries

    async def open_intents(self, seen: SeenExecution) -> Sequence[OpenIntent]:
        """The guarded effects whose outcome nobody knows; the whole chain is checked."""
        return await open_intents(self, seen.row)

    async def verify(self, execution_id: ExecutionId | None = None) -> VerifyReport:
        """Check one execution or all of them; see `DurableEngine.verify`."""
        return await verify(self, execution_id)

    def _checkable(self, row: ExecutionRow) -> bool:
        return bool(self.wire.keyring.key_ids) or not (row.sealed or row.stamped)

    def _seen(self, row: ExecutionRow) -> SeenExecution:
        if not self._checkable(row):
            return SeenExecution(row, verified=False)
        self.wire.verified(row)
        return SeenExecution(row, verified=row.stamped)


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

    Settings and keys are found as `DurableEngine.open` finds them. With `key_optional` a missing
    key is no error: then nothing is verified. Raises `ConfigError` (also for a database that does
    not exist, which is not created), `PluginError`, `SchemaTooNew`, `JournalUnavailable`.
    """
    plugins = registry or Registry.discover()
    # Nothing is sealed here, so that the cipher of new payloads need not be installed.
    reading = evolve(config, encrypt_payload=False)
    masters = find_keys(reading if key_optional else config, keys, plugins)
    wire = wire_format(reading, masters, plugins)
    backend = await open_backend(url or config.url, config, plugins, must_exist=True)
    try:
        await compare_keys(backend, wire.keyring)
        yield Inspector(
            config,
            backend,
            wire,
            payload_codec(config),
            Tracing(),
        )
    finally:
        await backend.close()


def _step_name(row: JournalRow) -> str | None:
    return StepDetail.decode(row.detail).name if row.entry_kind in _STEP_KINDS else None


def _revealed(row: JournalRow, payload: bytes) -> RevealedPayload:
    match row.entry_kind:
        case EntryKind.EXECUTION_STARTED:
            return RevealedPayload("arguments", load(payload))
        case EntryKind.STEP_RESULT:
            return _result(row, payload)
        case EntryKind.STEP_FAILED:
            return _failed(Failure.decode(payload))
        case EntryKind.EXECUTION_FINISHED:
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
