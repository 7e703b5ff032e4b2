"""The engines that are compared: how each is started, and where its file keeps a step's result."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from bench.peers import environment, running
from durable_core.model.entries import EntryKind

__all__ = ["OURS", "PEERS", "Rows", "Side"]

_VERSION: Final = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


@frozen
class Rows:
    """Where a file has the result of the step `charge`, for who changes it by hand."""

    file: str
    table: str
    column: str
    where: str


@frozen
class Side:
    """One engine. `requirement` is what is installed for it; empty: it is there already."""

    name: str
    module: str
    distribution: str
    requirement: str
    rows: Rows
    python: str = sys.executable

    @property
    def command(self) -> tuple[str, ...]:
        """What begins a life, in front of its request."""
        return (self.python, "-m", f"bench.comparison.{self.module}")

    async def ready(self, folder: Path) -> Side:
        """This side with its version in its name, and an interpreter that has it.

        Where it has a requirement, that is installed into an environment in `folder`;
        `Unavailable` where it cannot be.
        """
        python = self.python
        if self.requirement:
            python = str(await asyncio.to_thread(environment, folder, self.requirement))
        async with running(python, "-c", _VERSION, self.distribution) as asked:
            return evolve(self, name=f"{self.name} {asked.first}", python=python)


OURS: Final = Side(
    "durable-core",
    "ours_program",
    "durable-core",
    "",
    Rows(
        "journal.db",
        "durable_journal",
        "payload",
        f"step_id = '0' AND entry_kind = {EntryKind.STEP_RESULT:d}",
    ),
)
PEERS: Final = (
    Side(
        "DBOS",
        "dbos_program",
        "dbos",
        "dbos==3.4.0",
        Rows("dbos.sqlite", "operation_outputs", "output", "function_name = 'charge'"),
    ),
    Side(
        "Unhinged",
        "unhinged_program",
        "unhinged",
        "unhinged==0.2.0",
        Rows("unhinged.db", "c_orders", "state", "checkpoint_name = 'charge'"),
    ),
)
