"""The journal's file before SQLite opens it: made with mode 0600, or refused with a clear error."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from durable_core.errors import ConfigError
from durable_core.ids import RandomIds

__all__ = ["check_file"]

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
