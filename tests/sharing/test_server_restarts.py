"""A Postgres server that is restarted under load, ten times, as if it had crashed each time.

Two workers in processes of their own run what a third engine starts. Whatever was acknowledged is
there afterwards, nothing is there twice, no effect happened twice, and every workflow ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, field

from durable_core import DurableEngine, ExecutionHandle
from durable_core.errors import JournalUnavailable
from durable_core.model.execution import Status
from tests.engines import AnyWorkflow
from tests.postgres import Server, temporary_server
from tests.sharing.worker import Ledger, program_of
from tests.unit.engine.processes import child

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(1200)]

RESTARTS: Final = 10
BETWEEN: Final = 40
"""How many workflows end between two restarts, at least."""

STARTERS: Final = 8
AT_ONCE: Final = 20
WORKER: Final = Path(__file__).with_name("worker.py")
RESULT: Final = ["note", "charge", "notify", "note"]


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of this test's own: no other one may be restarted."""
    with temporary_server() as started:
        yield started


@pytest.fixture
def url(server: Server) -> str:
    return server.url()


@define
class Load:
    """Starts executions one after the other, waits for each, and starts the next."""

    engine: DurableEngine
    program: AnyWorkflow
    acknowledged: dict[int, ExecutionHandle[Any]] = field(factory=dict)
    results: dict[int, list[str]] = field(factory=dict)
    stopped: bool = False
    ended: asyncio.Event = field(factory=asyncio.Event)

    async def run(self, numbers: AsyncIterator[int]) -> None:
        """One of the starters."""
        async for number in numbers:
            handle = await self._insist(self.start, number)
            self.acknowledged[number] = handle
            self.results[number] = await self._insist(self.finish, number)
            self.ended.set()

    async def start(self, number: int) -> ExecutionHandle[Any]:
        return await self.engine.start(self.program, number, key=str(number), run="anywhere")

    async def finish(self, number: int) -> list[str]:
        result: list[str] = await self.acknowledged[number].result()
        return result

    async def _insist(self, ask: Any, number: int) -> Any:
        """Ask again while the server is away: under the same key, so that it is one execution."""
        while True:
            try:
                return await ask(number)
            except JournalUnavailable:
                with suppress(JournalUnavailable):
                    await self.engine.parts.backend.probe()

    async def numbers(self, first: int) -> AsyncIterator[int]:
        while not self.stopped:
            yield first
            first += STARTERS

    async def more(self, count: int) -> None:
        """Wait until that many more have ended."""
        wanted = len(self.results) + count
        while len(self.results) < wanted:
            self.ended.clear()
            await self.ended.wait()


async def test_ten_restarts_lose_nothing_and_repeat_nothing(
    server: Server, url: str, key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(str(tmp_path / "ledger"))
    program = program_of(ledger)
    async with AsyncExitStack() as stack:
        front = await stack.enter_async_context(DurableEngine.open(url, keys=key))
        for _ in range(2):
            worker = child("work", url, ledger.path, AT_ONCE, program=WORKER)
            await (await stack.enter_async_context(worker)).says("open")
        load = Load(front, program)
        async with asyncio.TaskGroup() as starters:
            for first in range(STARTERS):
                starters.create_task(load.run(load.numbers(first)))
            for _ in range(RESTARTS):
                await load.more(BETWEEN)
                await asyncio.to_thread(server.restart, "immediate")
            await load.more(BETWEEN)
            load.stopped = True
        rows = await front.list(limit=100_000)
        report = await front.verify()
    assert caplog.text.count("the owner lock was lost") == RESTARTS
    assert len(load.results) >= (RESTARTS + 1) * BETWEEN
    assert load.results == dict.fromkeys(load.acknowledged, RESULT)
    assert {row.execution_key for row in rows} == {str(number) for number in load.acknowledged}
    assert {row.status for row in rows} == {Status.COMPLETED.label}
    assert report.executions == len(rows) == len(load.acknowledged)
    happened = Counter(ledger.lines())
    for number in load.acknowledged:
        assert (happened[f"charge {number}"], happened[f"notify {number}"]) == (1, 1)
