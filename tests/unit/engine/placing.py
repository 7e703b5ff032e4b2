"""A step that says where it stands, and the entries of the steps of an execution."""

from __future__ import annotations

from typing import Any

from durable_core import DurableEngine, current_step, step

__all__ = ["place", "rows_of"]


@step(name="place")
async def place(name: str) -> str:
    """Where it stands, for whoever asks."""
    return f"{name} at {current_step().step_id}"


async def rows_of(engine: DurableEngine, execution_id: Any) -> list[Any]:
    rows = await engine.parts.backend.journal.read_execution(execution_id.bytes)
    return [row for row in rows if row.step_id]
