"""`python -m bench.comparison`: run the scenarios on every engine, and write what was observed."""

from __future__ import annotations

import argparse
import asyncio
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.comparison.observing import column
from bench.comparison.page import Column, table, write
from bench.comparison.restate_side import RESTATE
from bench.comparison.scenarios import SCENARIOS
from bench.comparison.sides import DBOS, OURS, UNHINGED

__all__ = ["main"]

SIDES: Final = (OURS, DBOS, UNHINGED, RESTATE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Observe and print; 0 also where a peer could not be had: its column says so."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="durable-compare-") as folder:
        columns = asyncio.run(_observed(Path(folder)))
    text = f"{_occasion()}\n\n{table(SCENARIOS, columns)}"
    print(text)
    if options.page is not None:
        write(options.page, text)
    return 0


async def _observed(folder: Path) -> list[Column]:
    """One side after the other: each has the machine for itself."""
    return [await column(side, folder / side.name) for side in SIDES]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.comparison", description=__doc__)
    text = "also write the table between the markers of this page"
    parser.add_argument("--page", type=Path, metavar="FILE", help=text)
    return parser


def _occasion() -> str:
    return (
        f"Observed on {datetime.now(UTC):%Y-%m-%d}, {platform.system()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}."
    )


if __name__ == "__main__":
    sys.exit(main())
