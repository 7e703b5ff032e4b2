"""The schema is SQLite's, column by column, and every unique index may be distributed."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from durable_core.contracts import BackendSettings, Durability
from durable_core.model.execution import ANYONE
from durable_core.registry import Registry
from durable_postgres import PostgresBackend, _migrate, _sql
from durable_sqlite import LocalBackend

if TYPE_CHECKING:
    from conftest import Opener

TYPES = {
    "bytea": "BLOB",
    "text": "TEXT",
    "bigint": "INTEGER",
    "integer": "INTEGER",
    "smallint": "INTEGER",
    "boolean": "INTEGER",
}
DISTRIBUTED_BY = {
    "durable_schema": "version",
    "durable_executions": "execution_id",
    "durable_execution_keys": "workflow",
    "durable_journal": "execution_id",
    "durable_inbox": "execution_id",
    "durable_keys": "key_id",
    "durable_promises": "execution_id",
    "durable_timers": "execution_id",
}
COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
        AND NOT c.relispartition AND a.attnum > 0 ORDER BY c.relname, a.attnum
"""
INDEXES = """
SELECT t.relname, i.indisunique, i.indpred IS NOT NULL, array(
        SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
            JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = k.number ORDER BY k.place)
    FROM pg_index AS i JOIN pg_class AS t ON t.oid = i.indrelid
    WHERE t.relnamespace = 'public'::regnamespace AND NOT t.relispartition
"""

Index = tuple[str, bool, bool, tuple[str, ...]]
RUNNING: Index = ("durable_executions", False, True, ("execution_id",))
"""The one that SQLite does not have: there, what waits is not claimed from a long queue."""


async def sqlite_catalog(folder: Path) -> tuple[dict[str, list[tuple[str, str, bool]]], set[Index]]:
    """The columns and indexes of a real SQLite journal."""
    path = folder / "journal.db"
    backend = await LocalBackend.open(f"sqlite:///{path}", BackendSettings(Durability.FULL, 5000))
    await backend.close()
    columns, indexes = {}, set()
    with closing(sqlite3.connect(path)) as connection:
        for table in DISTRIBUTED_BY:
            rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
            columns[table] = [(row[1], row[2], bool(row[3] or row[5])) for row in rows]
            key = tuple(row[1] for row in sorted(rows, key=lambda row: row[5]) if row[5])
            if table != "durable_journal":  # its key is the row number; the next index is the key
                indexes.add((table, True, False, key))
            for _, name, unique, origin, partial in connection.execute(
                f"PRAGMA index_list({table})"
            ).fetchall():
                if origin == "c":
                    parts = connection.execute(f"PRAGMA index_info({name})").fetchall()
                    key = tuple(part[2] for part in parts)
                    indexes.add((table, bool(unique), bool(partial), key))
    return columns, indexes


async def test_columns_and_indexes_are_those_of_sqlite(
    backend: PostgresBackend, admin: Any, tmp_path: Path
) -> None:
    columns, indexes = await sqlite_catalog(tmp_path)
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for table, name, kind, required in await admin.fetch(COLUMNS):
        found.setdefault(table, []).append((name, TYPES[kind], required))
    assert found == columns
    assert {
        (table, unique, partial, tuple(names))
        for table, unique, partial, names in await admin.fetch(INDEXES)
    } == indexes | {RUNNING}
    assert await backend.max_seq() == 0


async def test_every_unique_index_is_led_by_the_distribution_column(
    backend: PostgresBackend, admin: Any
) -> None:
    unique = [(row[0], row[3]) for row in await admin.fetch(INDEXES) if row[1]]
    assert len(unique) == 9
    assert {(table, names[0]) for table, names in unique} == set(DISTRIBUTED_BY.items())
    assert await admin.fetchval("SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == 0
    assert await backend.key_checks() == {}


async def test_a_claim_reads_no_history(opener: Opener, admin: Any) -> None:
    """Among many that wait, behind many that have ended and have lower ids."""
    await opener()
    for status, first, ended in (("completed", 0, "1"), ("running", 20_000, "NULL")):
        await admin.execute(
            "INSERT INTO durable_executions SELECT decode(lpad(to_hex(n), 32, '0'), 'hex'), 'w', "
            f"NULL, 'workflow', '{status}', 0, NULL, false, false, $1, 1, 0, NULL, NULL, 1, 1, "
            f"{ended} FROM generate_series({first}, {first} + 19999) AS n",
            ANYONE,
        )
    await admin.execute("ANALYZE durable_executions")
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {_sql.CLAIM_WAITING}"
    ((plan,),) = await admin.fetch(explain, "w1", 1, [ANYONE], ["w"], [1], [], 64)
    assert '"Actual Rows": 64' in plan
    assert "durable_executions_running" in plan
    assert not re.search(r'"Rows Removed by Filter": [1-9]', plan)


async def test_the_checks_are_those_of_sqlite(opener: Opener, admin: Any, tmp_path: Path) -> None:
    await opener()
    await sqlite_catalog(tmp_path)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        texts = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    booleans = 2  # `sealed` and `stamped` are integers there
    wanted = sum(text.count("CHECK (") for (text,) in texts) - booleans
    found = "SELECT count(*) FROM pg_constraint WHERE contype = 'c'"
    in_schema = f"{found} AND connamespace = 'public'::regnamespace"
    assert await admin.fetchval(in_schema) == wanted


async def test_durability_is_what_the_server_is_told(opener: Opener, url: str, admin: Any) -> None:
    """FULL raises what is weaker and keeps what is stronger; NORMAL does not wait for the disk."""
    name = url.rpartition("/")[2]
    for given, full in (("on", "on"), ("remote_apply", "remote_apply"), ("off", "on")):
        await admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = '{given}'")
        for durability, wanted in ((Durability.FULL, full), (Durability.NORMAL, "off")):
            backend = await opener(durability=durability)
            show = await backend._writer.rows(tuple, "SHOW synchronous_commit")
            assert [row[0] for row in show] == [wanted]
            await backend.close()


async def test_a_database_that_is_serializable_by_default_is_committed_to_as_usual(
    opener: Opener, url: str, admin: Any
) -> None:
    name = url.rpartition("/")[2]
    level = "default_transaction_isolation"
    await admin.execute(f"ALTER DATABASE {name} SET {level} = 'serializable'")
    backend = await opener()
    show = await backend._writer.rows(tuple, "SHOW transaction_isolation")
    assert show[0][0] == "read committed"


@pytest.mark.entrypoints
def test_the_backend_is_found_by_its_entry_point() -> None:
    assert Registry.discover().backend("postgres") is PostgresBackend


async def test_ec_30_a_journal_that_is_migrated_while_it_is_looked_at(
    opener: Opener, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at its tables and that at its version: it is whole all the same."""
    await (await opener()).close()
    await admin.execute(
        "DROP TABLE durable_promises; DROP TABLE durable_timers; "
        "CREATE INDEX durable_journal_idem_key ON durable_journal (execution_id, idem_key); "
        "DELETE FROM durable_schema WHERE version > 1"
    )
    looked: list[frozenset[str]] = []

    async def beside_a_migration(connection: Any) -> frozenset[str]:
        tables = await real(connection)
        looked.append(tables)
        if len(looked) == 1:
            await (await opener()).close()
        return tables

    real = _migrate._tables
    monkeypatch.setattr(_migrate, "_tables", beside_a_migration)
    await (await opener()).probe()
    assert "durable_promises" not in looked[0]
