"""Workflows in several versions: what a deployment that changes code looks like to the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from attrs import define, field

from durable_core import DurableContext, workflow
from durable_core.engine.definition import Workflow

__all__ = ["Body", "Stage", "version"]

Body = Callable[[DurableContext], Coroutine[Any, Any, Any]]


@define
class Stage:
    """Where a workflow of a test reports its calls, and waits for the test."""

    calls: list[str] = field(factory=list)
    reached: asyncio.Event = field(factory=asyncio.Event)
    gate: asyncio.Event = field(factory=asyncio.Event)

    async def pause(self) -> None:
        """Say that this point is reached, and wait until the test lets the workflow go on."""
        self.reached.set()
        await self.gate.wait()


def version(body: Body, name: str = "program") -> Workflow[..., Any]:
    """The workflow `name`, running `body(ctx)`; another version of it runs another body."""

    async def program(ctx: DurableContext) -> Any:
        return await body(ctx)

    return workflow(name=name)(program)
