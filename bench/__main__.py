"""`python -m bench`: run the measurements, print their table, and write them as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bench import (
    acked_append,
    buffered_call,
    full_journal,
    guarded_latency,
    hot_updates,
    nonces,
    payload_limit,
    peer_rates,
    postgres_guarded,
    promises,
    resume,
    resume_memory,
    retention,
    steps,
    takeover,
    telemetry,
    timers,
    workers,
    writer_throughput,
)
from bench.figures import Figure, as_record, table
from bench.rounds import Plan

__all__ = ["MEASUREMENTS", "main"]

Measurement = Callable[[Plan], Coroutine[Any, Any, list[Figure]]]

MEASUREMENTS: Final[Mapping[str, Measurement]] = MappingProxyType(
    {
        "writer-throughput": writer_throughput.measure,
        "acked-append": acked_append.measure,
        "buffered-call": buffered_call.measure,
        "resume": resume.measure,
        "resume-memory": resume_memory.measure,
        "full-journal": full_journal.measure,
        "guarded-latency": guarded_latency.measure,
        "payload-limit": payload_limit.measure,
        "nonces": nonces.measure,
        "telemetry": telemetry.measure,
        "steps": steps.measure,
        "peer-rates": peer_rates.measure,
        "postgres-guarded": postgres_guarded.measure,
        "workers": workers.measure,
        "takeover": takeover.measure,
        "hot-updates": hot_updates.measure,
        "promises": promises.measure,
        "postgres-promises": promises.measure_on_postgres,
        "timers": timers.measure,
        "retention": retention.measure,
    },
)
"""Every measurement by the name that selects it, in the order of the table."""

_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the arguments name, or everything; 0 where every assertion held.

    A bar that is missed stands in the table and does not change the exit status: times are those
    of one machine in one hour.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    filesystem = _filesystem(options.folder)
    if filesystem in _IN_MEMORY:
        parser.error(f"{options.folder} is {filesystem}, where nothing is durable; give --folder")
    # Under load the engine tells of full queues, and a measured one is closed with work left.
    logging.getLogger("durable_core").addHandler(logging.NullHandler())
    machine = _machine(filesystem)
    print(f"{machine}\n")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="durable-bench-") as folder:
        for name in options.names or MEASUREMENTS:
            print(f"measuring {name} …", file=sys.stderr)
            figures += asyncio.run(MEASUREMENTS[name](Plan(Path(folder), options.quick)))
    print(table(figures))
    if options.json is not None:
        record = {"machine": machine, "figures": [as_record(figure) for figure in figures]}
        options.json.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer rounds")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="where the journals are written; must be on a disk (default: %(default)s)",
    )
    parser.add_argument(
        "names",
        nargs="*",
        choices=[*MEASUREMENTS, []],
        metavar="name",
        help=f"what to measure, everything by default: {', '.join(MEASUREMENTS)}",
    )
    return parser


def _machine(filesystem: str) -> str:
    """What the figures were taken on: the kind of machine, and the versions that matter."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.machine()}, {filesystem}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )


def _filesystem(folder: Path) -> str:
    """The type of the file system that holds `folder`, where the system tells."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return "unknown file system"
    place = folder.resolve()
    found: dict[Path, str] = {}
    for line in mounts.read_text().splitlines():
        _, point, kind, *_ = line.split()
        if place.is_relative_to(point):
            found[Path(point)] = kind
    return found[max(found, key=lambda point: len(point.parts))]


if __name__ == "__main__":
    sys.exit(main())
