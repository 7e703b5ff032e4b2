"""One execution from its claim to its end here: generation after generation, then an outcome.

Carries the divergence rules of INV-3 and INV-13: a run that diverges is not continued; a fresh
generation starts by itself only where nothing but idempotent steps was journaled.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from durable_core.engine.body import Ended, end_of
from durable_core.engine.children import cancel_children
from durable_core.engine.continuing import continuation_of, hand_on
from durable_core.engine.definition import Workflow
from durable_core.engine.ending import finish
from durable_core.engine.outcome import (
    Outcome,
    finished_error,
    finished_value,
)
from durable_core.engine.parts import EngineParts
from durable_core.engine.places import Place
from durable_core.engine.promise import Cell
from durable_core.engine.receiving import deliver
from durable_core.engine.run import Run
from durable_core.errors import (
    AmbiguousEffect,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionLocked,
    PayloadError,
    ReplayDivergence,
)
from durable_core.ids import ExecutionId
from durable_core.journal.lane import Lane
from durable_core.model.entries import ExecutionStarted
from durable_core.model.execution import ExecutionRow, Status
from durable_core.replay.cursor import ReplayCursor
from durable_core.replay.reader import ChainReader
from durable_core.telemetry import SpanName

__all__ = ["Execution"]

_LOG: Final = logging.getLogger("durable_core.engine")


class Execution:
    """Runs one execution that this engine owns. Created and used on the event loop."""

    def __init__(
        self,
        parts: EngineParts,
        workflow: Workflow[..., Any],
        lane: Lane,
        row: ExecutionRow,
        payload: bytes | None = None,
        *,
        restart: bool = False,
    ) -> None:
        self.workflow = workflow
        self.lane = lane
        self.execution_id = ExecutionId(bytes=row.execution_id)
        self.successor: Execution | None = None
        """What continues it, once that has begun; to be run in its place."""

        self._parts = parts
        self._row = row
        self._payload = payload
        self._restart = restart
        self._run: Run | None = None
        self._stop: Exception | None = None
        self._stopping: asyncio.Future[None] | None = None
        self._recorded = False
        self._outcome: Outcome | None = None
        self._waiters: dict[asyncio.Future[None], None] = {}

    def stop(self, error: Exception) -> None:
        """End the execution here; `ExecutionCancelled` is journaled, other errors are not."""
        if self._stop is None:
            self._stop = error
            if self._stopping is not None:
                self._stopping.cancel()
            if self._run is not None:
                self._run.end(error)

    async def outcome(self) -> Outcome:
        """Wait for the end; the waiter's cancellation does not reach the execution."""
        while self._outcome is None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters[waiter] = None
            try:
                await waiter
            finally:
                self._waiters.pop(waiter, None)
        return self._outcome

    def end(self, outcome: Outcome) -> None:
        """Tell everybody who waits how it has ended; once."""
        self._outcome = outcome
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def resolve(self, promise_id: bytes, payload: bytes) -> None:
        """Journal how one of its promises was resolved, unless that is journaled; then wake it.

        `ExecutionLocked` where its program has not made that promise here yet, and `PayloadError`
        for a value that does not fit what the program waits for; nothing is journaled then.
        """
        run = self._run
        if run is None or not self.takes(promise_id):
            message = f"execution {self.execution_id} has not come to that promise here yet"
            raise ExecutionLocked(message)
        cell = run.cells.get(promise_id)
        if cell is not None and cell.entry_no is None and run.cursor.resolution(promise_id) is None:
            cell.check(run, payload)
            run.parts.failpoints.reach("engine.promise.resolving")
            await cell.resolve(run, payload)
            run.parts.failpoints.reach("engine.promise.resolved")

    def check(self, promise_id: bytes, payload: bytes) -> None:
        """`PayloadError` for a value of which its program says that it does not fit."""
        if self._run is not None and self.takes(promise_id):
            cells = self._run.cells
            cell = cells.get(promise_id) or Cell(promise_id, "", cells.kind_of(promise_id))
            cell.check(self._run, payload)

    async def signal(self, request_id: bytes, name: str, payload: bytes) -> None:
        """Journal a signal as the next of its name; `ExecutionLocked` while it replays here."""
        run = self._run
        if run is None or run.ended:
            message = f"execution {self.execution_id} takes no signals here yet"
            raise ExecutionLocked(message)
        await deliver(run, request_id, name, payload)

    @property
    def takes_signals(self) -> bool:
        """Whether all that is journaled was read, so that it is known which signal is the next."""
        run = self._run
        return run is not None and not run.ended and run.cursor.exhausted

    def takes(self, promise_id: bytes) -> bool:
        """Whether its program has made that promise here, and all that is journaled was read.

        Before that nobody knows whether the journal holds a resolution already: what was filed
        again, or too late, would be journaled as a second one.
        """
        run = self._run
        if run is None or run.ended or promise_id not in run.cells:
            return False
        if run.cursor.exhausted or run.cells.was_let_go(promise_id):
            return True
        return run.cursor.resolution(promise_id) is not None

    @property
    def recorded(self) -> bool:
        """Whether the journal holds how the execution ended here: its status is no longer running.

        Otherwise the engine itself failed, or was closed.
        """
        return self._recorded

    @property
    def owner_epoch(self) -> int:
        """The epoch of the claim under which it runs here."""
        return self.lane.row.owner_epoch

    def abandon(self) -> None:
        """Cancel what still runs, guarded functions too; their intents stay open."""
        if self._run is not None:
            self._run.abandon()

    async def main(self, place: Place) -> Outcome:
        """Run to the end, in `place`. Never raises an engine failure: it is the outcome."""
        try:
            await self._take(place)
            return await self._generations(place)
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits must learn it
            return Outcome(error=error)
        finally:
            self._parts.journal.detach(self.execution_id)

    async def _take(self, place: Place) -> None:
        """Wait for the place, unless the execution is stopped: then it needs none."""
        if place.take_at_once():
            return
        taking = asyncio.ensure_future(place.take())
        self._stopping = asyncio.get_running_loop().create_future()
        if self._stop is not None:
            self._stopping.cancel()
        try:
            await asyncio.wait({taking, self._stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            taking.cancel()

    async def _generations(self, place: Place) -> Outcome:
        while True:
            outcome = await self._generation(place)
            if outcome is not None:
                return outcome
            heads = await self._parts.backend.heads([self._row.execution_id])
            self._row, self._payload = heads[0], None

    async def _generation(self, place: Place) -> Outcome | None:
        """One run; None when a fresh generation was opened."""
        parts, row = self._parts, self._row
        reader = ChainReader(
            parts.backend.journal,
            row,
            self.lane.envelope,
            parts.tracing,
            parts.config.replay_segment,
            complete=True,
        )
        cursor = ReplayCursor(reader)
        payload = self._payload
        if payload is None:
            with parts.tracing.span(SpanName.REPLAY_CURSOR_BUILD, {}):
                payload = await cursor.open()
        run = self._run = Run(parts, self.workflow, self.lane, cursor, row.generation, place)
        if self._stop is not None:
            run.end(self._stop)
            return await self._stopped(run, self._stop)
        args, kwargs = self.workflow.shape.decode(parts.codec, payload)
        ended = await end_of(run, args, kwargs)
        await run.settle_down()
        try:
            if run.error is None:
                await cursor.finish()
        except ReplayDivergence as divergence:
            run.end(divergence)
        if run.error is not None:
            return await self._stopped(run, run.error)
        return await self._finished(run, ended)

    async def _finished(self, run: Run, ended: Ended) -> Outcome:
        if ended.error is not None:
            continuation = continuation_of(ended.error)
            if continuation is not None:
                return await self._continue(run, continuation.payload)
            return await self._fail(ended.error)
        try:
            encoded, value = self._parts.codec.settle(ended.value, self.workflow.shape.returns)
        except PayloadError as error:
            message = f"the result of workflow {self.workflow.name!r} is refused: {error}"
            return await self._fail(type(error)(message), error)
        await self._finish(Status.COMPLETED, finished_value(encoded))
        return Outcome(value)

    async def _continue(self, run: Run, payload: bytes) -> Outcome:
        """End it, and make what goes on in its place. Nothing is waited for behind the commit."""
        heir = await hand_on(run, payload)
        self._recorded = True
        if heir.committed.entries == 1:
            successor = Execution(self._parts, self.workflow, heir, heir.row, payload)
        else:
            # It has signals to begin with, which it reads like anything that is journaled.
            row = heir.start_as(heir.committed, heir.row.created_at)
            successor = Execution(self._parts, self.workflow, heir, row)
        self.successor = successor
        return Outcome(successor=successor.execution_id)

    async def _fail(self, error: BaseException, cause: BaseException | None = None) -> Outcome:
        failure = self._parts.failure_of(error)
        await self._finish(Status.FAILED, finished_error(failure))
        failed = ExecutionFailed(failure.error_type, failure.message)
        failed.__cause__ = cause or error
        return Outcome(error=failed)

    async def _stopped(self, run: Run, error: Exception) -> Outcome | None:
        """What an ended run leaves in the journal."""
        await run.activity.effects_done()
        match error:
            case ExecutionCancelled():
                heads = await self._parts.backend.heads([self._row.execution_id])
                await cancel_children(self._parts, heads[0])
                await self._finish(Status.CANCELLED, finished_error(self._parts.failure_of(error)))
            case AmbiguousEffect():
                for intent in run.blocking_intents:
                    await self._parts.writer.append(self.lane, intent)
                await self._change_status(Status.BLOCKED)
            case ReplayDivergence():
                return await self._diverged(run, error)
            case _ if error is self._stop:
                _LOG.info("execution %s is left as it is: %s", self.execution_id, error)
            case _:
                _LOG.error(
                    "execution %s stopped here: %s: %s",
                    self.execution_id,
                    type(error).__name__,
                    error,
                )
        return Outcome(error=error)

    async def _diverged(self, run: Run, error: ReplayDivergence) -> Outcome | None:
        parts = self._parts
        parts.metrics.record("durable.engine.divergences", 1)
        _LOG.error("execution %s diverged: %s", self.execution_id, error)
        await run.cursor.read_all()
        by_itself = run.only_idempotent and run.cursor.only_idempotent
        if not (by_itself or self._restart or parts.config.on_divergence == "restart"):
            await self._change_status(Status.BLOCKED)
            return Outcome(error=error)
        if not self._restart and run.cursor.prior.divergences >= parts.config.max_divergences:
            await self._finish(Status.ABORTED, finished_error(self._parts.failure_of(error)))
            return Outcome(error=error)
        self._restart = False
        payload = await self._input(run)
        entry = ExecutionStarted(self.execution_id, run.generation + 1, payload)
        await parts.writer.append(self.lane, entry)
        return None

    async def _input(self, run: Run) -> bytes:
        return await run.cursor.open() if self._payload is None else self._payload

    async def _finish(self, status: Status, payload: bytes) -> None:
        await finish(self._parts, self.lane, status, payload, bounded=False)
        self._recorded = True

    async def _change_status(self, status: Status) -> None:
        await self._parts.writer.change_status(self.lane, status)
        self._recorded = True
