"""Child processes of the kit: `child.py` on the database of a test, spoken to line by line."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import frozen

from durable_core.conformance.harness import BackendHarness
from durable_core.failpoints import VARIABLE

__all__ = ["Child", "started"]


@frozen
class Child:
    """A process that runs one job of `durable_core.conformance.child`."""

    process: subprocess.Popen[str]

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.process.returncode == -signal.SIGKILL

    async def line(self) -> str:
        """What it says next, without the end of the line; empty where it has ended."""
        assert self.process.stdout is not None
        return (await asyncio.to_thread(self.process.stdout.readline)).rstrip("\n")

    def go(self) -> None:
        """Say the word that it waits for."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    async def end(self) -> list[str]:
        """Wait until it has ended; every line that it said meanwhile. It must not complain."""
        out, err = await asyncio.to_thread(self.process.communicate)
        assert not err
        return out.splitlines()

    async def rest(self) -> str:
        """What a killed process had said and nobody has read yet."""
        assert self.process.stdout is not None
        return await asyncio.to_thread(self.process.stdout.read)

    def stop(self) -> None:
        """Stop it with SIGSTOP: it lives, and does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    async def kill(self) -> None:
        """Kill it with SIGKILL, and wait until it is gone."""
        self.process.kill()
        await asyncio.to_thread(self.process.wait)


@asynccontextmanager
async def started(
    harness: BackendHarness,
    job: str,
    *arguments: str,
    failpoint: str = "",
) -> AsyncIterator[Child]:
    """A child that does `job` on the database of the harness; killed, if it is left, on leaving."""
    place = f"{harness.backend.__module__}:{harness.backend.__qualname__}"
    command = (sys.executable, "-W", "error", "-m", "durable_core.conformance.child", job)
    process = subprocess.Popen(  # noqa: ASYNC220 - its pipes are read on threads, line by line
        (*command, place, harness.url, *arguments),
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
        | ({VARIABLE: failpoint} if failpoint else {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Child(process)
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        await asyncio.to_thread(process.wait)
