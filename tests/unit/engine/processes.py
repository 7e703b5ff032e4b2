"""Child processes of `owning.py` and programs like it, seen from a test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.journals import MASTER, key_text
from tests.unit.engine.owning import LIFELINE

__all__ = ["Child", "child", "lives"]

PROGRAM: Final = Path(__file__).with_name("owning.py")
LONGEST_S: Final = 30.0


class Child:
    """A job in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._input = process.stdin
        self._output = process.stdout

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
        """Send it a line."""
        self._input.write(f"{line}\n".encode())

    def stop(self) -> None:
        """SIGSTOP: it lives, and does nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """SIGKILL; it is dead at return."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def end(self) -> None:
        """Kill it, and read to the end of what it and its children have open."""
        await self.kill()
        self._input.close()
        await self._output.read()


@asynccontextmanager
async def child(job: str, *arguments: object, program: Path = PROGRAM) -> AsyncIterator[Child]:
    """A running job, of another program where one is given; dead on leaving."""
    theirs, ours = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", str(program), job, *map(str, arguments)),
            env={**os.environ, "DURABLE_KEY": key_text((1, MASTER)), LIFELINE: str(theirs)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(theirs,),
        )
    finally:
        os.close(theirs)
    running = Child(process)
    try:
        yield running
    finally:
        os.close(ours)
        await running.end()


def lives(pid: int) -> bool:
    """Whether a process that is not our child runs; one that is dead and not reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
