"""One execution from its claim to its end here: generation after generation, then an outcome.

Carries the divergence rules of INV-3 and INV-13: a run that diverges is not continued; a fresh
generation starts by itself only where nothing but idempotent steps was journaled.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

from durable_core.engine.body import Ended, begin, end_of
from durable_core.engine.children import cancel_children
from durable_core.engine.continuing import continuation_of, hand_on
from durable_core.engine.definition import Workflow
from durable_core.engine.ending import begin_end, finish
from durable_core.engine.outcome import (
    Outcome,
    finished_error,
    finished_value,
    interrupted,
)
from durable_core.engine.parts import EngineParts
from durable_core.engine.places import Place
from durable_core.engine.run import Run
from durable_core.errors import (
    AmbiguousEffect,
    ExecutionCancelled,
    ExecutionFailed,
    PayloadError,
    ReplayDivergence,
)
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
        arguments: tuple[Any, ...] | None = None,
        *,
        restart: bool = False,
    ) -> None:
        self.workflow = workflow
        self.lane = lane
        self.execution_id = lane.execution_id
        self.successor: Execution | None = None
        """What continues it, once that has begun; to be run in its place."""

        self._parts = parts
        self._row = row
        self._payload = payload
        self._arguments = arguments
        self._restart = restart
        self.place: Place
        """Among those that run at once; what launches the execution sets it."""

        self._over: _Over
        self.run: Run | None = None
        """Its generation, while that runs here."""

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
            if self.run is not None:
                self.run.end(error)

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
        if self.run is not None:
            self.run.abandon()

    @property
    def may_begin(self) -> bool:
        """Whether nothing is journaled that would have to be read first."""
        return self._payload is not None

    def begin(self, over: _Over) -> bool:
        """Call the workflow now, where nothing has to be waited for before; whether it was called.

        Then `over` is told once, by the workflow's own task or by the loop, how the execution has
        ended; or what is to be done until that is known, and is as `main`. It needs no task of its
        own meanwhile.
        """
        payload = self._payload
        if payload is None or self._stop is not None or not self.place.take_at_once():
            return False
        self._over = over
        try:
            run, args, kwargs = self._run_of(self._parts.fresh, payload)
        except Exception:  # noqa: BLE001 - `main` meets it again, and tells it
            return False
        begin(run, args, kwargs, self._told)
        return True

    async def main(self) -> Outcome:
        """Run to the end, in its place. Never raises an engine failure: it is the outcome."""
        return await self._to_the_end(self._first())

    def _told(self, run: Run, ended: Ended) -> None:
        """The workflow's own code has ended that `begin` has called."""
        if ended.interrupted:
            self._end_at_once(interrupted())
        elif not self._completes(run, ended):
            self._go_on(run, ended)

    def _completes(self, run: Run, ended: Ended) -> bool:
        """Journal the value of a run that leaves nothing else to wait for; whether it is one."""
        parts = self._parts
        if ended.error is not None or not run.quiet or parts.tracing.recording:
            return False
        try:
            encoded, value = parts.codec.settle(ended.value, self.workflow.shape.returns)
            run.ended = True
            appended = begin_end(
                parts,
                self.lane,
                finished_value(encoded),
                functools.partial(self._completed, Outcome(value)),
                functools.partial(self._go_on, run, ended),
            )
        except Exception:  # noqa: BLE001 - `_settle` meets it again, and tells it
            return False
        if appended:
            self._leave(run)  # nothing is asked of it while it waits for the commit
        return True

    def _go_on(self, run: Run, ended: Ended) -> None:
        """In a task: there is more to wait for."""
        self._over(self, self._to_the_end(self._settle(run, ended)))

    def _completed(self, outcome: Outcome, committed: asyncio.Future[int]) -> None:
        error = asyncio.CancelledError() if committed.cancelled() else committed.exception()
        if self.run is not None:
            self._leave(self.run)
        if error is not None:
            self._over(self, self._to_the_end(_failed(error)))
            return
        self._parts.failpoints.reach("engine.finish.after")
        self._recorded = True
        self._end_at_once(outcome)

    def _end_at_once(self, outcome: Outcome) -> None:
        self._parts.journal.detach(self.execution_id)
        self._over(self, outcome)

    async def _to_the_end(self, work: Coroutine[Any, Any, Outcome | None]) -> Outcome:
        """Finish the generation that `work` is of, and the fresh ones that follow it."""
        try:
            outcome = await work
            while outcome is None:
                heads = await self._parts.backend.heads([self._row.execution_id])
                self._row, self._payload, self._arguments = heads[0], None, None
                outcome = await self._generation()
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits must learn it
            return Outcome(error=error)
        finally:
            self._parts.journal.detach(self.execution_id)
        return outcome

    async def _first(self) -> Outcome | None:
        if not self.place.take_at_once():
            await self._take()
        return await self._generation()

    async def _take(self) -> None:
        """Wait for the place, unless the execution is stopped: then it needs none."""
        taking = asyncio.ensure_future(self.place.take())
        self._stopping = asyncio.get_running_loop().create_future()
        if self._stop is not None:
            self._stopping.cancel()
        try:
            await asyncio.wait({taking, self._stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            taking.cancel()

    async def _generation(self) -> Outcome | None:
        """One run; None when a fresh generation was opened."""
        parts, cursor, payload = self._parts, self._parts.fresh, self._payload
        if payload is None:
            cursor = self._cursor()
            with parts.tracing.span(SpanName.REPLAY_CURSOR_BUILD, {}):
                payload = await cursor.open()
        run, args, kwargs = self._run_of(cursor, payload)
        if self._stop is not None:
            run.end(self._stop)
            return await self._stopped(run, self._stop)
        return await self._settle(run, await end_of(run, args, kwargs))

    def _run_of(
        self, cursor: ReplayCursor, payload: bytes
    ) -> tuple[Run, tuple[Any, ...], dict[str, Any]]:
        """A run, and what its workflow is to be called with."""
        args, kwargs = self._arguments, dict[str, Any]()
        run = Run(self._parts, self.workflow, self.lane, cursor, self._row.generation, self.place)
        self.run = run
        if args is None and self._stop is None:
            args, kwargs = self.workflow.shape.decode(self._parts.codec, payload)
        return run, args or (), kwargs

    async def _settle(self, run: Run, ended: Ended) -> Outcome | None:
        """What comes behind the workflow's own code."""
        await run.settle_down()
        try:
            if run.error is None:
                await run.cursor.finish()
        except ReplayDivergence as divergence:
            run.end(divergence)
        outcome = await (
            self._finished(run, ended) if run.error is None else self._stopped(run, run.error)
        )
        self._leave(run)
        return outcome

    def _leave(self, run: Run) -> None:
        self.run = None
        run.leave()

    def _cursor(self) -> ReplayCursor:
        parts = self._parts
        reader = ChainReader(
            parts.backend.journal,
            self._row,
            self.lane.envelope,
            parts.tracing,
            parts.config.replay_segment,
            complete=True,
        )
        return ReplayCursor(reader)

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


_Over = Callable[[Execution, Outcome | Coroutine[Any, Any, Outcome]], None]


async def _failed(error: BaseException) -> NoReturn:
    raise error
