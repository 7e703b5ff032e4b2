"""Other engines to measure beside ours, each in an environment and a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from attrs import frozen

__all__ = ["Peer", "Unavailable", "environment", "installed", "running"]

_INSTALL_S: Final = 300.0
_ANSWER_S: Final = 300.0
_END_S: Final = 60.0
_PIP: Final = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")


class Unavailable(Exception):
    """A peer that cannot be installed, does not start, or ended; the text says why."""


def environment(folder: Path, *requirements: str) -> Path:
    """The interpreter of an environment in `folder` that has `requirements`; `Unavailable`.

    One that is there already is used again.
    """
    python = folder / "bin" / "python"
    what = ", ".join(requirements)
    if not python.exists():
        installed(what, sys.executable, "-m", "venv", str(folder))
    installed(what, str(python), *_PIP, *requirements)
    return python


def installed(what: str, *command: str) -> None:
    """Run a command that installs `what`; `Unavailable` with the last line that it said."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or type(error).__name__
        message = f"{what} could not be installed ({said.strip().splitlines()[-1]})"
        raise Unavailable(message) from error


@frozen
class Peer:
    """A program that answers each line with a line; `first` is what it said of itself."""

    process: Process
    first: str

    async def ask(self, *words: object) -> str:
        """Its answer to a line of words; `Unavailable` where it ends instead."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{' '.join(map(str, words))}\n".encode())
        return await _line_of(self.process)


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[Peer]:
    """The program, from its first line on; it ends with its input, or is killed after a minute."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        yield Peer(process, await _line_of(process))
        assert process.stdin is not None
        process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _END_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _line_of(process: Process) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_ANSWER_S):
            line = await process.stdout.readline()
    except TimeoutError as error:
        message = f"the program did not answer within {_ANSWER_S:.0f} s"
        raise Unavailable(message) from error
    if not line:
        message = "the program ended; what it said stands above"
        raise Unavailable(message)
    return line.decode().strip()
