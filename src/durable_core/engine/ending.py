"""The entry that ends an execution, appended in one way whoever ends it."""

from __future__ import annotations

import asyncio

from durable_core.engine.parts import EngineParts
from durable_core.ids import ExecutionId
from durable_core.journal.lane import Lane
from durable_core.model.entries import ExecutionFinished
from durable_core.model.execution import Status
from durable_core.telemetry import AttributeValue, SpanName

__all__ = ["begin_end", "finish"]


def begin_end(parts: EngineParts, lane: Lane, payload: bytes) -> asyncio.Future[int]:
    """Append that the execution of `lane` has completed, with no wait before: there is room.

    The future is the true outcome of the commit. Raises as `JournalWriter.submit` does.
    """
    parts.failpoints.reach("engine.finish.before")
    return parts.writer.submit(lane, _end_of(lane, Status.COMPLETED, payload))


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
        elif parts.writer.has_room:
            await parts.writer.submit(lane, entry)
        else:
            await parts.writer.append(lane, entry)
    parts.failpoints.reach("engine.finish.after")


def _end_of(lane: Lane, status: Status, payload: bytes) -> ExecutionFinished:
    return ExecutionFinished(lane.execution_id, lane.accepted_generation, status, payload)


def _attributes(execution_id: ExecutionId, status: Status) -> dict[str, AttributeValue]:
    return {"durable.execution_id": execution_id, "durable.status": status.label}
