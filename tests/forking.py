"""A process that has imported everything, and forks others that need not. Not a test.

As a script, with a socket as its standard input: each message there is one process, a request in
JSON with descriptors. The first of them is a socket on which is told how that process fares: its
number when it begins, its exit status when it has ended. The next three are its standard streams,
and the rest what its environment names. See `tests/forked.py` for who asks.
"""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import signal
import socket
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from durable_cli.main import build
from durable_core import DurableEngine
from durable_core.errors import PluginNotFound
from durable_core.keysources import generate_key
from durable_core.registry import Registry

LONGEST_REQUEST: Final = 1 << 17
MOST_DESCRIPTORS: Final = 8


async def warm_up() -> None:
    """Import all that a process may import: plugins, backends, what commands need."""
    registry = Registry.discover()
    with suppress(PluginNotFound):
        registry.backend("postgres")
    async with DurableEngine.open("sqlite://:memory:", keys=generate_key(), registry=registry):
        pass


def next_request(requests: socket.socket) -> tuple[dict[str, Any], Sequence[int]] | None:
    """In the process that is to fulfil it; None where there will be no more."""
    while True:
        message, descriptors, *_ = socket.recv_fds(requests, LONGEST_REQUEST, MOST_DESCRIPTORS)
        if not message or not os.fork():
            requests.close()
            return (json.loads(message), descriptors) if message else None
        for descriptor in descriptors:
            os.close(descriptor)


def keep(pid: int, told: socket.socket) -> None:
    """Tell of a process until nobody listens; never returns.

    It stays in the process table until then: its number cannot have become another's.
    """
    with suppress(OSError):
        told.send(str(pid).encode())
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        if end is not None:
            status = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
            told.send(str(status).encode())
        told.recv(1)
    os._exit(0)


def become(request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """What `python COMMAND…` does, from here to its end."""
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    named = zip(request["named"], map(str, descriptors[3:]), strict=True)
    os.environ.clear()
    os.environ.update(request["environment"], **dict(named))
    os.chdir(request["folder"])
    if request["strict"]:
        warnings.simplefilter("error")
    command = request["command"]
    of_module = command[0] == "-m"
    sys.argv = command[of_module:]
    sys.path[0] = request["folder"] if of_module else str(Path(command[0]).parent)
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if of_module:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def main() -> None:
    """Serve, and return in each process that was asked for when it has done its work."""
    asyncio.run(warm_up())
    build()(["plugins"], standalone_mode=False)
    sys.stdout.flush()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that keep others end unseen
    asked = next_request(socket.socket(fileno=0))
    if asked is None:
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, (teller, *descriptors) = asked
    told = socket.socket(fileno=teller)
    pid = os.fork()
    if pid:
        os.closerange(0, 2)
        for descriptor in descriptors:
            os.close(descriptor)
        keep(pid, told)
    told.close()
    become(request, descriptors)


if __name__ == "__main__":
    main()
