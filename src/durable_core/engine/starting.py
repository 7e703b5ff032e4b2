"""Starts executions: idempotent by key, durable before anybody learns of them."""

from __future__ import annotations

from typing import Any, Literal

from durable_core.contracts.exchange import Notice, NoticeKind
from durable_core.engine.arguments import checked_text
from durable_core.engine.definition import Workflow
from durable_core.engine.execution import Execution
from durable_core.engine.ownership import Ownership
from durable_core.engine.parts import EngineParts
from durable_core.engine.roster import Roster, as_workflow
from durable_core.engine.stored import read_beginning
from durable_core.engine.succession import Successions
from durable_core.errors import (
    ConfigError,
    DecodeError,
    ExecutionNotFound,
    JournalUnavailable,
    KeyConflict,
    KeyTaken,
)
from durable_core.ids import ExecutionId
from durable_core.model.entries import ExecutionStarted
from durable_core.model.execution import ANYONE, ExecutionRow
from durable_core.wire.call import join

__all__ = ["Starter"]


class Starter:
    """Starts executions for one engine."""

    def __init__(
        self,
        parts: EngineParts,
        roster: Roster,
        ownership: Ownership,
        successions: Successions,
    ) -> None:
        self._parts = parts
        self._roster = roster
        self._ownership = ownership
        self._successions = successions

    async def start(
        self,
        workflow: Workflow[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        key: str | None,
        on_conflict: Literal["error", "existing"],
        acknowledged: bool = True,
        anywhere: bool = False,
    ) -> ExecutionId:
        """Start, or find by key; see `DurableEngine.start`."""
        payload, known = self._encode(workflow, args, kwargs, anywhere=anywhere)
        if anywhere:
            self._roster.know(workflow)
        self._parts.wire.guard(payload)
        if key is not None:
            checked_text(key, "an execution key")
            found = await self._ownership.find(workflow.name, key)
            if found is not None:
                return await self._existing(found, payload, on_conflict)
        if not acknowledged:
            await self._room()
        execution_id = self._parts.ids.execution_id()
        try:
            if anywhere:
                await self._offer(execution_id, workflow, key, payload)
            elif acknowledged:
                launch = self._launch(execution_id, workflow, key, payload, known)
                await self._roster.unbroken(launch)
            else:
                self._launch_at_once(execution_id, workflow, payload, known)
        except KeyTaken as taken:
            try:
                existing = await self._ownership.load(ExecutionId(bytes=taken.existing))
            except ExecutionNotFound:  # pruned since: the key is free again
                return await self.start(
                    workflow,
                    args,
                    kwargs,
                    key=key,
                    on_conflict=on_conflict,
                    acknowledged=acknowledged,
                    anywhere=anywhere,
                )
            return await self._existing(existing, payload, on_conflict)
        return execution_id

    async def _room(self) -> None:
        """Wait until an execution may be begun by a buffered append; the engine is open then."""
        try:
            await self._parts.writer.room_to_start()
        except JournalUnavailable:
            self._roster.require_not_closed()  # or that is why
            raise
        self._roster.require_not_closed()

    async def _launch(
        self,
        execution_id: ExecutionId,
        workflow: Workflow[..., Any],
        key: str | None,
        payload: bytes,
        known: tuple[Any, ...] | None,
    ) -> None:
        """Journal the start and run it, also where the caller is cancelled meanwhile.

        Where the wait ends with `CommitOutcomeUnknown`, the start may land all the same; then the
        watch finds an execution of this engine that does not run, and runs it.
        """
        journal = self._parts.journal
        entry = ExecutionStarted(execution_id, 0, payload)
        lane = journal.new_lane(
            execution_id,
            workflow.name,
            key=key,
            sealed=self._parts.config.encrypt_payload,
        )
        execution = Execution(self._parts, workflow, lane, lane.row, payload, known)
        try:
            async with self._roster.sole(execution_id):
                await journal.append_acked(entry)
                self._roster.launch(execution)
        finally:
            if self._roster.running(execution_id) is None:
                journal.detach(execution_id)

    def _launch_at_once(
        self,
        execution_id: ExecutionId,
        workflow: Workflow[..., Any],
        payload: bytes,
        known: tuple[Any, ...] | None,
    ) -> None:
        """Buffer the start of an execution without a key, and run it.

        Nothing is waited for: nobody can come between the start and the launch.
        """
        parts = self._parts
        sealed = parts.config.encrypt_payload
        lane = parts.journal.new_lane(execution_id, workflow.name, sealed=sealed)
        try:
            parts.writer.offer(lane, ExecutionStarted(execution_id, 0, payload))
            self._roster.launch(Execution(parts, workflow, lane, lane.row, payload, known))
        except BaseException:
            parts.journal.detach(execution_id)
            raise

    async def _offer(
        self,
        execution_id: ExecutionId,
        workflow: Workflow[..., Any],
        key: str | None,
        payload: bytes,
    ) -> None:
        """Journal the start for whichever engine claims it."""
        journal = self._parts.journal
        journal.new_lane(
            execution_id,
            workflow.name,
            key=key,
            sealed=self._parts.config.encrypt_payload,
            owner_id=ANYONE,
        )
        try:
            await journal.append_acked(ExecutionStarted(execution_id, 0, payload))
        finally:
            journal.detach(execution_id)
        self._parts.notices.hear(Notice(NoticeKind.WAITING, execution_id.bytes))

    def _encode(
        self,
        workflow: Workflow[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        anywhere: bool,
    ) -> tuple[bytes, tuple[Any, ...] | None]:
        """The encoded arguments; and themselves, where decoding gives just the same."""
        name = as_workflow(workflow).name
        registered = self._roster.find(name) if anywhere else self._roster.require(name)
        if registered is not workflow and registered is not None:
            message = f"another workflow is registered as {workflow.name!r}; rename one of them"
            raise ConfigError(message)
        shape, codec = workflow.shape, self._parts.codec
        try:
            bound = shape.bind(args, kwargs)
            payload = join(shape.encode_each(codec, bound))
        except DecodeError as error:
            message = f"workflow {workflow.name!r} cannot be started: {error}"
            raise DecodeError(message) from error
        return payload, bound if shape.keeps(codec, bound) else None

    async def _existing(
        self,
        row: ExecutionRow,
        payload: bytes,
        on_conflict: Literal["error", "existing"],
    ) -> ExecutionId:
        """The latest execution of that key; one that continues another set its own arguments."""
        row = await self._successions.latest(ExecutionId(bytes=row.execution_id))
        execution_id = ExecutionId(bytes=row.execution_id)
        if on_conflict == "existing":
            return execution_id
        beginning = await read_beginning(self._parts, row)
        if beginning.predecessor is None and beginning.payload != payload:
            message = (
                f"execution {execution_id} has that key and was started with other arguments; "
                'use another key, or on_conflict="existing"'
            )
            raise KeyConflict(message)
        return execution_id
