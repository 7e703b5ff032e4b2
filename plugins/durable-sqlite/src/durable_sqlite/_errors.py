"""Driver errors, translated at the edge into the errors of durable-core.

Messages hold the path and SQLite's name of the condition, never SQL, parameters or values (INV-5);
the driver's error is chained.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final

from attrs import frozen

from durable_core.errors import DurableError, TransientStoreError
from durable_core.storage.refusals import rejected, unusable, unusable_url

__all__ = ["JournalErrors", "opening_errors"]

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})

_REJECTED: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    OverflowError,
    UnicodeEncodeError,
)
"""What SQLite or its driver raises for values that can never be stored as they are."""

_REMEDIES: Final = {
    sqlite3.SQLITE_ERROR: "it is no whole journal, a table or column is not what this version "
    "made; restore it from a backup",
    sqlite3.SQLITE_FULL: "the disk is full; free disk space",
    sqlite3.SQLITE_IOERR: "reading or writing failed; check the disk, its free space and its mount",
    sqlite3.SQLITE_READONLY: "it is read-only; make the file, its folder and its mount writable",
    sqlite3.SQLITE_CORRUPT: "it is damaged; stop using it and restore a backup",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database; restore it, or give another path",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that the file and its folder still exist",
    sqlite3.SQLITE_PERM: "access was refused; check the permissions of the file and its folder",
    sqlite3.SQLITE_AUTH: "access was refused; check the permissions of the file and its folder",
}

_UNUSABLE: Final = frozenset(
    {
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
    },
)
"""What makes a file unusable as a journal from the start, so that the URL is the mistake."""


@frozen
class JournalErrors:
    """Translates what the driver raises inside, as the contract `Journal` says.

    One object serves every job of a connection: it stands on the way of each append.
    """

    address: str

    def __enter__(self) -> None:
        """Nothing is noted: an object can be entered any number of times at once."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, (sqlite3.Error, OverflowError, UnicodeEncodeError)):
            raise _translated(error, self.address) from error


@contextmanager
def opening_errors(address: str) -> Iterator[None]:
    """Like `JournalErrors`, with `ConfigError` for a file that cannot be used at all."""
    try:
        yield
    except sqlite3.Error as error:
        code = _primary_code(error)
        if code in _UNUSABLE:
            raise unusable_url(address, _REMEDIES[code]) from error
        raise _translated(error, address) from error
    except OSError as error:
        raise unusable_url(address, error.strerror or "the system refused") from error


def _primary_code(error: BaseException) -> int:
    """The low byte of SQLite's extended result code; 0 where the driver itself complains."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _translated(error: Exception, address: str) -> DurableError:
    code = _primary_code(error)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code in _BUSY:
        return TransientStoreError(f"another connection holds {address}; try again")
    if isinstance(error, _REJECTED) or code == sqlite3.SQLITE_TOOBIG or _is_binding(error):
        return rejected(address, name)
    return unusable(address, _REMEDIES.get(code, f"SQLite reports {name}; see the cause"))


def _is_binding(error: Exception) -> bool:
    """Whether the driver could not bind a value: the only other use is a closed connection."""
    return isinstance(error, sqlite3.ProgrammingError) and "closed" not in str(error)
