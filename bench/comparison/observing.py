"""One column of the comparison: a side in every scenario, each in a folder of its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bench.comparison.lives import Stage
from bench.comparison.page import Column
from bench.comparison.scenarios import SCENARIOS, Scenario
from bench.comparison.sides import Side
from bench.peers import Unavailable

__all__ = ["column"]


async def column(side: Side, folder: Path) -> Column:
    """What was observed of the side; its files lie in `folder`."""
    environment = folder / "environment"
    try:
        await asyncio.to_thread(environment.mkdir, parents=True)
        ready = await side.ready(environment)
    except Unavailable as error:
        return Column(side.name, [f"not tried: {error}"] * len(SCENARIOS))
    cells = []
    for number, (name, scenario) in enumerate(SCENARIOS.items()):
        print(f"{ready.name}: {name} …", file=sys.stderr)
        cells.append(await _cell(ready, folder / str(number), scenario))
    return Column(ready.name, cells)


async def _cell(side: Side, folder: Path, scenario: Scenario) -> str:
    try:
        async with Stage.opened(side, folder) as stage:
            return await scenario(stage)
    except (AssertionError, Unavailable) as error:
        return f"not observed: {error}"
