"""`python -m bench`: run the measurements, print their table, and write them as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench import acked_append, buffered_call, writer_throughput
from bench.figures import Figure, as_record, table
from bench.rounds import Plan

__all__ = ["MEASUREMENTS", "main"]

Measurement = Callable[[Plan], Awaitable[list[Figure]]]

MEASUREMENTS: Final[Mapping[str, Measurement]] = MappingProxyType(
    {
        "writer-throughput": writer_throughput.measure,
        "acked-append": acked_append.measure,
        "buffered-call": buffered_call.measure,
    },
)
"""Every measurement by the name that selects it, in the order of the table."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the arguments name, or everything; 0 unless a measurement was wrong."""
    options = _parser().parse_args(arguments)
    print(_machine())
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="durable-bench-") as folder:
        for name in options.names or MEASUREMENTS:
            print(f"{name} …", file=sys.stderr)
            figures += asyncio.run(MEASUREMENTS[name](Plan(Path(folder), options.quick)))
    print(table(figures))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--folder")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("names", nargs="*")
    return parser


def _machine() -> str:
    return "x"


if __name__ == "__main__":
    sys.exit(main())
