"""How few statements a batch has, and what a probe writes."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from durable_core.errors import JournalUnavailable
from durable_core.storage import texts
from durable_sqlite import LocalBackend, _sql

if TYPE_CHECKING:
    from conftest import Opener

    from durable_core.conformance.rows import Rows


async def test_a_key_check_is_stored_once(
    backend: LocalBackend, opener: Opener, rows: Rows
) -> None:
    """Later batches have no statement more."""
    backend.announce_key(7, b"first")
    await backend.journal.append(rows.start(1))
    tamper(opener.path, "DELETE FROM durable_keys")
    await backend.journal.append(rows.start(2))
    assert await backend.key_checks() == {}


def tamper(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            assert other.execute(statement).rowcount > 0


async def test_a_probe_commits_and_changes_nothing(backend: LocalBackend, opener: Opener) -> None:
    wal = opener.folder / "journal.db-wal"
    with closing(sqlite3.connect(opener.path)) as other:
        seen = other.execute("PRAGMA data_version").fetchone()
        rows_before = other.execute("SELECT * FROM durable_schema").fetchall()
        size = wal.stat().st_size
        await backend.probe()
        assert wal.stat().st_size > size
        assert other.execute("PRAGMA data_version").fetchone() != seen
        assert other.execute("SELECT * FROM durable_schema").fetchall() == rows_before


async def test_no_promise_and_no_timer_is_looked_for_among_all(
    backend: LocalBackend, opener: Opener, rows: Rows
) -> None:
    """Whatever the size of the statement; SQLite has no statistics here, as in every journal."""
    await backend.journal.append(rows.start(1))
    wanted = [texts.SELECT_PROMISE, texts.SELECT_PROMISES, texts.SELECT_TIMERS]
    with closing(sqlite3.connect(opener.path)) as other:
        for text in (*wanted, *_sql.DISARM_TIMERS.texts.values()):
            plan = other.execute(f"EXPLAIN QUERY PLAN {text}", (b"",) * text.count("?")).fetchall()
            steps = [step for *_, step in plan if "durable_" in step]
            assert len(steps) == 1, steps
            assert steps[0].startswith("SEARCH "), steps


async def test_what_prunes_is_closed_also_where_it_is_only_being_opened(opener: Opener) -> None:
    """The last connection that is closed takes the -wal with it."""
    wal = opener.folder / "journal.db-wal"
    backend = await opener()
    assert wal.exists()
    pruned, _ = await asyncio.gather(
        backend.journal.prune([]), backend.close(), return_exceptions=True
    )
    assert pruned == frozenset() or isinstance(pruned, JournalUnavailable)
    assert not wal.exists()
    with pytest.raises(JournalUnavailable):
        await backend.journal.open_usage()
    assert not wal.exists()
