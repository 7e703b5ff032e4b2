"""From a path to a connection on a journal of the current schema version, or to a clear refusal.

All of it runs on the connection's thread, where it may wait. Nothing is written before the
database is known to be empty or a journal of ours, and each migration is one transaction, so that
many first opens at once, or a crash at any point, leave an old version or a new one (EC-30).
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import quote

from attrs import frozen

from durable_core.clock import SystemClock
from durable_core.contracts import BackendSettings
from durable_core.errors import ConfigError, SchemaTooNew
from durable_core.failpoints import Failpoints
from durable_sqlite import _sql
from durable_sqlite._connection import connect, immediate, prepare_writer

__all__ = ["open_file", "open_memory"]

_OPEN_WAIT_S: Final = 10.0
"""How long an open waits for others that open, migrate or hold the database."""

_RETRY_S: Final = 0.01
_MAGIC: Final = b"SQLite format 3\0"
_WAL_FORMAT: Final = 2
_OLDEST_SQLITE: Final = (3, 37, 0)
"""STRICT tables; `RETURNING` and `UPDATE … FROM` are older."""


@frozen
class _Migration:
    number: int
    text: str

    def statements(self) -> Iterator[str]:
        """The statements one by one: `executescript` would commit before it begins."""
        pending = ""
        for line in self.text.splitlines(keepends=True):
            pending += line
            if sqlite3.complete_statement(pending):
                yield pending
                pending = ""


def open_memory(settings: BackendSettings, failpoints: Failpoints) -> sqlite3.Connection:
    """A journal that lives as long as the connection."""
    _check_library()
    connection = connect(":memory:", settings)
    _migrate(connection, failpoints)
    prepare_writer(connection, settings)
    return connection


def open_file(
    path: str,
    settings: BackendSettings,
    failpoints: Failpoints,
) -> sqlite3.Connection:
    """Create the file where there is none, check, migrate, and return the write connection.

    `ConfigError` for a path that cannot be one, or for a database that is not a journal of ours;
    `SchemaTooNew` for a journal of a newer version. Neither is changed in any way.
    """
    _check_library()
    _check_path(path)
    _look_at(path)
    connection = connect(path, settings)
    try:
        own_wait_ms = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        connection.execute(f"PRAGMA busy_timeout = {int(_OPEN_WAIT_S * 1000)}")
        if not _is_journal(connection, path):
            _adopt(connection, path)
        _switch_to_wal(connection)
        _migrate(connection, failpoints)
        connection.execute(f"PRAGMA busy_timeout = {own_wait_ms}")
        prepare_writer(connection, settings)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_library() -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        message = (
            f"SQLite {sqlite3.sqlite_version} is too old for a journal; "
            f"use a Python with SQLite {'.'.join(map(str, _OLDEST_SQLITE))} or newer"
        )
        raise ConfigError(message)


def _check_path(path: str) -> None:
    """The file exists afterwards with its folder, and both can be written."""
    folder = os.path.dirname(path)  # noqa: PTH120 - the path is resolved; text stays text
    if not Path(folder).is_dir():
        message = f"cannot use {path} as a journal: the folder {folder} does not exist; create it"
        raise ConfigError(message)
    try:
        # Before SQLite opens it, so that it is never readable for others; -wal and -shm inherit.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            message = f"cannot use {path} as a journal: it is not a file; give the path of a file"
            raise ConfigError(message) from None
    if not (os.access(path, os.R_OK | os.W_OK) and os.access(folder, os.W_OK | os.X_OK)):
        message = (
            f"cannot use {path} as a journal: it or its folder is read-only; make both writable"
        )
        raise ConfigError(message)


def _look_at(path: str) -> None:
    """Refuse a foreign file before a connection that could change it is opened.

    Our own files pass by the application id in their header, which is written before the file
    switches to WAL. A foreign database in WAL mode that nobody has open is read as immutable:
    an ordinary reader would leave a -wal and a -shm beside it.
    """
    with Path(path).open("rb") as file:
        header = file.read(72)
    if not header or header[68:72] == _sql.APPLICATION_ID.to_bytes(4, "big"):
        return
    if not header.startswith(_MAGIC):
        message = f"{path} is not a SQLite database; give the path of a journal, or of no file yet"
        raise ConfigError(message)
    idle = header[18] == _WAL_FORMAT and not Path(f"{path}-wal").exists()
    mode = "immutable=1" if idle else "mode=ro"
    reader = sqlite3.connect(f"file:{quote(path)}?{mode}", uri=True, timeout=_OPEN_WAIT_S)
    try:
        _is_journal(reader, path)
    finally:
        reader.close()


def _is_journal(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the database holds a journal; False where it is empty, an error for anything else."""
    tables, schema = connection.execute(_sql.COUNT_TABLES).fetchone()
    identity = connection.execute(_sql.GET_APPLICATION_ID).fetchone()[0]
    if schema or (not tables and identity in {0, _sql.APPLICATION_ID}):
        if schema:
            _check_version(connection, path)
        return bool(schema)
    message = (
        f"{path} is not a journal of ours, but the database of another application; "
        "the journal wants a database of its own"
    )
    raise ConfigError(message)


def _check_version(connection: sqlite3.Connection, path: str) -> None:
    try:
        stored = connection.execute(_sql.SELECT_VERSION).fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        message = f"{path} is not a journal of ours; the journal wants a database of its own"
        raise ConfigError(message) from error
    newest = len(_migrations())
    if stored > newest:
        message = (
            f"{path} has schema version {stored} and this durable-sqlite knows {newest}; "
            "upgrade durable-sqlite"
        )
        raise SchemaTooNew(message)


def _adopt(connection: sqlite3.Connection, path: str) -> None:
    """Mark an empty database as ours, still in rollback mode, so that its header says it."""
    connection.execute(_sql.INCREMENTAL_VACUUM)
    with immediate(connection, _sql.BEGIN_EXCLUSIVE):
        if not _is_journal(connection, path):
            connection.execute(_sql.SET_APPLICATION_ID)


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """WAL is a property of the file. The switch needs a moment without any other connection.

    SQLite does not wait for that moment by itself, so this tries again until the deadline.
    """
    deadline = time.monotonic() + _OPEN_WAIT_S
    while connection.execute(_sql.GET_JOURNAL_MODE).fetchone()[0] != "wal":
        try:
            connection.execute(_sql.SET_WAL).fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)


def _migrate(connection: sqlite3.Connection, failpoints: Failpoints) -> None:
    migrations = _migrations()
    if _version(connection) == len(migrations):
        return
    failpoints.reach("backend.migrate.before")
    for migration in migrations:
        with immediate(connection):
            if migration.number <= _version(connection):
                continue
            for statement in migration.statements():
                connection.execute(statement)
            now = SystemClock().now_ms()
            connection.execute(_sql.INSERT_VERSION, (migration.number, now))
            failpoints.reach("backend.migrate.inside")


def _version(connection: sqlite3.Connection) -> int:
    schema = connection.execute(_sql.COUNT_TABLES).fetchone()[1]
    return int(connection.execute(_sql.SELECT_VERSION).fetchone()[0]) if schema else 0


def _migrations() -> list[_Migration]:
    """The files `NNNN_name.sql` of this package, numbered from 1 without a gap."""
    folder = resources.files("durable_sqlite").joinpath("_migrations")
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return [
        _Migration(int(file.name[:4]), file.read_text(encoding="utf-8"))
        for file in files
        if file.name.endswith(".sql")
    ]
