"""The write-ahead log, laid out ahead of the commits that will fill it.

A commit behind the end of a file has the file's new length to sync as well, which takes a file
system as long as all the rest. So a log that small commits have filled gets zeros behind its end,
as many as it is long and at most a MiB, and the next commits only write over them. SQLite reads
nothing behind the last commit, and takes no zeros for a frame.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

__all__ = ["Log"]

_SMALLEST: Final = 64 * 1024
_STEP: Final = 1024 * 1024
_LARGEST: Final = 32 * 1024 * 1024
"""Where a checkpoint lets the log begin anew, by `_sql.CHECKPOINT_AT_32_MIB`."""


class Log:
    """That of the database at `path`; None where nothing is to be laid out."""

    def __init__(self, path: str | None) -> None:
        self._path = path and f"{path}-wal"
        self._laid_out = 0

    def lay_out(self) -> None:
        """See that the next commit fits, inside a write transaction: nobody else writes then.

        Whatever the system refuses is left to the commit, which does without.
        """
        if self._path is None:
            return
        with suppress(OSError):
            size = os.stat(self._path).st_size  # noqa: PTH116 - on the way of each commit
            if size != self._laid_out and _SMALLEST <= size < _LARGEST:
                self._laid_out = _extended(self._path, size)


def _extended(path: str, size: int) -> int:
    """How long the log is now. It stays as it is where its last frame has not been written yet."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        # The header of the log has the size of a page at 8, and that of a frame is 24 bytes long.
        frame = 24 + int.from_bytes(os.pread(descriptor, 4, 8), "big")
        if any(os.pread(descriptor, 4, size - frame)):  # the number of its page
            os.pwrite(descriptor, bytes(min(size, _STEP) // frame * frame), size)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
