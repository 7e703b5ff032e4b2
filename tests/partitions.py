"""The tables of a journal in Postgres in parts, as a large or sharded database would have them."""

from __future__ import annotations

import re

import asyncpg

from durable_core.storage.migrations import Migrations

__all__ = ["PARTED_BY", "make_partitioned"]

TABLE = re.compile(r"^CREATE TABLE (\w+) \((.*?)^\)([^;]*);", re.MULTILINE | re.DOTALL)
PARTS = 4
PARTED_BY = {
    "durable_executions": "execution_id",
    "durable_execution_keys": "workflow",
    "durable_journal": "execution_id",
    "durable_inbox": "execution_id",
    "durable_promises": "execution_id",
    "durable_timers": "execution_id",
}


async def make_partitioned(url: str) -> None:
    """The tables of all migrations, each in four parts by the column that leads its keys."""
    connection = await asyncpg.connect(url)
    for version, text in Migrations.of("durable_postgres").pending(0):
        await connection.execute(TABLE.sub(_in_parts, text))
        await connection.execute("INSERT INTO durable_schema VALUES ($1, 0)", version)
    await connection.close()


def _in_parts(found: re.Match[str]) -> str:
    name, columns, settings = found.groups()
    if name not in PARTED_BY:
        return found[0]
    parts = (
        f"CREATE TABLE {name}_{n} PARTITION OF {name} "
        f"FOR VALUES WITH (MODULUS {PARTS}, REMAINDER {n}){settings};"
        for n in range(PARTS)
    )
    whole = f"CREATE TABLE {name} ({columns}) PARTITION BY HASH ({PARTED_BY[name]});"
    return "\n".join([whole, *parts])
