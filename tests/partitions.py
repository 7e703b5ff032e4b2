"""The tables of a journal in Postgres in parts, as a large or sharded database would have them."""

from __future__ import annotations

import re
from importlib import resources

import asyncpg

__all__ = ["make_partitioned"]

TABLE = re.compile(r"^CREATE TABLE (\w+) \((.*?)^\)([^;]*);", re.MULTILINE | re.DOTALL)
PARTS = 4
PARTED_BY = {
    "durable_executions": "execution_id",
    "durable_execution_keys": "workflow",
    "durable_journal": "execution_id",
    "durable_inbox": "execution_id",
}


async def make_partitioned(url: str) -> None:
    """The tables of the migration, each in four parts by the column that leads its keys."""
    text = (resources.files("durable_postgres") / "_migrations" / "0001_journal.sql").read_text()
    connection = await asyncpg.connect(url)
    await connection.execute(TABLE.sub(_in_parts, text))
    await connection.execute("INSERT INTO durable_schema VALUES (1, 0)")
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
