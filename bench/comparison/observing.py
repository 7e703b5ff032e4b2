"""One column of the comparison: a side in every scenario, each in a folder of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.comparison.lives import Stage
from bench.comparison.page import Column
from bench.comparison.scenarios import SCENARIOS
from bench.comparison.sides import Side
from bench.peers import Unavailable

__all__ = ["column"]


async def column(side: Side, folder: Path) -> Column:
    """What was observed of the side; its files lie in `folder`."""
    try:
        ready = await side.ready(folder / "environment")
    except Unavailable as error:
        return Column(side.name, [f"not tried: {error}"] * len(SCENARIOS))
    cells = []
    for number, (name, scenario) in enumerate(SCENARIOS.items()):
        print(f"{ready.name}: {name} …", file=sys.stderr)
        cells.append(await scenario(Stage.fresh(ready, folder / str(number))))
    return Column(ready.name, cells)
