"""What the figures were taken on: the machine, the file system, and the state of the code."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

__all__ = ["IN_MEMORY", "commit", "filesystem_of", "machine_line"]

IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
"""File systems on which nothing is durable, so that a commit would cost nothing."""

_SHORT: Final = ("git", "rev-parse", "--short=10", "HEAD")
_CHANGED: Final = ("git", "status", "--porcelain", "--untracked-files=no")


def machine_line(filesystem: str) -> str:
    """The date, the kind of machine, and the versions that matter."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.machine()}, {filesystem}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )


def filesystem_of(folder: Path) -> str:
    """The type of the file system that holds `folder`, where the system tells."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return "unknown file system"
    place = folder.resolve()
    found: dict[Path, str] = {}
    for line in mounts.read_text().splitlines():
        _, point, kind, *_ = line.split()
        if place.is_relative_to(point):
            found[Path(point)] = kind
    return found[max(found, key=lambda point: len(point.parts))]


def commit() -> str:
    """The commit that the bench lies in, and whether files differ from it."""
    try:
        name, changed = (_said(command) for command in (_SHORT, _CHANGED))
    except (OSError, subprocess.CalledProcessError):
        return "no commit"
    return f"{name} with changes" if changed else name


def _said(command: tuple[str, ...]) -> str:
    here = Path(__file__).parent
    done = subprocess.run(command, cwd=here, check=True, capture_output=True, text=True)
    return done.stdout.strip()
