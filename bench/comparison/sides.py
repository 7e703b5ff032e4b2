"""The engines that are compared: how each is started, and where its file keeps a step's result."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from bench import peer_engines
from bench.peers import environment, running
from durable_core.model.entries import EntryKind

__all__ = ["DBOS", "OURS", "UNHINGED", "Rows", "Side"]

_VERSION: Final = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


@frozen
class Rows:
    """Where a file has the result of the step `charge`, for who changes it by hand."""

    file: str
    table: str
    column: str
    where: str


@frozen(kw_only=True)
class Side:
    """One engine.

    `requirements` are what is installed for it; none: it is there already. `rows` is a text where
    they cannot be edited: why.
    """

    name: str
    module: str
    distribution: str
    requirements: tuple[str, ...]
    rows: Rows | str
    python: str = sys.executable

    @property
    def command(self) -> tuple[str, ...]:
        """What begins a life, in front of its request."""
        return (self.python, "-m", f"bench.comparison.{self.module}")

    async def ready(self, folder: Path) -> Side:
        """This side with its version in its name, and an interpreter that has it.

        Where it has requirements, they are installed into an environment in `folder`;
        `Unavailable` where they cannot be.
        """
        python = self.python
        if self.requirements:
            python = str(await asyncio.to_thread(environment, folder, *self.requirements))
        async with running(python, "-c", _VERSION, self.distribution) as asked:
            return evolve(self, name=f"{self.name} {asked.first}", python=python)

    @asynccontextmanager
    async def serving(self, _folder: Path) -> AsyncIterator[Sequence[str]]:
        """The URLs of what has to run beside the workers of one scenario, until the block ends."""
        yield ()


OURS: Final = Side(
    name="durable-core",
    module="ours_program",
    distribution="durable-core",
    requirements=(),
    rows=Rows(
        "journal.db",
        "durable_journal",
        "payload",
        f"step_id = '0' AND entry_kind = {EntryKind.STEP_RESULT:d}",
    ),
)
DBOS: Final = Side(
    name="DBOS",
    module="dbos_program",
    distribution="dbos",
    requirements=peer_engines.DBOS,
    rows=Rows("dbos.sqlite", "operation_outputs", "output", "function_name = 'charge'"),
)
UNHINGED: Final = Side(
    name="Unhinged",
    module="unhinged_program",
    distribution="unhinged",
    requirements=peer_engines.UNHINGED,
    rows=Rows("unhinged.db", "c_orders", "state", "checkpoint_name = 'charge'"),
)
