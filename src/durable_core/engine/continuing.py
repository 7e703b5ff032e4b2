"""`ctx.continue_as_new`: the workflow ends, and a new execution of it goes on, in one commit.

The journal of each stays short, however long the work goes on, and what was paid for in one says
nothing about the next (INV-13). Whoever waits for, signals or cancels one is led to the next.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from attrs import evolve

from durable_core.engine.outcome import CONTINUED
from durable_core.engine.receiving import unreceived
from durable_core.engine.signals import read_signal, waiting_signals
from durable_core.errors import ConfigError, DecodeError, ExecutionError, PayloadError
from durable_core.ids import NO_STEP, ExecutionId
from durable_core.journal.lane import Lane
from durable_core.model.entries import Entry, ExecutionFinished, ExecutionStarted, PromiseResolved
from durable_core.model.execution import Status
from durable_core.telemetry import SpanName
from durable_core.wire.call import join
from durable_core.wire.links import link_detail
from durable_core.wire.promises import signal_id
from durable_core.wire.waits import Signal

if TYPE_CHECKING:
    from durable_core.engine.run import Run
    from durable_core.engine.strand import Strand

__all__ = ["Continuation", "continuation_of", "continue_as_new", "hand_on"]

_LOG: Final = logging.getLogger("durable_core.engine")


class Continuation(BaseException):
    """Unwinds a workflow that is to be continued. It is no error, so no `except Exception` sees it.

    Not an `Exception` as `asyncio.CancelledError` is none, and to be let through like that one.
    """

    def __init__(self, payload: bytes) -> None:
        super().__init__("the workflow ends here, and is continued by a new execution")
        self.payload = payload


def continue_as_new(
    run: Run, strand: Strand, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> NoReturn:
    """See `DurableContext.continue_as_new`."""
    if (
        strand.depth > 0
        or strand.over
        or strand.inside
        or run.ended
        or (run.strands.own() is not strand)
    ):
        message = (
            "ctx.continue_as_new() ends the workflow, and so is called by the workflow's own code: "
            "not in a step, in a branch of ctx.parallel(), or in a task that the workflow makes. "
            "Let those return what is to be done next, and call it when they have"
        )
        raise ExecutionError(message)
    shape = run.workflow.shape
    try:
        payload = join(shape.encode_each(run.parts.codec, shape.bind(args, kwargs)))
    except DecodeError as error:
        message = f"workflow {run.workflow.name!r} cannot be continued: {error}"
        raise DecodeError(message) from error
    run.parts.wire.guard(payload)
    raise Continuation(payload)


def continuation_of(error: BaseException) -> Continuation | None:
    """The continuation with which a workflow ended; None where it failed.

    Out of a task group it comes as the only one of a group.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, Continuation) else None


async def hand_on(run: Run, payload: bytes) -> Lane:
    """End the run's execution, and begin the one that continues it; durable at return.

    Both stand in one transaction, with the signals that were sent and not received, and the key
    leads to the new one from then on. Nothing is waited for between the commit and the return.
    """
    parts, lane, row = run.parts, run.lane, run.lane.row
    heir_id = parts.ids.execution_id()
    end = ExecutionFinished(
        run.execution_id,
        lane.accepted_generation,
        Status.COMPLETED,
        CONTINUED,
        detail=link_detail(heir_id.bytes),
    )
    # Who looks for executions that nobody runs must not take the new one for one of them.
    async with parts.kin.sole(heir_id):
        heir = parts.journal.new_lane(
            heir_id,
            row.workflow,
            key=row.execution_key,
            kind=row.kind,
            sealed=parts.config.encrypt_payload,
        )
        try:
            if not lane.stored:
                await parts.writer.barrier(lane)
            start = ExecutionStarted(heir_id, 0, payload, detail=link_detail(row.execution_id))
            waiting = await _waiting(run)
            beginning: list[Entry] = [start, *_carried([*unreceived(run), *waiting], heir_id)]
            await parts.writer.room()
            parts.failpoints.reach("engine.continue.before")
            with parts.tracing.span(
                SpanName.JOURNAL_FINALIZE,
                {"durable.execution_id": run.execution_id, "durable.status": end.status.label},
            ):
                await parts.writer.hand_on(lane, end, heir, beginning)
            parts.failpoints.reach("engine.continue.after")
        except BaseException:
            parts.journal.detach(heir_id)
            raise
    return heir


async def _waiting(run: Run) -> list[tuple[Signal, bytes]]:
    """The signals that were filed with the execution, and that its journal does not hold.

    Their requests stay: whoever answers them finds that they have been handed on.
    """
    parts, row = run.parts, run.lane.row
    found = []
    for request in await waiting_signals(parts.backend):
        if request.execution_id != row.execution_id:
            continue
        try:
            request_id, name, payload = read_signal(parts.wire, row, request)
        except (PayloadError, ConfigError) as error:
            _LOG.debug("a request is left to who can read it: %s", error)
            continue
        if request_id not in run.signals:
            found.append((Signal(b"", name, request_id), payload))
    return found


def _carried(
    signals: Sequence[tuple[Signal, bytes]], heir_id: ExecutionId
) -> Iterator[PromiseResolved]:
    """Signals as entries of the execution that goes on, which counts them from the first."""
    counts: Counter[str] = Counter()
    for signal, payload in signals:
        number = signal_id(heir_id.bytes, signal.name, counts[signal.name])
        counts[signal.name] += 1
        detail = evolve(signal, signal_id=number.bytes).detail()
        yield PromiseResolved(heir_id, 0, NO_STEP, detail, payload)
