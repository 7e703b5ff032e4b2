"""Files that hold keys or tokens: read only where nobody but their owner can touch them (INV-5)."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from durable_core.errors import ConfigError

__all__ = ["read_secret_file"]

_LARGEST_FILE: Final = 65_536
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def read_secret_file(path: Path, kind: str, content: str) -> str:
    """The text of a file that belongs to this process's effective user, or to root.

    `kind` is what errors call the file, `content` what it has to hold. `ConfigError` for a file
    that is missing, open to others, larger than 64 KiB or no text.
    """
    name = f"{kind} {path}"
    try:
        # Not blocking, as opening a pipe would wait for a writer. What is checked is what was
        # opened: a name could be given to another file in between.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            refused = _refusal(os.fstat(descriptor), os.geteuid())
            read = b"" if refused else _read_all(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        message = f"{name} cannot be read: {error.strerror}"
        raise ConfigError(message) from error
    if len(read) > _LARGEST_FILE:
        refused = f"is larger than {_LARGEST_FILE} bytes, so it is no {kind}"
    elif not read.isascii():
        refused = f"is no text; it must hold {content}"
    if refused:
        message = f"{name} {refused}"
        raise ConfigError(message)
    return read.decode("ascii")


def _read_all(descriptor: int) -> bytes:
    """The content of a file, up to one byte more than it may have."""
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(_LARGEST_FILE + 1)


def _refusal(status: os.stat_result, user: int) -> str:
    """Why a file with this status holds no secret of `user`; the empty text where it may."""
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    if status.st_uid not in {user, 0}:
        return f"belongs to user {status.st_uid}; it must belong to user {user} or to root"
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        return f"is open to other users (mode {mode:04o}); run `chmod 600` on it"
    return ""
