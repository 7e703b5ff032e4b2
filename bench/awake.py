"""Keeps the cores from going to sleep, to see what it costs to wake them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench.rounds import Sample

__all__ = ["awake", "kept_awake"]

_SPIN: Final = """
import os
if hasattr(os, "SCHED_IDLE"):
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
else:
    os.nice(19)
print("spinning", flush=True)
while True:
    pass
"""


@contextmanager
def awake() -> Iterator[None]:
    """While inside, as many processes spin as there are cores; they make way for all others.

    A core without work goes to sleep otherwise, and takes its time to wake when one thread hands
    something to another.
    """
    with ExitStack() as stack:
        spinning = [stack.enter_context(_spinning()) for _ in range(os.cpu_count() or 1)]
        for process in spinning:
            assert process.stdout is not None
            assert process.stdout.readline() == b"spinning\n", "a core cannot be kept awake"
        yield


def kept_awake(sample: Sample) -> Sample:
    """Takes that sample while no core sleeps."""

    async def taken() -> float:
        with awake():
            return await sample()

    return taken


@contextmanager
def _spinning() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", _SPIN], stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()
