"""A Restate server of a run: from npm, on loopback, with its data in a folder of the run."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import shutil
import signal
import socket
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from bench.peers import Unavailable, installed

__all__ = ["RestateServer", "restate_binary", "restate_server"]

VERSION: Final = "1.7.12"

_START_S: Final = 120.0
_ANSWER_S: Final = 30.0
_POLL_S: Final = 0.05
_CONFIG: Final = """
listen-mode = "tcp"
bind-address = "127.0.0.1:{}"
disable-telemetry = true
log-disable-ansi-codes = true

[ingress]
bind-address = "127.0.0.1:{}"

[admin]
bind-address = "127.0.0.1:{}"
"""
"""Where it listens, and that it tells nobody of itself; everything else as it comes."""
_SYNCING: Final = re.compile(r"\[log-server\][^\[]*?rocksdb-disable-wal-fsync = (\w+)")


def restate_binary(folder: Path) -> Path:
    """The server's program, installed by npm into `folder`; `Unavailable`."""
    npm = shutil.which("npm")
    if npm is None:
        message = "the Restate server could not be installed (npm is not there)"
        raise Unavailable(message)
    folder.mkdir(exist_ok=True)
    package = f"@restatedev/restate-server@{VERSION}"
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts")
    installed(package, npm, "install", *quiet, "--prefix", str(folder), package)
    found = list(folder.glob("node_modules/@restatedev/restate-server-*/bin/restate-server"))
    if not found:
        message = f"{package} has no program for this machine"
        raise Unavailable(message)
    return found[0]


@frozen
class RestateServer:
    """A server that is healthy. `ingress` and `admin` are the URLs of its two interfaces."""

    ingress: str
    admin: str
    _process: Process
    _log: Path

    async def version(self) -> str:
        """What the running server says."""
        _, said = await asyncio.to_thread(_answer, "GET", f"{self.admin}/version")
        return str(json.loads(said)["version"])

    async def register(self, deployment: str) -> None:
        """Make the services that are served at the URL `deployment` callable; `Unavailable`."""
        body = json.dumps({"uri": deployment})
        status, said = await asyncio.to_thread(_answer, "POST", f"{self.admin}/deployments", body)
        if status not in (200, 201):
            message = f"Restate did not register the deployment ({status}: {said})"
            raise Unavailable(message)

    async def durability(self) -> str:
        """What the configuration of the running server says of its log; `Unavailable`.

        The server prints its configuration when it gets SIGUSR1.
        """
        self._process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + _ANSWER_S
        while time.monotonic() < deadline:
            if found := _SYNCING.search(self._log.read_text()):
                return f"log-server.rocksdb-disable-wal-fsync {found[1]}"
            await asyncio.sleep(_POLL_S)
        message = "the Restate server did not print its configuration"
        raise Unavailable(message)


@asynccontextmanager
async def restate_server(
    binary: Path, folder: Path, settings: str = ""
) -> AsyncIterator[RestateServer]:
    """A server of one node with new data in `folder`, once it is healthy; `Unavailable`.

    `settings` are further tables of its configuration. It is killed on leaving.
    """
    node, ingress, admin = _free_ports(3)
    config, log = folder / "restate.toml", folder / "restate.log"
    config.write_text(_CONFIG.format(node, ingress, admin) + settings)
    command = (str(binary), "--no-logo", "--config-file", str(config), "--base-dir", str(folder))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    server = RestateServer(f"http://127.0.0.1:{ingress}", f"http://127.0.0.1:{admin}", process, log)
    try:
        urls = (f"{server.admin}/health", f"{server.ingress}/restate/health")
        if not await _healthy(process, urls):
            *_, said = log.read_text().splitlines() or [f"status {process.returncode}"]
            message = f"the Restate server ended, or was not healthy in time ({said})"
            raise Unavailable(message)
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _healthy(process: Process, urls: Sequence[str]) -> bool:
    """Wait until all of them answer; whether they do while the process runs, and in time."""
    deadline = time.monotonic() + _START_S
    for url in urls:
        while (await asyncio.to_thread(_status, url)) != http.client.OK:
            if process.returncode is not None or time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_S)
    return True


def _status(url: str) -> int:
    """The status of a GET; 0 where nobody listens yet."""
    try:
        status, _ = _answer("GET", url)
    except OSError:
        return 0
    return status


def _answer(method: str, url: str, body: str | None = None) -> tuple[int, str]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_ANSWER_S)
    try:
        connection.request(method, parts.path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listened on a moment ago; all different."""
    with ExitStack() as stack:
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        for one in sockets:
            stack.enter_context(one)
        return [one.getsockname()[1] for one in sockets]
