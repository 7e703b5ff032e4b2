"""A database of Postgres as it was when it was made: faster than to make another."""

from __future__ import annotations

from typing import Final

import asyncpg

from durable_core.storage.migrations import Migrations
from durable_core.storage.tables import SCHEMA, TABLES

__all__ = ["delete_rows", "make_empty"]

_END_OTHERS: Final = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
"""Sessions that a killed process has left behind."""

_EMPTY: Final = """
SET lock_timeout = '10s';
DO $$ DECLARE found record; BEGIN
    FOR found IN SELECT oid::regnamespace AS schema FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    LOOP
        EXECUTE format('DROP SCHEMA %s CASCADE', found.schema);
    END LOOP;
    EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
END $$;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC;
"""
_SELECT_TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
_SELECT_VERSION: Final = f"SELECT max(version) FROM {SCHEMA}"
_DELETE: Final = "; ".join(
    [
        "SET lock_timeout = '10s'",
        *(f"DELETE FROM {table}" for table in sorted(TABLES - {SCHEMA})),
        "SELECT setval(pg_get_serial_sequence('durable_journal', 'seq'), 1, false)",
    ]
)


async def make_empty(url: str) -> None:
    """End all other sessions and take away all schemas and settings; roles are the server's."""
    settings = {"default_transaction_read_only": "off"}
    connection = await asyncpg.connect(url, server_settings=settings)
    await connection.execute(_END_OTHERS)
    await connection.execute(_EMPTY)
    await connection.close()


async def delete_rows(url: str) -> bool:
    """End all other sessions and empty the tables of a journal; whether a whole one was there."""
    connection = await asyncpg.connect(url)
    await connection.execute(_END_OTHERS)
    tables = {name for (name,) in await connection.fetch(_SELECT_TABLES)}
    newest = Migrations.of("durable_postgres").newest
    whole = tables >= TABLES and await connection.fetchval(_SELECT_VERSION) == newest
    if whole:
        await connection.execute(_DELETE)
    await connection.close()
    return whole
