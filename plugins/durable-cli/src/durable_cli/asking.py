"""Whether a command changed an execution by itself, or asked the live owner to."""

from __future__ import annotations

from durable_core import DurableEngine
from durable_core.ids import ExecutionId
from durable_core.model.execution import ANYONE, NOBODY, ExecutionRow

__all__ = ["asked_owner", "row_behind"]


def asked_owner(before: ExecutionRow, after: ExecutionRow) -> bool:
    """Whether an owner kept the execution, which whoever changes it by himself claims first."""
    return before.owner_id == after.owner_id and before.owner_id not in {NOBODY, ANYONE}


async def row_behind(engine: DurableEngine, execution_id: ExecutionId) -> ExecutionRow:
    """The execution's row behind all that this engine has done."""
    (row,) = await engine.parts.backend.heads([execution_id.bytes])
    return row
