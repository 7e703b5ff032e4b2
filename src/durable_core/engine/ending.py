"""The entry that ends an execution, appended in one way whoever ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from durable_core.engine.parts import EngineParts
from durable_core.ids import ExecutionId
from durable_core.journal.lane import Lane
from durable_core.model.entries import ExecutionFinished
from durable_core.model.execution import Status
from durable_core.telemetry import AttributeValue, SpanName

__all__ = ["begin_end", "finish"]

_LOG: Final = logging.getLogger("durable_core.engine")


def begin_end(
    parts: EngineParts,
    lane: Lane,
    payload: bytes,
    committed: Callable[[asyncio.Future[int]], None],
    refused: Callable[[], None],
) -> bool:
    """Append that the execution of `lane` has completed, without a task that waits for anything.

    `committed` is told the true outcome of the commit. Raises as `JournalWriter.submit` does.
    False where there is no room: it is appended in its turn, or `refused` is told that it is not.
    """
    if parts.writer.has_room:
        _append_end(parts, lane, payload, committed)
        return True

    def in_turn(turn: asyncio.Future[bool]) -> None:
        try:
            if turn.result():
                _append_end(parts, lane, payload, committed)
                return
        except Exception as error:  # noqa: BLE001 - who appends it otherwise meets it again
            _LOG.debug("the end of an execution is appended otherwise: %s", type(error).__name__)
        refused()

    parts.writer.turn().add_done_callback(in_turn)
    return False


async def finish(
    parts: EngineParts,
    lane: Lane,
    status: Status,
    payload: bytes,
    *,
    bounded: bool,
) -> None:
    """Put the execution of `lane` into the terminal `status`; durable at return.

    A `bounded` wait ends with `CommitOutcomeUnknown`; otherwise it lasts until the outcome of the
    commit is known. Raises as `JournalWriter.append` does.
    """
    execution_id = lane.execution_id
    entry = _end_of(lane, status, payload)
    parts.failpoints.reach("engine.finish.before")
    with parts.tracing.span_of(SpanName.JOURNAL_FINALIZE, _attributes, execution_id, status):
        if bounded:
            await parts.journal.append_bounded(lane, entry)
        else:
            await parts.writer.append(lane, entry)
    parts.failpoints.reach("engine.finish.after")


def _append_end(
    parts: EngineParts,
    lane: Lane,
    payload: bytes,
    committed: Callable[[asyncio.Future[int]], None],
) -> None:
    parts.failpoints.reach("engine.finish.before")
    entry = _end_of(lane, Status.COMPLETED, payload)
    parts.writer.submit(lane, entry).add_done_callback(committed)


def _end_of(lane: Lane, status: Status, payload: bytes) -> ExecutionFinished:
    return ExecutionFinished(lane.execution_id, lane.accepted_generation, status, payload)


def _attributes(execution_id: ExecutionId, status: Status) -> dict[str, AttributeValue]:
    return {"durable.execution_id": execution_id, "durable.status": status.label}
