"""What workflows ask of their engine about other executions, which it runs or somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from attrs import define, field

from durable_core.engine.outcome import Outcome
from durable_core.ids import ExecutionId
from durable_core.model.execution import ExecutionRow

__all__ = ["Kin"]


@define
class Kin:
    """What a workflow asks of its engine for other executions; bound when the engine is made."""

    start: Callable[..., Awaitable[ExecutionId]] = field(init=False)
    outcome: Callable[[ExecutionId], Awaitable[Outcome]] = field(init=False)
    cancel: Callable[[ExecutionId], Awaitable[None]] = field(init=False)
    require: Callable[[str], object] = field(init=False)
    latest: Callable[[ExecutionId], Awaitable[ExecutionRow]] = field(init=False)
    sole: Callable[[ExecutionId], asyncio.Lock] = field(init=False)

    def bind(
        self,
        start: Callable[..., Awaitable[ExecutionId]],
        outcome: Callable[[ExecutionId], Awaitable[Outcome]],
        cancel: Callable[[ExecutionId], Awaitable[None]],
        require: Callable[[str], object],
        latest: Callable[[ExecutionId], Awaitable[ExecutionRow]],
        sole: Callable[[ExecutionId], asyncio.Lock],
    ) -> None:
        """Hand over what the engine does.

        Start, wait, cancel, know a workflow by its name, find what continues an execution, and keep
        others from taking one up.
        """
        self.start, self.outcome, self.cancel, self.require = start, outcome, cancel, require
        self.latest, self.sole = latest, sole
