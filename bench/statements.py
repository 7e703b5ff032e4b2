"""How many statements an engine asks of its database beside its commits, and how many rows come."""

from __future__ import annotations

from typing import TypeVar

from attrs import define

from durable_core import DurableEngine
from durable_core.storage.statements import Make, SqlBackend, Statements, Transactions

__all__ = ["Counted"]

T = TypeVar("T")


@define
class Counted:
    """Stands before a connection of a backend, and counts."""

    asked: Statements
    statements: int = 0
    read: int = 0

    @staticmethod
    def beside(engine: DurableEngine) -> list[Counted]:
        """Count all that the engine's backend reads or changes by single statements from now on."""
        backend = engine.parts.backend
        assert isinstance(backend, SqlBackend), "the engine is on no database"
        reads = Counted(backend._reads)  # noqa: SLF001 - takes its place
        writes = _Committing(backend._writes)  # noqa: SLF001 - the same
        backend._reads, backend._writes = reads, writes  # noqa: SLF001 - so that all go by them
        return [reads, writes]

    async def rows(self, make: Make[T], text: str, *parameters: object) -> list[T]:
        """What the connection answers."""
        self.statements += 1
        found = await self.asked.rows(make, text, *parameters)
        self.read += len(found)
        return found


class _Committing(Counted):
    """As `Counted`, before a connection that commits; transactions are not counted."""

    def __init__(self, asked: Transactions) -> None:
        super().__init__(asked)
        self.transact = asked.transact
