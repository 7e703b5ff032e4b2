"""Other engines to measure beside ours, each in an environment and a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from attrs import frozen

__all__ = ["Peer", "Unavailable", "environment", "running"]

_INSTALL_S: Final = 120.0
_ANSWER_S: Final = 60.0
_PIP: Final = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")


class Unavailable(Exception):
    """A peer that cannot be installed, or does not start; the text says why."""


def environment(folder: Path, requirement: str) -> Path:
    """The interpreter of a new environment in `folder` that has `requirement`; `Unavailable`."""
    python = folder / "bin" / "python"
    try:
        for command in (
            (sys.executable, "-m", "venv", str(folder)),
            (str(python), *_PIP, requirement),
        ):
            subprocess.run(command, check=True, capture_output=True, timeout=_INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{requirement} could not be installed ({type(error).__name__})"
        raise Unavailable(message) from error
    return python


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
    """The program, from its first line on; it ends with its input."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        yield Peer(process, await _line_of(process))
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), _ANSWER_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _line_of(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(_ANSWER_S):
        line = await process.stdout.readline()
    if not line:
        message = "the program ended; what it said stands above"
        raise Unavailable(message)
    return line.decode().strip()
