"""The workflows an engine knows, and the executions that it runs right now."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import time
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from attrs import frozen

from durable_core.contracts.exchange import PromiseRow
from durable_core.engine.definition import ACTIVE, Workflow
from durable_core.engine.delivering import check
from durable_core.engine.execution import Execution
from durable_core.engine.outcome import Outcome, interrupted
from durable_core.engine.ownership import Ownership
from durable_core.engine.parts import EngineParts
from durable_core.engine.places import Place, Places
from durable_core.errors import ConfigError, DurableError, ExecutionError, JournalUnavailable
from durable_core.ids import ExecutionId
from durable_core.journal.settings import Health
from durable_core.model.execution import ExecutionRow, Status

__all__ = ["Roster", "as_workflow"]

T = TypeVar("T")

_LOG: Final = logging.getLogger("durable_core.engine")
_KEPT_FAILURES: Final = 1000
_LONGEST_REST_S: Final = 300.0
_MOST_COUNTED: Final = 10


def as_workflow(candidate: object) -> Workflow[..., Any]:
    """`candidate` itself where it is a workflow; `ConfigError` otherwise."""
    if isinstance(candidate, Workflow):
        return candidate
    message = (
        f"{getattr(candidate, '__qualname__', type(candidate).__name__)!r} is not a workflow; "
        "decorate an `async def` with @workflow"
    )
    raise ConfigError(message)


@frozen
class _Failure:
    """The engine's own failure that ended a run here, and the claim that it ran under."""

    outcome: Outcome
    epoch: int


class Roster:
    """Starts, finds and stops executions. Used by the event loop's thread alone."""

    def __init__(self, workflows: Iterable[object]) -> None:
        self._workflows: dict[str, Workflow[..., Any]] = {}
        for workflow in workflows:
            self._register(workflow)
        self._known: dict[str, Workflow[..., Any]] = {}
        self._pid = os.getpid()
        self._open = False
        self._places = Places(None, lambda: None)
        self._parts: EngineParts | None = None
        self._running: dict[ExecutionId, Execution] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._when_over = self._over
        """Bound once, not for each execution."""

        self._emptied: asyncio.Future[None] | None = None
        self._failures: dict[ExecutionId, _Failure] = {}
        self._setbacks: dict[ExecutionId, tuple[int, float]] = {}
        self._locks: WeakValueDictionary[ExecutionId, asyncio.Lock] = WeakValueDictionary()

    def open(self, limit: int | None, parts: EngineParts) -> None:
        """Accept executions; at most `limit` run at once, the others wait for a place."""
        self._open = True
        self._places = Places(limit, parts.notices.freed)
        self._parts = parts

    def require_open(self) -> None:
        """`ExecutionError` after close, or in another process than the one that opened."""
        if os.getpid() != self._pid:
            message = "this engine was opened in another process; open one after the fork"
            raise ExecutionError(message)
        self.require_not_closed()

    def require_not_closed(self) -> None:
        """`ExecutionError` after close; for who has asked `require_open` before."""
        if not self._open:
            message = "the engine is closed"
            raise ExecutionError(message)

    def find(self, name: str) -> Workflow[..., Any] | None:
        """The registered workflow of that name."""
        return self._workflows.get(name)

    def require(self, name: str) -> Workflow[..., Any]:
        """The registered workflow of that name; `ConfigError` if there is none."""
        workflow = self._workflows.get(name)
        if workflow is None:
            message = (
                f"workflow {name!r} is not registered here; pass it to "
                "DurableEngine.open(..., workflows=[...]), or nothing could resume it"
            )
            raise ConfigError(message)
        return workflow

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the registered workflows."""
        return tuple(self._workflows)

    def know(self, workflow: Workflow[..., Any]) -> None:
        """Remember what a workflow returns that others run for this engine."""
        self._known[workflow.name] = workflow

    def known(self, name: str) -> Workflow[..., Any] | None:
        """The workflow of that name, registered here or started from here."""
        return self._workflows.get(name) or self._known.get(name)

    def resting(self) -> list[bytes]:
        """The ids of those that have failed here so lately that they are left to others."""
        now = time.monotonic()
        return [each.bytes for each, (_, until) in self._setbacks.items() if until > now]

    @property
    def failed(self) -> list[bytes]:
        """The ids of executions whose run here was ended by the engine's own failure."""
        return [execution_id.bytes for execution_id in self._failures]

    @property
    def load(self) -> int:
        """How many executions are here."""
        return len(self._running)

    @property
    def active(self) -> int:
        """How many of them do something, or wait for a place: the others only wait."""
        return len(self._running) - self._places.parked

    def running(self, execution_id: ExecutionId) -> Execution | None:
        """The execution, while it runs here."""
        return self._running.get(execution_id)

    def check_resolution(self, promise: PromiseRow, payload: bytes) -> None:
        """`PayloadError` where the execution runs here and waits for another kind of value."""
        execution = self.running(ExecutionId(bytes=promise.execution_id))
        if execution is not None:
            check(execution.run, promise.promise_id, payload)

    def sole(self, execution_id: ExecutionId) -> asyncio.Lock:
        """The lock under which a task of this engine changes who runs an execution.

        It is held from the look at the stored row to the launch, so that of several tasks that
        want to claim, settle or resume it one does, and the others see what it has done.
        """
        return self._locks.setdefault(execution_id, asyncio.Lock())

    async def unbroken(self, work: Coroutine[Any, Any, T]) -> T:
        """Finish `work` although its caller is cancelled: what is claimed has to be launched."""
        task = asyncio.create_task(work, name="durable-change-of-owner")
        self._supervise(task)
        return await asyncio.shield(task)

    def busy(self, execution_id: ExecutionId) -> bool:
        """Whether the execution runs here, or a task of this engine is about to change that."""
        lock = self._locks.get(execution_id)
        return execution_id in self._running or (lock is not None and lock.locked())

    def has_failed(self, execution_id: ExecutionId) -> bool:
        """Whether `failure` may know something of the execution."""
        return execution_id in self._failures

    def failure(self, row: ExecutionRow) -> Outcome | None:
        """The engine's own failure that ended the run of `row` here, unless it may go on again.

        It may when somebody has claimed it since, or when what failed was the store and the store
        commits again.
        """
        failure = self._failures.get(ExecutionId(bytes=row.execution_id))
        if failure is None or row.status != Status.RUNNING.label or row.owner_epoch > failure.epoch:
            return None
        if isinstance(failure.outcome.error, JournalUnavailable) and self._is_healthy():
            return None
        return failure.outcome

    def launch(self, execution: Execution) -> Execution:
        """Run `execution` from the loop's next turn on; `ExecutionError` once the engine closes."""
        self.require_not_closed()
        execution_id = execution.execution_id
        if execution_id in self._running:
            message = f"execution {execution_id} runs here already"
            raise ExecutionError(message)
        self._failures.pop(execution_id, None)
        self._running[execution_id] = execution
        execution.place = Place(self._places)
        if execution.may_begin:
            asyncio.get_running_loop().call_soon(self._begin, execution)
        else:
            self._over(execution, execution.main())
        self._count()
        return execution

    async def close(self, seconds: float) -> None:
        """End every execution here without journaling, guarded functions under way excepted.

        They get `seconds` to finish and be journaled; then they are cancelled and their intents are
        left open. Those that do not end for as long again are left behind and reported.
        """
        self._open = False
        closed = ExecutionError("the engine was closed; the execution goes on when one is opened")
        for execution in tuple(self._running.values()):
            execution.stop(closed)
        late = await self._ended_within(seconds)
        if not late:
            return
        _LOG.warning(
            "%d executions did not end within %g s; intents of their guarded functions stay open",
            late,
            seconds,
        )
        for execution in tuple(self._running.values()):
            execution.abandon()
        late = await self._ended_within(seconds)
        if late:
            _LOG.error("%d executions swallow their cancellation and were left behind", late)

    async def _ended_within(self, seconds: float) -> int:
        """How many executions have not ended after that time."""
        waited: set[asyncio.Future[Any]] = {*self._tasks}
        if self._running:
            self._emptied = asyncio.get_running_loop().create_future()
            waited.add(self._emptied)
        if waited:
            await asyncio.wait(waited, timeout=seconds)
        return max(len(self._tasks), len(self._running))

    def _register(self, workflow: object) -> None:
        workflow = as_workflow(workflow)
        known = self._workflows.setdefault(workflow.name, workflow)
        if known is not workflow:
            message = f"two workflows are named {workflow.name!r}; give one another name"
            raise ConfigError(message)

    def _begin(self, execution: Execution) -> None:
        """Run it, in a task only where it waits for something else than its own steps."""
        if not execution.begin(self._when_over):
            self._over(execution, execution.main())

    def _over(self, execution: Execution, how: Outcome | Coroutine[Any, Any, Outcome]) -> None:
        """See `Execution.begin`."""
        if isinstance(how, Outcome):
            self._setbacks.pop(execution.execution_id, None)
            self._end(execution, how)
            self._leave(execution.place)
            return
        context = contextvars.copy_context()
        context.run(ACTIVE.set, None)  # the engine's own code is in no branch of the workflow
        name = f"durable-execution-{execution.execution_id}"
        self._supervise(
            asyncio.create_task(self._carry(execution, how), name=name, context=context)
        )

    async def _carry(self, execution: Execution, work: Coroutine[Any, Any, Outcome]) -> None:
        """Do what is left of it, and run what continues it, one after the other in one place."""
        place = execution.place
        try:
            successor = await self._carry_one(execution, work)
            while successor is not None:
                successor.place = place
                successor = await self._carry_one(successor, successor.main())
        finally:
            self._leave(place)

    async def _carry_one(
        self, execution: Execution, work: Coroutine[Any, Any, Outcome]
    ) -> Execution | None:
        outcome: Outcome | None = None
        try:
            outcome = await work
            if execution.recorded:
                self._setbacks.pop(execution.execution_id, None)
            else:
                await self._note_failure(execution, outcome)
        finally:
            successor = self._end(execution, interrupted() if outcome is None else outcome)
        return successor

    def _end(self, execution: Execution, outcome: Outcome) -> Execution | None:
        self._running.pop(execution.execution_id, None)
        successor = self._follow(execution)
        self._count()
        if self._emptied is not None and not self._running and not self._emptied.done():
            self._emptied.set_result(None)
        execution.end(outcome)
        return successor

    def _leave(self, place: Place) -> None:
        place.leave()
        if self._parts is not None:
            self._parts.notices.freed()

    def _follow(self, execution: Execution) -> Execution | None:
        """What continues it, and runs here from now on, unless the engine is closing."""
        successor = execution.successor
        if successor is None:
            return None
        if not self._open:
            if self._parts is not None:
                self._parts.journal.detach(successor.execution_id)
            return None
        self._running[successor.execution_id] = successor
        return successor

    async def _note_failure(self, execution: Execution, outcome: Outcome) -> None:
        """Keep what ended the run here, and let other engines try unless the store has failed."""
        epoch = execution.owner_epoch
        if not _is_of_the_store(outcome.error):
            self._note_setback(execution.execution_id)
        if self._parts is not None and self._open and not _is_of_the_store(outcome.error):
            try:
                epoch = await Ownership(self._parts).release(execution.execution_id, epoch)
            except DurableError as error:
                _LOG.warning(
                    "execution %s stays with this engine: %s", execution.execution_id, error
                )
        while len(self._failures) >= _KEPT_FAILURES:
            self._failures.pop(next(iter(self._failures)))
        self._failures[execution.execution_id] = _Failure(outcome, epoch)

    def _note_setback(self, execution_id: ExecutionId) -> None:
        count, _ = self._setbacks.pop(execution_id, (0, 0.0))
        while len(self._setbacks) >= _KEPT_FAILURES:
            self._setbacks.pop(next(iter(self._setbacks)))
        until = time.monotonic() + min(2.0**count, _LONGEST_REST_S)
        self._setbacks[execution_id] = (min(count + 1, _MOST_COUNTED), until)

    def _supervise(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # that of a change whose caller has gone is nobody's any more

    def _is_healthy(self) -> bool:
        return self._parts is not None and self._parts.journal.health().state is Health.HEALTHY

    def _count(self) -> None:
        if self._parts is not None:
            self._parts.metrics.record("durable.engine.executions_running", len(self._running))


def _is_of_the_store(error: Exception | None) -> bool:
    return isinstance(error, JournalUnavailable)
