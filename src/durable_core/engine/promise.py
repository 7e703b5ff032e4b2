"""Promises as a workflow makes them, and what a run knows of each (EC-35, EC-36).

A promise is resolved from outside. Whoever does so files a request; the owner journals it, and then
wakes whoever waits. What was journaled first counts: the resolution, or that the wait was over.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import define, field, frozen

from durable_core.engine.arguments import checked_text
from durable_core.engine.outcome import Failure, read_finished
from durable_core.engine.perform import called_or, look_up
from durable_core.engine.replaying import NOT_AT_HAND, closed_at_hand
from durable_core.errors import ExecutionLocked, PayloadError, StepFailed
from durable_core.ids import NO_STEP, PromiseId, StepId
from durable_core.model.entries import PromiseCreated, PromiseResolved
from durable_core.replay.lookup import Recorded
from durable_core.replay.waits import WantedPromise
from durable_core.wire.promises import promise_id, promise_token, require_key
from durable_core.wire.waits import CreatedPromise, resolved_detail

if TYPE_CHECKING:
    from durable_core.engine.run import Run

__all__ = ["Cell", "DurablePromise", "make_promise"]

T_co = TypeVar("T_co", covariant=True)


@frozen
class DurablePromise(Generic[T_co]):
    """What `ctx.promise` returns: to be handed out, and to be waited for by `ctx.await_promise`."""

    id: PromiseId
    """Names the promise; no capability: resolving needs the token too."""

    name: str
    token: bytes = field(repr=False)
    """32 bytes. Whoever has them may resolve the promise, once. Hand them to nobody else."""


@define(eq=False)
class Cell:
    """What this run knows of one promise that it made."""

    promise_id: bytes
    name: str
    kind: Any
    """The annotation that a value has to fit."""

    once: bool = False
    """Whether it is a signal: told once, and journaled before anybody said which type it has."""

    again: bool = False
    """Whether the program was told its outcome, and had let it go, when it asked for it again."""

    entry_no: int | None = None
    """Where its resolution stands in the journal, or will: it is on its way from then on."""

    detail: bytes | None = None
    payload: bytes | None = field(default=None, repr=False)
    """What its resolution says, once that is on its way."""

    handle: weakref.ref[DurablePromise[Any]] | None = field(init=False, default=None)
    """What the program was given."""

    waits: int = field(init=False, default=0)
    """How many wait for it, or are about to."""

    was_told: bool = field(init=False, default=False)
    """Whether the program has its outcome."""

    _is_resolved: bool = field(init=False, default=False)
    _resolved: asyncio.Future[None] | None = field(init=False, default=None)

    @property
    def resolved(self) -> asyncio.Future[None]:
        """Done when its resolution is durable; made when somebody waits for that."""
        if self._resolved is None:
            self._resolved = asyncio.get_running_loop().create_future()
            if self._is_resolved:
                self._resolved.set_result(None)
        return self._resolved

    def check(self, run: Run, payload: bytes) -> None:
        """`PayloadError` for a value that cannot be what the program waits for."""
        with suppress(StepFailed):
            self._decoded(run, payload)

    def read(self, run: Run, payload: bytes) -> object:
        """The value of a resolution; raises `StepFailed` for a rejection."""
        try:
            return self._decoded(run, payload)
        except PayloadError as error:
            if not self.once:
                raise
            raise StepFailed(self.name, type(error).__name__, str(error)) from error

    def told(self, run: Run) -> None:
        """The program has it: of a signal nothing has to be kept."""
        self.was_told = True
        if self.once:
            run.parts.failpoints.reach("engine.signal.received")
            run.cells.forget(self)
        else:
            run.cells.told(self)

    def take(self, entry_no: int, detail: bytes | None, payload: bytes) -> None:
        """It was resolved, as the journal holds it."""
        if not self._is_resolved:
            self.entry_no, self.detail, self.payload = entry_no, detail, payload
            self._tell()

    async def resolve(self, run: Run, payload: bytes, detail: bytes | None = None) -> None:
        """Journal how it was resolved, and wake whoever waits; durable at return.

        Raises what `hand_over` and the append do.
        """
        await asyncio.shield(await self.hand_over(run, payload, detail))

    async def hand_over(
        self, run: Run, payload: bytes, detail: bytes | None = None
    ) -> asyncio.Future[int]:
        """Queue the entry of its resolution once there is room; the future is that of its commit.

        Where that fails the run ends. Where this raises nothing was queued, and the run goes on:
        `JournalUnavailable` if the store takes nothing, `ExecutionLocked` where the run ended
        before there was room: another one may have begun, and has to take it itself.
        """
        writer = run.parts.writer
        if not writer.has_room:
            await writer.room()
            if run.ended:
                message = f"the run of execution {run.execution_id} ended before it could take it"
                raise ExecutionLocked(message)
        detail = detail or resolved_detail(self.promise_id)
        entry = PromiseResolved(run.execution_id, run.generation, NO_STEP, detail, payload)
        self.entry_no, committed = run.submit(entry)
        self.detail, self.payload = detail, payload
        committed.add_done_callback(lambda done: self._settle(run, done))
        return committed

    def _decoded(self, run: Run, payload: bytes) -> object:
        outcome = read_finished(payload)
        if isinstance(outcome, Failure):
            raise StepFailed(self.name, outcome.error_type, outcome.message)
        return run.parts.codec.decode(outcome, self.kind)

    def _tell(self) -> None:
        self._is_resolved = True
        if self._resolved is not None:
            self._resolved.set_result(None)

    def _settle(self, run: Run, committed: asyncio.Future[int]) -> None:
        """Also where whoever brought the resolution does not wait for its commit any more."""
        error = asyncio.CancelledError() if committed.cancelled() else committed.exception()
        if error is None:
            self._tell()
        elif isinstance(error, Exception):
            run.end(error)  # of what was handed to the writer nothing is withdrawn


def make_promise(run: Run, kind: object, name: object) -> Coroutine[Any, Any, Any]:
    """Take a place now; the coroutine makes the promise durable and returns it."""
    name = checked_text(name, "a promise's name")
    keys = run.lane.envelope.keys
    execution = run.lane.row.execution_id
    require_key(keys)  # before a place is taken
    step_id, branch = run.take_place(f"promise {name!r}")
    made = promise_id(execution, branch.path, name, branch.next_promise(name))
    created = CreatedPromise(made.bytes, name)
    wanted = WantedPromise.make(step_id, f"promise {name!r}", created)
    this = wanted, made, name, kind
    return called_or(run, step_id, lambda: _at_hand(run, *this), _make, *this)


def _at_hand(run: Run, wanted: WantedPromise, made: PromiseId, name: str, kind: object) -> object:
    closed = closed_at_hand(run, wanted)
    return NOT_AT_HAND if closed is None else _hand_out(run, made, name, kind)


async def _make(
    run: Run, wanted: WantedPromise, made: PromiseId, name: str, kind: object
) -> DurablePromise[Any]:
    found, cancelled = await look_up(run, wanted)
    if not isinstance(found, Recorded):
        entry = PromiseCreated(
            run.execution_id, run.generation, StepId(wanted.step_id), wanted.created.detail()
        )
        run.parts.failpoints.reach("engine.promise.creating")
        # With all that was issued before: a token leaves the execution (INV-20).
        cancelled |= await run.room()
        place, committed = run.submit(entry)
        cancelled |= await run.activity.outlast_commit(run.lane, committed)
        run.parts.failpoints.reach("engine.promise.created")
        cancelled |= await run.told(place)
    if cancelled:
        # It is made: the cancellation reaches what the workflow does next, as behind a step.
        run.activity.outlasted(asyncio.current_task())
    return _hand_out(run, made, name, kind)


def _hand_out(run: Run, made: PromiseId, name: str, kind: object) -> DurablePromise[Any]:
    """The handle of a promise that is in the journal."""
    cell = Cell(made.bytes, name, kind)
    run.cells.add(cell)
    token = promise_token(run.lane.envelope.keys, run.lane.row.execution_id, cell.promise_id)
    handle: DurablePromise[Any] = DurablePromise(made, name, token)
    run.cells.hand_out(cell, handle)
    return handle
