"""What `engine.start` returns: a handle on one execution, wherever it runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from durable_core.ids import ExecutionId
from durable_core.model.execution import Status, status_of

if TYPE_CHECKING:
    from durable_core.engine.engine import DurableEngine

__all__ = ["ExecutionHandle"]

T_co = TypeVar("T_co", covariant=True)


class ExecutionHandle(Generic[T_co]):
    """Names one execution, and whatever continues it (`DurableContext.continue_as_new`).

    For any task of the engine's event loop, while the engine is open. `id` stays that of the one.
    """

    def __init__(self, engine: DurableEngine, execution_id: ExecutionId, key: str | None) -> None:
        self._engine = engine
        self.id = execution_id
        self.key = key

    async def status(self) -> Status:
        """The committed status, where it was continued that of the latest execution.

        `ExecutionNotFound` if the execution was pruned.
        """
        return status_of((await self._engine.latest(self.id)).status)

    async def result(self, timeout: float | None = None) -> T_co:  # noqa: ASYNC109 - public API
        """The workflow's result, waiting for it wherever the execution runs.

        Where it is continued, that of the last execution which continues it.

        `TimeoutError` after `timeout` seconds; the execution goes on. Otherwise raises what ended
        it: `ExecutionFailed`, `ExecutionCancelled`, `AmbiguousEffect` or `ReplayDivergence` (also
        at once while it is blocked), or the failure of the engine that ran it here:
        `ExecutionFenced`, `JournalUnavailable`, `IntegrityError`. If the owner has died and the
        workflow is registered here, the execution is claimed and goes on here.
        """
        if timeout is None:
            outcome = await self._engine.outcome(self.id)
        else:
            async with asyncio.timeout(timeout):
                outcome = await self._engine.outcome(self.id)
        return cast("T_co", outcome.take())

    async def cancel(self) -> None:
        """Ask for the execution to be cancelled; see `DurableEngine.cancel`."""
        await self._engine.cancel(self.id)

    def __repr__(self) -> str:
        return f"<ExecutionHandle {self.id} key={self.key!r}>"
