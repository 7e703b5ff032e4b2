"""The log that is laid out ahead of small commits: what lies in it, and what never may."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from durable_core.contracts import CommitBatch, Durability
from durable_sqlite import LocalBackend
from durable_sqlite._log import Log

if TYPE_CHECKING:
    from conftest import Opener

    from durable_core.conformance.rows import Rows

FRAME = 24 + 4096
MIB = 1024 * 1024


def log_of(opener: Opener) -> Path:
    return opener.folder / "journal.db-wal"


def laid_out(path: Path) -> int:
    """How many zeros end the log: whole frames."""
    content = path.read_bytes()
    return len(content) - len(content.rstrip(b"\0"))


async def commit_until(backend: LocalBackend, rows: Rows, log: Path, size: int) -> int:
    """Commit rows of one execution, one by one, until the log is so long; how many those were."""
    await backend.journal.append(rows.start(1))
    for number in count(2):
        if log.stat().st_size >= size:
            return number - 1
        await backend.journal.append(rows.advance(number, 1))
    raise AssertionError


async def test_small_commits_only_write_over_what_is_laid_out(opener: Opener, rows: Rows) -> None:
    backend, log = await opener(), log_of(opener)
    number = await commit_until(backend, rows, log, 128 * 1024)
    size = log.stat().st_size
    assert laid_out(log) > 10 * FRAME
    assert (size - 32) % FRAME == 0
    await backend.journal.append(rows.advance(number + 1, 1))
    assert log.stat().st_size == size


async def test_a_log_grows_by_a_mib_at_most(opener: Opener, rows: Rows) -> None:
    backend, log = await opener(), log_of(opener)
    await commit_until(backend, rows, log, 3 * MIB)
    assert 0 < laid_out(log) <= MIB


async def test_what_is_laid_out_is_no_part_of_a_copy(opener: Opener, rows: Rows) -> None:
    """As a crash leaves it: nobody has written the log back."""
    backend, log = await opener(), log_of(opener)
    number = await commit_until(backend, rows, log, 128 * 1024)
    copy = opener.folder / "copy.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{opener.path}{suffix}", f"{copy}{suffix}")
    with closing(sqlite3.connect(copy)) as other:
        assert other.execute("SELECT max(entry_no) FROM durable_journal").fetchone() == (number,)
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_another_process_that_grew_the_log_is_not_outdone(opener: Opener, rows: Rows) -> None:
    """Each sees a length that is not of its own making, and that the log has room."""
    first, second, log = await opener(), await opener(), log_of(opener)
    number = await commit_until(first, rows, log, 128 * 1024)
    size = log.stat().st_size
    await second.journal.append(rows.advance(number + 1, 1))
    assert log.stat().st_size == size


async def test_a_large_batch_lays_nothing_out(opener: Opener, rows: Rows) -> None:
    backend, log = await opener(), log_of(opener)
    await backend.journal.append(rows.start(1))
    for first in range(2, 2000, 100):
        numbers = range(first, first + 100)
        change = rows.change(1, numbers[-1], expected_count=first - 1)
        entries = [rows.entry(1, number) for number in numbers]
        await backend.journal.append(CommitBatch((), (change,), tuple(entries)))
    assert log.stat().st_size > 256 * 1024
    assert laid_out(log) < FRAME


async def test_nothing_is_laid_out_where_no_commit_is_synced(opener: Opener, rows: Rows) -> None:
    backend, log = await opener(durability=Durability.NORMAL), log_of(opener)
    await commit_until(backend, rows, log, 256 * 1024)
    assert laid_out(log) < FRAME


@pytest.mark.parametrize(("frames", "added"), [(10, 0), (20, 20), (1000, 254), (8200, 0)])
def test_how_far_a_log_is_laid_out(tmp_path: Path, frames: int, added: int) -> None:
    path = tmp_path / "some.db-wal"
    header = bytes(8) + (4096).to_bytes(4, "big") + bytes(20)
    path.write_bytes(header + b"\1" * FRAME * frames)
    Log(str(tmp_path / "some.db")).lay_out()
    assert path.stat().st_size == 32 + FRAME * (frames + added)


def test_a_log_that_cannot_be_laid_out_is_left_to_the_commit(tmp_path: Path) -> None:
    Log(str(tmp_path / "nothing")).lay_out()
    assert list(tmp_path.iterdir()) == []
