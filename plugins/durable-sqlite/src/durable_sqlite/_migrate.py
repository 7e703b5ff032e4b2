"""From a path to a connection on a journal of the current schema version, or to a clear refusal.

All of it runs on the connection's thread, where it may wait. Nothing is written before the
database is known to be empty or a journal of ours, and each migration is one transaction, so that
many first opens at once, or a crash at any point, leave an old version or a new one (EC-30).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from durable_core.clock import SystemClock
from durable_core.contracts import BackendSettings
from durable_core.errors import ConfigError
from durable_core.failpoints import Failpoints
from durable_core.storage import texts
from durable_core.storage.migrations import Migrations, foreign, is_journal, none_yet
from durable_core.storage.tables import SCHEMA
from durable_sqlite import _sql
from durable_sqlite._connection import connect, immediate, prepare_writer
from durable_sqlite._file import check_file

__all__ = ["open_file", "open_memory"]

_OPEN_WAIT_S: Final = 10.0
"""How long an open waits for others that open, migrate or hold the database."""

_RETRY_S: Final = 0.01
_OLDEST_SQLITE: Final = (3, 37, 0)
"""STRICT tables; `RETURNING` and `UPDATE … FROM` are older."""


def open_memory(settings: BackendSettings, failpoints: Failpoints) -> sqlite3.Connection:
    """A journal that lives as long as the connection."""
    _check_library()
    _refuse_none_yet("memory", settings)
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
    check_file(path, create=not settings.must_exist)
    _look_at(path)
    connection = connect(path, settings)
    try:
        own_wait_ms = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        connection.execute(f"PRAGMA busy_timeout = {int(_OPEN_WAIT_S * 1000)}")
        if not _is_journal(connection, path):
            _adopt(connection, path, settings)
        _switch_to_wal(connection)
        _migrate(connection, failpoints)
        connection.execute(f"PRAGMA busy_timeout = {own_wait_ms}")
        prepare_writer(connection, settings)
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_none_yet(path: str, settings: BackendSettings) -> None:
    if settings.must_exist:
        raise none_yet(path)


def _check_library() -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        message = (
            f"SQLite {sqlite3.sqlite_version} is too old for a journal; "
            f"use a Python with SQLite {'.'.join(map(str, _OLDEST_SQLITE))} or newer"
        )
        raise ConfigError(message)


def _look_at(path: str) -> None:
    """Refuse a foreign database whose last owner crashed before any connection that could write.

    The last one to close would move its -wal into its file. Without a -wal there is nothing that
    an ordinary connection could change by looking.
    """
    if Path(f"{path}-wal").exists():
        link = f"file:{quote(path)}?mode=ro"
        with closing(sqlite3.connect(link, uri=True, timeout=_OPEN_WAIT_S)) as reader:
            _is_journal(reader, path)


def _is_journal(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the database holds a journal; False where it is empty, an error for anything else."""
    tables = _tables(connection)
    identity = connection.execute(_sql.GET_APPLICATION_ID).fetchone()[0]
    if not tables and identity not in {0, _sql.APPLICATION_ID}:
        raise foreign(path)
    if not is_journal(path, tables, marked=identity == _sql.APPLICATION_ID):
        return False
    try:
        stored = connection.execute(texts.SELECT_VERSION).fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        raise foreign(path) from error
    # Looked at behind the version: a migration beside this one may have come between.
    _migrations().require_whole(path, _tables(connection), stored)
    return True


def _tables(connection: sqlite3.Connection) -> frozenset[str]:
    return frozenset(name for (name,) in connection.execute(_sql.SELECT_TABLES).fetchall())


def _adopt(connection: sqlite3.Connection, path: str, settings: BackendSettings) -> None:
    """Mark an empty database as ours, still in rollback mode, so that its header says it."""
    _refuse_none_yet(path, settings)
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
    if _version(connection) == _migrations().newest:
        return
    failpoints.reach("backend.migrate.before")
    for number, text in enumerate(_migrations().texts, 1):
        with immediate(connection):
            if number <= _version(connection):
                continue
            for statement in _statements(text):
                connection.execute(statement)
            now = SystemClock().now_ms()
            connection.execute(texts.INSERT_VERSION, (number, now))
            failpoints.reach("backend.migrate.inside")


def _statements(text: str) -> Iterator[str]:
    """The statements one by one: `executescript` would commit before it begins."""
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _version(connection: sqlite3.Connection) -> int:
    if SCHEMA not in _tables(connection):
        return 0
    return int(connection.execute(texts.SELECT_VERSION).fetchone()[0])


def _migrations() -> Migrations:
    return Migrations.of("durable_sqlite")
