"""An engine without any care, in which the comparison must find everything that it looks for.

It keeps results by the number of the call, in clear, for whoever writes last.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from bench.comparison.flows import BRANCHES, FLOWS, World, branch, told

__all__ = ["Naive"]

TABLE = "CREATE TABLE IF NOT EXISTS calls (number INTEGER PRIMARY KEY, asked TEXT, said TEXT)"


class Naive:
    """The calls of one life, and the file of all."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = 0
        self.query(TABLE)

    def query(self, statement: str, *parameters: object) -> list[tuple[str]]:
        path: Path = self.world.store / "calls.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(statement, parameters).fetchall()

    async def call(self, step: str, *arguments: str) -> str:
        self.count += 1
        number = self.count
        for (said,) in self.query("SELECT said FROM calls WHERE number = ?", number):
            return said
        try:
            said = await getattr(self.world, step)(*arguments)
        except ValueError as error:
            self.keep(number, arguments, str(error))
            raise
        self.keep(number, arguments, said)
        return str(said)

    def keep(self, number: int, arguments: tuple[str, ...], said: str) -> None:
        asked = json.dumps(arguments)
        self.query("INSERT OR REPLACE INTO calls VALUES (?, ?, ?)", number, asked, said)

    def key(self) -> str:
        return "the only order"

    async def branches(self) -> list[list[str]]:
        return list(await asyncio.gather(*(branch(self, self.world, who) for who in BRANCHES)))


async def live(world: World) -> str:
    return await FLOWS[world.flow](Naive(world), world)


if __name__ == "__main__":
    here = World.of(sys.argv[1])
    asyncio.run(told(here, live(here)))
