"""What pruning leaves free is given back to the system, where the file was made for that."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from attrs import evolve

from durable_sqlite import LocalBackend

if TYPE_CHECKING:
    from conftest import Opener

    from durable_core.conformance.rows import Rows

MIB = 1 << 20


async def filled(backend: LocalBackend, rows: Rows, *numbers: int) -> None:
    """Executions that have ended, each with an entry of 100,000 bytes."""
    for number in numbers:
        start = rows.start(number, status="completed", finalized_at=number)
        entries = tuple(entry._replace(payload=b"1" * 100_000) for entry in start.rows)
        await backend.journal.append(evolve(start, rows=entries))


async def pruned(backend: LocalBackend) -> int:
    """How many pieces were given back, when all but the last execution have gone."""
    ended = await backend.journal.ended(None, 999)
    assert len(await backend.journal.prune(ended[:-1])) == len(ended) - 1
    pieces = 0
    while await backend.journal.reclaim():
        pieces += 1
    return pieces


async def test_the_file_becomes_shorter_while_it_is_open(
    backend: LocalBackend, opener: Opener, rows: Rows
) -> None:
    await filled(backend, rows, *range(1, 81))
    assert await pruned(backend) >= 7
    assert opener.path.stat().st_size < MIB
    with closing(sqlite3.connect(opener.path)) as other:
        assert other.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    (row,) = await backend.journal.ended(None, 9)
    assert row.payload_bytes == 100_000


async def test_a_piece_is_bounded(backend: LocalBackend, opener: Opener, rows: Rows) -> None:
    await filled(backend, rows, *range(1, 81))
    await backend.journal.prune((await backend.journal.ended(None, 999))[:-1])
    with closing(sqlite3.connect(opener.path)) as other:
        free = other.execute("PRAGMA freelist_count").fetchone()[0]
        assert await backend.journal.reclaim()
        assert other.execute("PRAGMA freelist_count").fetchone()[0] == free - 256


async def test_a_file_that_was_made_without_keeps_its_length_and_uses_it_again(
    opener: Opener, rows: Rows
) -> None:
    await (await opener()).close()
    with closing(sqlite3.connect(opener.path)) as other:
        other.executescript("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = 0; VACUUM")
        assert other.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    backend = await opener()
    await filled(backend, rows, *range(1, 81))
    assert await pruned(backend) == 0
    length = opener.path.stat().st_size
    assert length > 7 * MIB
    await filled(backend, rows, *range(101, 170))
    await backend.journal.reclaim()
    assert opener.path.stat().st_size == length
