"""Executions that continue one another, as tests look at them."""

from __future__ import annotations

from durable_core import DurableEngine
from durable_core.model.execution import ExecutionRow

__all__ = ["as_begun"]


async def as_begun(engine: DurableEngine, name: str) -> list[ExecutionRow]:
    """Those of a workflow in the order in which they began: ids of one millisecond have none."""
    begun = {}
    for row in await engine.list(workflow=name, limit=2000):
        (seq,) = await engine.parts.backend.stored_seqs(row.execution_id, 0, 1)
        begun[seq] = row
    return [begun[seq] for seq in sorted(begun)]
