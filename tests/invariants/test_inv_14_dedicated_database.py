"""INV-14: the journal has a database of its own, opened and migrated by the backend."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from durable_core.errors import ConfigError, SchemaTooNew
from tests.dialects import query
from tests.engines import OpenEngine
from tests.journals import change, path_of
from tests.unit.engine.owning import answering, program_of
from tests.unit.engine.processes import child

TABLES = {
    "durable_execution_keys",
    "durable_executions",
    "durable_inbox",
    "durable_journal",
    "durable_keys",
    "durable_promises",
    "durable_schema",
    "durable_timers",
}


def tables(url: str) -> set[str]:
    if url.startswith("sqlite:"):
        rows = query(url, "SELECT name FROM sqlite_master WHERE type = 'table'")
    else:
        rows = query(url, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    return {name for (name,) in rows if not name.startswith("sqlite_")}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.dialects
async def test_a_first_open_makes_exactly_the_tables_of_a_journal(
    open_engine: OpenEngine, url: str
) -> None:
    async with open_engine():
        assert tables(url) == TABLES
        versions = [number for (number,) in query(url, "SELECT version FROM durable_schema")]
        assert versions == list(range(1, len(versions) + 1))


@pytest.mark.dialects
async def test_a_second_open_migrates_nothing(open_engine: OpenEngine, url: str) -> None:
    async with open_engine():
        before = query(url, "SELECT * FROM durable_schema")
    async with open_engine():
        assert query(url, "SELECT * FROM durable_schema") == before


@pytest.mark.parametrize("wal", [False, True])
async def test_another_applications_database_is_refused_and_left_as_it_is(
    open_engine: OpenEngine, url: str, *, wal: bool
) -> None:
    path = path_of(url)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    before = digest(path)
    with pytest.raises(ConfigError, match="database of its own"):
        async with open_engine():
            pass
    assert digest(path) == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


async def test_a_newer_schema_is_refused(open_engine: OpenEngine, url: str) -> None:
    async with open_engine():
        pass
    change(path_of(url), "INSERT INTO durable_schema (version, applied_at) VALUES (999, 0)")
    with pytest.raises(SchemaTooNew, match="999"):
        async with open_engine():
            pass


@pytest.mark.dialects
async def test_ec_30_first_opens_at_once_in_one_process(open_engine: OpenEngine, url: str) -> None:
    program = program_of(url, answering("done"))

    async def open_and_run() -> list[str]:
        async with open_engine(program) as engine:
            return await engine.run(program, 1)

    results = await asyncio.gather(*(open_and_run() for _ in range(8)))
    assert results == [["first", "done", "last"]] * 8
    assert tables(url) == TABLES


@pytest.mark.dialects
async def test_ec_30_first_opens_at_once_in_several_processes(
    open_engine: OpenEngine, url: str
) -> None:
    """Each opens, starts by the same key and ends; one migrates, and nobody meets an error."""
    async with child("start_many", url, 1) as one, child("start_many", url, 1) as two:
        for each in (one, two):
            await each.says("ready")
        assert not url.startswith("sqlite:") or not path_of(url).exists()
        for each in (one, two):
            each.hear()
        async with open_engine() as engine:
            results = [await each.says("results") for each in (one, two)]
            assert results[0] == results[1]
            assert len(await engine.list()) == 1
            await engine.verify()
    assert tables(url) == TABLES
