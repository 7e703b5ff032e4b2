"""Many rows in few statements, and none of those that only fill one up."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from durable_core.storage.many import LARGEST, Many, each

INSERT = Many("INSERT INTO kept (name, mark) {rows}", 2, passes_nulls=False)
MARK = Many("UPDATE kept SET mark = v.column2 FROM ({rows}) AS v WHERE kept.name = v.column1", 2)
FIND = Many("SELECT name FROM kept WHERE name IN ({rows})", 1)
DELETE = Many("DELETE FROM kept WHERE (name, mark) IN (SELECT * FROM ({rows}) AS gone)", 2)
COUNTS = (1, 2, 7, 8, 9, 15, 16, 17, 100, LARGEST - 1, LARGEST, LARGEST + 1, 2 * LARGEST + 9)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "kept.db", isolation_level=None)) as opened:
        opened.execute("CREATE TABLE kept (number INTEGER PRIMARY KEY, name BLOB, mark INTEGER)")
        yield opened


def rows(count: int) -> list[tuple[bytes, int]]:
    return [(b"%d" % number, number) for number in range(count)]


@pytest.mark.parametrize("count", COUNTS)
def test_all_rows_go_in_their_order_and_nothing_else(
    connection: sqlite3.Connection, count: int
) -> None:
    cursors = list(each(connection.execute, INSERT, rows(count)))
    assert len(cursors) == -(-count // LARGEST)
    assert cursors[-1].lastrowid == count
    kept = connection.execute("SELECT name, mark FROM kept ORDER BY number").fetchall()
    assert kept == rows(count)


@pytest.mark.parametrize("count", COUNTS)
def test_what_fills_a_statement_up_finds_nothing(
    connection: sqlite3.Connection, count: int
) -> None:
    connection.execute("INSERT INTO kept VALUES (0, NULL, 0), (-1, NULL, NULL)")
    list(each(connection.execute, INSERT, rows(count)))
    names = [(name,) for name, _ in rows(count)]
    found = [name for some in each(connection.execute, FIND, names) for name in some.fetchall()]
    assert sorted(found) == sorted(names)
    sevens = [(name, 7) for (name,) in names]
    assert sum(some.rowcount for some in each(connection.execute, MARK, sevens)) == count
    assert sum(some.rowcount for some in each(connection.execute, DELETE, sevens)) == count
    assert connection.execute("SELECT count(*) FROM kept").fetchone() == (2,)


def test_no_rows_are_no_statement(connection: sqlite3.Connection) -> None:
    assert list(each(connection.execute, INSERT, [])) == []
