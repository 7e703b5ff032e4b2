"""A backend and the reference side by side: whatever is asked of both is answered alike.

The machine of hypothesis runs on a thread; what it does to the two backends runs on the event loop
of the test, one operation at a time. Two connections are open all the while, and each operation
goes to one of them. Numbers that a database chooses itself are compared by their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import ClassVar, TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from durable_core.conformance.harness import BackendHarness
from durable_core.conformance.memory import MemoryBackend, MemoryDatabase
from durable_core.conformance.rows import written
from durable_core.contracts import BatchOutcome, CommitBatch, ExecutionBackend
from durable_core.errors import DurableError
from durable_core.model.execution import ExecutionRow

__all__ = ["BothSides"]

T = TypeVar("T")

ANSWER_S = 15.0
"""Longer than a backend waits for anything: for a lock, for others that open, for a connection."""


class BothSides(RuleBasedStateMachine):
    """One run: an empty database and an empty reference, with two connections each."""

    harness: ClassVar[BackendHarness]
    loop: ClassVar[asyncio.AbstractEventLoop]

    def __init__(self) -> None:
        super().__init__()
        self.database = MemoryDatabase()
        self.model = [MemoryBackend(self.database) for _ in range(2)]
        self.real = [self.run(self.harness.open()) for _ in range(2)]
        self.seqs: dict[int, int] = {}
        self.clock = 100
        self.held: set[str] = set()

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Do it on the loop of the test; what does not end is a failure, and is cancelled."""
        asked = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return asked.result(ANSWER_S)
        except FutureTimeoutError:
            asked.cancel()
            message = f"{work} has not ended within {ANSWER_S} seconds"
            raise AssertionError(message) from None

    def both(self, side: int, operation: Callable[[ExecutionBackend], Awaitable[T]]) -> T | None:
        """Ask both, and demand that they answer alike; None where both refuse."""
        (expected, answer), (found, real) = self.answers(side, operation)
        assert real == answer
        assert found == expected
        return found

    def answers(
        self, side: int, operation: Callable[[ExecutionBackend], Awaitable[T]]
    ) -> list[tuple[T | None, str]]:
        """What the reference says, then what the backend says: a value, or which refusal."""

        async def asked(backend: ExecutionBackend) -> tuple[T | None, str]:
            try:
                return await operation(backend), "answered"
            except DurableError as error:
                return None, type(error).__name__

        return [self.run(asked(one)) for one in (self.model[side], self.real[side])]

    def now(self) -> int:
        """A time that no other row has, so that what is ordered by time has one order."""
        self.clock += 1
        return self.clock

    @property
    def stored(self) -> dict[bytes, ExecutionRow]:
        """The executions as the reference has them."""
        return self.database.tables.executions

    def commit(self, side: int, batch: CommitBatch) -> None:
        """Append to both; the same is written, unmatched, taken or refused."""
        answers = self.answers(side, lambda one: one.journal.append(batch))
        (expected, answer), (found, real) = answers
        assert real == answer
        if expected is not None and found is not None:
            self.agree(expected, found)

    def agree(self, expected: BatchOutcome, found: BatchOutcome) -> None:
        """The same rows were written, under numbers above all earlier ones."""
        assert written(found) == written(expected)
        assert found.unmatched == expected.unmatched
        assert dict(found.taken) == dict(expected.taken)
        for model, real in zip(expected.seqs, found.seqs, strict=True):
            if model is not None and real is not None:
                assert real > max(self.seqs.values(), default=0)
                self.seqs[model] = real
