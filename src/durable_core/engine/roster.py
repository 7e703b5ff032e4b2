"""The workflows an engine knows, and the executions that it runs right now."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from typing import Any, Final

from durable_core.engine.definition import Workflow
from durable_core.engine.execution import Execution
from durable_core.engine.outcome import Outcome
from durable_core.engine.parts import EngineParts
from durable_core.errors import ConfigError, ExecutionError
from durable_core.ids import ExecutionId

__all__ = ["Roster", "as_workflow"]

_LOG: Final = logging.getLogger("durable_core.engine")
_KEPT_FAILURES: Final = 1000


def as_workflow(candidate: object) -> Workflow[..., Any]:
    """`candidate` itself where it is a workflow; `ConfigError` otherwise."""
    if isinstance(candidate, Workflow):
        return candidate
    message = (
        f"{getattr(candidate, '__qualname__', type(candidate).__name__)!r} is not a workflow; "
        "decorate an `async def` with @workflow"
    )
    raise ConfigError(message)


class Roster:
    """Starts, finds and stops executions. Used by the event loop's thread alone."""

    def __init__(self, workflows: Iterable[object]) -> None:
        self._workflows: dict[str, Workflow[..., Any]] = {}
        for workflow in workflows:
            self._register(workflow)
        self._pid = os.getpid()
        self._open = False
        self._slots: asyncio.Semaphore | None = None
        self._parts: EngineParts | None = None
        self._running: dict[ExecutionId, Execution] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: dict[ExecutionId, Outcome] = {}

    def open(self, limit: int | None, parts: EngineParts) -> None:
        """Accept executions; at most `limit` run at once, the others wait for a place."""
        self._open = True
        self._slots = None if limit is None else asyncio.Semaphore(limit)
        self._parts = parts

    def require_open(self) -> None:
        """`ExecutionError` after close, or in another process than the one that opened."""
        if os.getpid() != self._pid:
            message = "this engine was opened in another process; open one after the fork"
            raise ExecutionError(message)
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
    def names(self) -> frozenset[str]:
        """The names of all registered workflows."""
        return frozenset(self._workflows)

    @property
    def load(self) -> int:
        """How many executions run, or wait for a place, here."""
        return len(self._running)

    def running(self, execution_id: ExecutionId) -> Execution | None:
        """The execution, while it runs here."""
        return self._running.get(execution_id)

    def failure(self, execution_id: ExecutionId) -> Outcome | None:
        """The engine's own failure that ended the last run here, if one did."""
        return self._failures.get(execution_id)

    def launch(self, execution: Execution) -> Execution:
        """Run `execution` in a task of its own; `ExecutionError` once the engine is closing."""
        self.require_open()
        execution_id = execution.execution_id
        self._failures.pop(execution_id, None)
        self._running[execution_id] = execution
        task = asyncio.create_task(
            execution.main(self._slots),
            name=f"durable-execution-{execution_id}",
        )
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(execution, done))
        self._count()
        return execution

    async def close(self, seconds: float) -> None:
        """End every execution here without journaling, guarded functions under way excepted.

        They get `seconds` to finish and be journaled; then their intents are left open.
        """
        self._open = False
        closed = ExecutionError("the engine was closed; the execution goes on when one is opened")
        for execution in tuple(self._running.values()):
            execution.stop(closed)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            if late:
                _LOG.warning(
                    "%d guarded functions did not end within %g s; their intents stay open",
                    len(late),
                    seconds,
                )
                for execution in tuple(self._running.values()):
                    execution.cancel_effects()
                await asyncio.wait(late)

    def _register(self, workflow: object) -> None:
        workflow = as_workflow(workflow)
        known = self._workflows.setdefault(workflow.name, workflow)
        if known is not workflow:
            message = f"two workflows are named {workflow.name!r}; give one another name"
            raise ConfigError(message)

    def _ended(self, execution: Execution, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._running.pop(execution.execution_id, None)
        self._count()
        if not execution.done.cancelled() and execution.engine_failure:
            while len(self._failures) >= _KEPT_FAILURES:
                self._failures.pop(next(iter(self._failures)))
            self._failures[execution.execution_id] = execution.done.result()

    def _count(self) -> None:
        if self._parts is not None:
            self._parts.metrics.record("durable.engine.executions_running", len(self._running))
