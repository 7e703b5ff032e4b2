"""Child processes of `owning.py` and programs like it, seen from a test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from attrs import define

from durable_core import DurableEngine
from tests.forked import Process, begin
from tests.journals import MASTER, key_text
from tests.unit.engine.owning import LIFELINE

__all__ = ["Child", "child", "lives", "seen_gone"]

PROGRAM: Final = Path(__file__).with_name("owning.py")
LONGEST_S: Final = 120.0


@define
class Child:
    """A job in a process of its own."""

    _process: Process
    _input: int
    _output: asyncio.StreamReader

    async def says(self, word: str) -> str:
        """The rest of its next line that begins with `word`."""
        async with asyncio.timeout(LONGEST_S):
            while True:
                line = (await self._output.readline()).decode()
                assert line, f"the child ended before it said {word!r}"
                first, _, rest = line.rstrip("\n").partition(" ")
                if first == word:
                    return rest

    def hear(self, line: str = "go") -> None:
        """Send it a line, if it lives."""
        with suppress(BrokenPipeError):
            os.write(self._input, f"{line}\n".encode())

    def stop(self) -> None:
        """SIGSTOP: it lives, and does nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """SIGKILL; it is dead at return."""
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def end(self) -> None:
        """Kill it, and read to the end of what it and its children have open."""
        await self.kill()
        self._process.close()
        os.close(self._input)
        await self._output.read()


@asynccontextmanager
async def child(job: str, *arguments: object, program: Path = PROGRAM) -> AsyncIterator[Child]:
    """A running job, of another program where one is given; dead on leaving."""
    theirs, ours = os.pipe()
    input_read, input_write = os.pipe()
    output_read, output_write = os.pipe()
    try:
        process = await asyncio.to_thread(
            begin,
            [str(program), job, *map(str, arguments)],
            {**os.environ, "DURABLE_KEY": key_text((1, MASTER))},
            [input_read, output_write, sys.stderr.fileno()],
            named={LIFELINE: theirs},
            strict=True,
        )
    finally:
        for descriptor in (theirs, input_read, output_write):
            os.close(descriptor)
    output = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(output), os.fdopen(output_read, "rb", buffering=0)
    )
    running = Child(process, input_write, output)
    try:
        yield running
    finally:
        os.close(ours)
        await running.end()


async def seen_gone(engine: DurableEngine, owner_id: str) -> None:
    """Return when the store has seen that a killed owner is gone.

    A server takes a moment for it, and nobody tells of it.
    """
    while await engine.parts.backend.owner_alive(owner_id):  # noqa: ASYNC110 - as it says
        await asyncio.sleep(0)


def lives(pid: int) -> bool:
    """Whether a process that is not our child runs; one that is dead and not reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
