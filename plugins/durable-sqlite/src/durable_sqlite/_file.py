"""The journal's file beside SQLite: made with mode 0600 or refused, and looked for while open."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from durable_core.errors import ConfigError, JournalUnavailable
from durable_core.ids import RandomIds

__all__ = ["OpenedFile", "check_file"]

_SMALLEST: Final = 512
"""No database is smaller; SQLite would take a file of one byte for an empty one."""


def check_file(path: str, *, create: bool) -> None:
    """The file exists afterwards with its folder, and both can be written; `ConfigError` if not.

    Where `create` is false, a file that is missing or empty is refused. The file is never opened
    here: the system drops all of this process's locks on a file when any descriptor of it is
    closed, and with them those of other backends on this journal
    (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    if not create:
        _check_exists(path)
    folder = Path(path).parent
    if not folder.is_dir():
        message = f"cannot use {path} as a journal: the folder {folder} does not exist; create it"
        raise ConfigError(message)
    if not Path(path).exists():
        _create(path)
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode) or 0 < status.st_size < _SMALLEST:
        message = (
            f"cannot use {path} as a journal: it is not a file of SQLite; "
            "give the path of a journal, or of no file yet"
        )
        raise ConfigError(message)
    if not (os.access(path, os.R_OK | os.W_OK) and os.access(folder, os.W_OK | os.X_OK)):
        message = (
            f"cannot use {path} as a journal: it or its folder is read-only; make both writable"
        )
        raise ConfigError(message)


@frozen
class OpenedFile:
    """The file that was opened, to tell it from what lies at its path later.

    SQLite would go on writing to a file that was removed, and acknowledge what nobody will ever
    read. While it is open here, the system gives its number to no other file.
    """

    path: str | None
    _opened: os.stat_result | None

    @classmethod
    def at(cls, path: str | None) -> OpenedFile:
        """The file that lies at `path` now; None is a database in memory."""
        return cls(path, None if path is None else Path(path).stat())

    def require_in_place(self) -> None:
        """`JournalUnavailable` unless the path still leads to it. Costs a few microseconds."""
        if self.path is None or self._opened is None:
            return
        try:
            status = os.stat(self.path)  # noqa: PTH116 - on the way of each commit
        except FileNotFoundError:
            what = "was removed or moved away"
        except OSError as error:
            what = f"cannot be reached any more ({error.strerror})"
        else:
            if os.path.samestat(status, self._opened):
                return
            what = "was replaced by another file"
        message = (
            f"the journal's file {self.path} {what} while it was open; put it back, or stop this "
            "process and open what lies there now"
        )
        raise JournalUnavailable(message)


def _check_exists(path: str) -> None:
    """Refuse a file that is missing, or empty and so nobody's yet, before anything creates it."""
    try:
        empty = Path(path).stat().st_size == 0
    except OSError as error:
        message = f"there is no journal at {path}: {error.strerror}; check the URL"
        raise ConfigError(message) from error
    if empty:
        message = f"there is no journal at {path}: the file is empty; check the URL"
        raise ConfigError(message)


def _create(path: str) -> None:
    """An empty file with mode 0600, which -wal and -shm inherit, unless another open made one.

    It gets its name when its descriptor is closed, for the reason that `check_file` gives.
    """
    unnamed = f"{path}.{RandomIds().owner_id()}.new"
    os.close(os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    try:
        with suppress(FileExistsError):
            os.link(unnamed, path)
    finally:
        Path(unnamed).unlink()
