"""`python -m bench`: run the measurements, print and write and draw the figures."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bench import (
    acked_append,
    buffered_call,
    busy_memory,
    commit_floor,
    curve_concurrency,
    curve_payload,
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
from bench.arguments import add_folder, file_to_write, one_of
from bench.curves import Curve, curve_record, curve_table
from bench.figures import Figure, as_record, table
from bench.machine import filesystem_of, machine_line
from bench.picture import drawn
from bench.rounds import Plan

__all__ = ["GROUPS", "MEASUREMENTS", "main"]

Measurement = Callable[[Plan], Coroutine[Any, Any, Sequence[Figure | Curve]]]

MEASUREMENTS: Final[Mapping[str, Measurement]] = MappingProxyType(
    {
        "writer-throughput": writer_throughput.measure,
        "acked-append": acked_append.measure,
        "buffered-call": buffered_call.measure,
        "resume": resume.measure,
        "resume-memory": resume_memory.measure,
        "full-journal": full_journal.measure,
        "guarded-latency": guarded_latency.measure,
        "commit-floor": commit_floor.measure,
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
        "curve-concurrency": curve_concurrency.measure,
        "curve-payload": curve_payload.measure,
        "busy-memory": busy_memory.measure,
    },
)
"""Every measurement by the name that selects it, in the order of the table."""

GROUPS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "curve-journal": ("full-journal",),
        "curve-workers": ("workers",),
        "curve-memory": ("resume-memory", "busy-memory"),
        "curves": (
            *("full-journal", "workers", "resume-memory"),
            *("curve-concurrency", "curve-payload", "busy-memory"),
        ),
    }
)
"""More names: a curve may come with the figures of a measurement that shares its rounds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the arguments name, or everything; 0 where every assertion held.

    A bar that is missed stands in the table and does not change the exit status: times are those
    of one machine in one hour.
    """
    options = _parser().parse_args(arguments)
    # Under load the engine tells of full queues, and a measured one is closed with work left.
    logging.getLogger("durable_core").addHandler(logging.NullHandler())
    machine = machine_line(filesystem_of(options.folder))
    print(f"{machine}\n")
    measured: list[Figure | Curve] = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="durable-bench-") as place:
        for name in _selected(options.names):
            print(f"measuring {name} …", file=sys.stderr)
            measured += asyncio.run(MEASUREMENTS[name](Plan(Path(place), options.quick)))
            # Each time, so that of a run that is cut short all is there that was measured.
            _write(options, machine, measured)
    figures, curves = _apart(measured)
    print("\n\n".join([*([table(figures)] if figures else []), *map(curve_table, curves)]))
    return 0


def _write(options: argparse.Namespace, machine: str, measured: Sequence[Figure | Curve]) -> None:
    """The files that the options ask for."""
    figures, curves = _apart(measured)
    record = {
        "machine": machine,
        "quick": options.quick,
        "figures": [as_record(figure) for figure in figures],
        "curves": [curve_record(curve) for curve in curves],
    }
    if options.json is not None:
        options.json.write_text(_pretty(record), encoding="utf-8")
    if options.svg is not None:
        options.svg.write_text(drawn(record), encoding="utf-8")


def _apart(measured: Sequence[Figure | Curve]) -> tuple[list[Figure], list[Curve]]:
    figures = [each for each in measured if isinstance(each, Figure)]
    return figures, [each for each in measured if isinstance(each, Curve)]


def _pretty(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def _selected(names: Sequence[str]) -> Iterable[str]:
    """The measurements of the names, each once, or all of them."""
    wanted = [each for name in names for each in GROUPS.get(name, (name,))]
    return dict.fromkeys(wanted or MEASUREMENTS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--json", type=file_to_write, metavar="FILE", help="also write the figures there"
    )
    parser.add_argument(
        "--svg", type=file_to_write, metavar="FILE", help="also draw a picture of them"
    )
    parser.add_argument("--quick", action="store_true", help="smaller and fewer rounds")
    add_folder(parser)
    parser.add_argument(
        "names",
        nargs="*",
        type=one_of([*MEASUREMENTS, *GROUPS]),
        metavar="name",
        help=f"what to measure, everything by default: {', '.join([*MEASUREMENTS, *GROUPS])}",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
