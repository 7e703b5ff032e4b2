"""Processes that begin within milliseconds: forked from one that has imported everything.

Most of what a child process of a test costs is what it imports. One that is forked behind all that
runs its script or module from the first line on, with streams, environment, folder and number of
its own; it can be stopped and killed, and leaves what another one leaves. What is about beginning
itself (first imports, closed streams, settings of Python) begins as `python` does.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import define, frozen

__all__ = ["Process", "begin", "run"]

PROGRAM: Final = Path(__file__).with_name("forking.py")
LONGEST_S: Final = 250.0


@frozen
class _Server:
    """Takes requests on a socket. Nobody waits for it."""

    requests: socket.socket
    process: subprocess.Popen[bytes]


@define
class Process:
    """One process. It can be signalled until `close`, also when it has ended."""

    pid: int
    _telling: socket.socket
    _status: int | None = None

    def send_signal(self, number: int) -> None:
        """A signal that it may handle, or not."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status when it has ended; negative: the signal that ended it."""
        if self._status is None:
            self._status = int(_told(self._telling))
        return self._status

    def close(self) -> None:
        """Nobody asks for it any more; its number may become another's."""
        self._telling.close()


def begin(
    command: Sequence[str],
    environment: Mapping[str, str],
    streams: Sequence[int],
    *,
    folder: Path | None = None,
    named: Mapping[str, int] | None = None,
    strict: bool = False,
) -> Process:
    """Run `python COMMAND…`, a script or `-m` and a module, in a folder, or in the current one.

    `streams` are its standard input, output and error. For each one of `named` it has a descriptor
    of its own, whose number stands under that name in its environment. `strict` is `-W error`.
    """
    named = named or {}
    request = {
        "command": list(command),
        "environment": dict(environment),
        "folder": str(folder or Path.cwd()),
        "named": list(named),
        "strict": strict,
    }
    telling, teller = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    telling.settimeout(LONGEST_S)
    with teller:
        descriptors = [teller.fileno(), *streams, *named.values()]
        socket.send_fds(_server().requests, [json.dumps(request).encode()], descriptors)
    try:
        return Process(int(_told(telling)), telling)
    except BaseException:
        telling.close()
        raise


def run(
    command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The same, waited for, with what it said, and nothing to read."""
    with (
        open(os.devnull, "rb") as nothing,  # noqa: PTH123 - a stream, not a file
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        streams = [each.fileno() for each in (nothing, out, err)]
        with _closing(begin(command, environment, streams, folder=folder)) as process:
            status = process.wait()
        for said in (out, err):
            said.seek(0)
        return subprocess.CompletedProcess(list(command), status, out.read(), err.read())


@contextmanager
def _closing(process: Process) -> Iterator[Process]:
    """Dead on leaving."""
    try:
        yield process
    finally:
        process.kill()
        process.close()


def _told(telling: socket.socket) -> bytes:
    told = telling.recv(64)
    if not told:
        message = f"{PROGRAM.name} has ended, and tells no more of its processes"
        raise RuntimeError(message)
    return told


@functools.cache
def _server() -> _Server:
    """The serving process of this one; it ends with it."""
    requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    clean = {name: text for name, text in os.environ.items() if not name.startswith("DURABLE_")}
    command = [sys.executable, str(PROGRAM)]
    with theirs:
        process = subprocess.Popen(
            command, env=clean, stdin=theirs.fileno(), stdout=subprocess.DEVNULL
        )
    return _Server(requests, process)
