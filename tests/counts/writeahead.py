"""Reads a write-ahead log as SQLite left it: what was committed, in the file itself.

The format is the one of https://www.sqlite.org/fileformat2.html#walformat.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

__all__ = ["commits_in"]

_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")


def commits_in(database: Path) -> int:
    """How many frames in the log of that database end a transaction.

    Complete as long as the log was not written back and begun anew, which it is behind 8,192 pages.
    """
    log = database.with_name(f"{database.name}-wal").read_bytes()
    if not log:
        return 0  # just opened
    _, _, page_size, checkpoints, *salt, _, _ = _HEADER.unpack_from(log)
    assert checkpoints == 0, "the log was begun anew: what was in it before is not counted"
    commits = 0
    for at in range(_HEADER.size, len(log), _FRAME.size + page_size):
        _, pages_behind_commit, *salt_of_frame, _, _ = _FRAME.unpack_from(log, at)
        if salt_of_frame != salt:
            break
        commits += pages_behind_commit > 0
    return commits
