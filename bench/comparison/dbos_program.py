"""DBOS on SQLite: `python -m bench.comparison.dbos_program REQUEST`, where `dbos` is installed.

`async def` workflows and steps with everything as it comes; the id of the workflow is given, so
that a second life finds it. What the first one was running, DBOS recovers when it is launched: a
process with the executor id of one that is gone takes over what that had.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.comparison.flows import BRANCHES, FLOWS, STEPS, World, branch, told

__all__ = ["live"]

_ID = "order-1"


@dataclass(frozen=True)
class _Calls:
    dbos: Any
    steps: Mapping[str, Callable[..., Awaitable[str]]]
    line: Callable[[str], Awaitable[list[str]]]

    def call(self, step: str, *arguments: str) -> Awaitable[str]:
        """A decorated function, called."""
        return self.steps[step](*arguments)

    def key(self) -> str:
        """The id of the workflow."""
        return str(self.dbos.workflow_id)

    async def branches(self) -> list[list[str]]:
        """Child workflows, as the docs say for sequences of steps."""
        begun = [await self.dbos.start_workflow_async(self.line, who) for who in BRANCHES]
        return [await child.get_result() for child in begun]


def _step(dbos: Any, world: World, name: str) -> Any:  # noqa: ANN401 - a class of the peer
    async def called(*arguments: str) -> str:
        result: str = await getattr(world, name)(*arguments)
        return result

    return dbos.step(name=name)(called)


def _calls(dbos: Any, world: World) -> _Calls:  # noqa: ANN401 - a class of the peer
    steps = {name: _step(dbos, world, name) for name in STEPS}

    async def line(who: str) -> list[str]:
        return await branch(calls, world, who)

    calls = _Calls(dbos, steps, dbos.workflow(name="line")(line))
    return calls


async def live(world: World) -> str:
    """One life: the result of its workflow."""
    package = importlib.import_module("dbos")
    dbos = package.DBOS
    dbos(
        config={
            "name": "comparison",
            "system_database_url": f"sqlite:///{world.store / 'dbos.sqlite'}",
            "log_level": "ERROR",
        },
    )
    calls = _calls(dbos, world)

    async def flow(name: str, _text: str) -> str:
        return await FLOWS[name](calls, world)

    workflow = dbos.workflow(name="flow")(flow)
    dbos.launch()
    try:
        with package.SetWorkflowID(_ID):
            handle = await dbos.start_workflow_async(workflow, world.flow, world.text)
        return str(await handle.get_result())
    finally:
        dbos.destroy()


if __name__ == "__main__":
    here = World.of(sys.argv[1])
    asyncio.run(told(here, live(here)))
