"""Two workers, of which one was stopped and lost its work to the other before it woke up (EC-29).

In each round a worker is stopped with SIGSTOP while one of its executions is at a random place, and
the others are anywhere. An operator takes what it was running away with `durable claim --force`, a
second worker goes on with it, and then the first one is woken with SIGCONT. Nothing that it still
sends may be committed, and no guarded effect under FAIL or SKIP happens twice.
"""

from __future__ import annotations

import asyncio
import random
import re
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define

from durable_core import DurableEngine, ExecutionHandle
from durable_core.errors import (
    AmbiguousEffect,
    ExecutionLocked,
    ExecutionTerminal,
    TransientStoreError,
)
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow, Status
from tests.engines import OpenEngine
from tests.forked import run
from tests.sharing.worker import EVENTS, GUARDED, Ledger, program_of
from tests.unit.engine.processes import Child, child

pytestmark = [pytest.mark.dialects, pytest.mark.timeout(1500)]

ROUNDS: Final = 10
SEEDS: Final = (29, 30, 31, 32, 33)
"""Fifty rounds, in parts that can run beside each other: they wait more than they work."""

AT_ONCE: Final = 3
WORKER: Final = Path(__file__).with_name("worker.py")
REFUSALS: Final = "another connection holds|is completed already|changed at that moment"
EVERY: Final = 8
"""Each eighth execution is taken with the command itself, in a process of its own."""


@define
class Trial:
    """The journal, the worker that is stopped again and again, and what is counted.

    The `operator` is another engine, which does not wait long for a lock that a stopped process
    holds.
    """

    url: str
    key: str
    engine: DurableEngine
    operator: DurableEngine
    worker: Child
    owner: str
    ledger: Ledger
    rng: random.Random
    taken: int = 0
    blocked: int = 0
    skipped: int = 0
    commands: int = 0

    async def running(self) -> list[ExecutionRow]:
        """What the worker owns and has not ended."""
        rows = await self.engine.list(status="running", limit=1000)
        return [row for row in rows if row.owner_id == self.owner]

    async def claim(self, row: ExecutionRow) -> bool:
        """`durable claim --force` in a process of its own; whether it could."""
        command = ("-m", "durable_cli", "claim", "--force", str(uuid.UUID(bytes=row.execution_id)))
        environment = {"DURABLE_KEY": self.key, "PATH": "/usr/bin:/bin"}
        ended = await asyncio.to_thread(run, [*command, "--url", self.url], environment)
        assert ended.returncode == 0 or re.search(REFUSALS, ended.stderr), ended.stderr
        return ended.returncode == 0

    async def start(self, numbers: range) -> list[ExecutionHandle[Any]]:
        """Executions for the worker, which is stopped at a random place in one of them.

        That one cannot end before SIGSTOP comes; how far the others come, nobody knows.
        """
        place = self.rng.choice(numbers), self.rng.randint(1, EVENTS)
        self.worker.hear("hold {} {}".format(*place))
        await self.worker.says("holding")
        program = program_of(self.ledger)
        handles = [await self.engine.start(program, each, run="anywhere") for each in numbers]
        await self.worker.says("held")
        self.worker.stop()
        return handles

    async def take(self, row: ExecutionRow) -> bool:
        """By the command where it has its turn, otherwise as the command does."""
        self.commands -= 1
        if self.commands % EVERY == 0:
            return await self.claim(row)
        try:
            await self.operator.release(uuid.UUID(bytes=row.execution_id), force=True)
        except (TransientStoreError, ExecutionTerminal, ExecutionLocked):
            return False  # it was stopped in the act, or its last commit landed meanwhile
        return True

    async def take_all(self) -> set[bytes]:
        """Take away whatever it runs.

        A process that is stopped within a transaction of SQLite keeps everybody from writing. Then
        it is woken until somebody else can commit, and stopped again.
        """
        taken: set[bytes] = set()
        while rows := await self.running():
            if await self.take(rows[0]):
                taken.add(rows[0].execution_id)
                continue
            self.worker.wake()
            while not await self.can_commit():
                pass  # each try waits for the lock by itself
            self.worker.stop()
        return taken

    async def can_commit(self) -> bool:
        """Whether somebody beside the worker had the lock."""
        try:
            await self.operator.parts.backend.probe()
        except TransientStoreError:
            return False
        return True

    async def entries(self, ids: set[bytes]) -> dict[bytes, list[JournalRow]]:
        journal = self.engine.parts.backend.journal
        return {one: await journal.read_execution(one) for one in ids}

    async def wake(self) -> None:
        """SIGCONT; at return nothing runs in the worker."""
        self.worker.wake()
        self.worker.hear()
        await self.worker.says("idle")


@asynccontextmanager
async def trial_on(
    url: str, key: str, folder: Path, open_engine: OpenEngine, seed: int
) -> AsyncIterator[Trial]:
    ledger = Ledger(str(folder / "ledger"))
    async with (
        open_engine() as engine,
        open_engine(journal_ack_timeout_ms=400) as operator,
        child("work", url, ledger.path, AT_ONCE, program=WORKER) as worker,
    ):
        owner = await worker.says("open")
        rng = random.Random(seed)
        yield Trial(url, key, engine, operator, worker, owner, ledger, rng)


@pytest.mark.parametrize("seed", SEEDS)
async def test_ec_29_no_stale_entry_and_no_second_effect(
    open_engine: OpenEngine, url: str, key: str, tmp_path: Path, seed: int
) -> None:
    async with trial_on(url, key, tmp_path, open_engine, seed) as trial:
        for number in range(ROUNDS):
            await play(trial, open_engine, number)
        await trial.engine.verify()
    happened = Counter(trial.ledger.lines())
    twice = [line for line, count in happened.items() if count > 1 and is_guarded(line)]
    assert twice == []
    assert trial.taken >= ROUNDS
    assert trial.blocked + trial.skipped > 0, "some were stopped between an intent and its result"


async def play(trial: Trial, open_engine: OpenEngine, number: int) -> None:
    """One round; the second worker begins before the first one is woken, or after."""
    program = program_of(trial.ledger)
    numbers = range(number * AT_ONCE, (number + 1) * AT_ONCE)
    handles = await trial.start(numbers)
    taken = await trial.take_all()
    trial.taken += len(taken)
    if trial.rng.random() < 1 / 2:
        await trial.wake()
    async with open_engine(program, claim=True) as second:
        seen = [await second.get(handle.id) for handle in handles]
        ended = await asyncio.gather(*(outcome(handle) for handle in seen))
    before = await trial.entries(taken)
    await trial.wake()
    assert await trial.entries(taken) == before
    happened = Counter(trial.ledger.lines())
    for each, result in zip(numbers, ended, strict=True):
        if result is None:
            trial.blocked += 1
            continue
        assert [*result[:2], result[3]] == ["note", "charge", "note"]
        assert happened[f"charge {each}"] == 1
        assert result[2] in {"notify", None}
        trial.skipped += result[2] is None


async def outcome(handle: ExecutionHandle[Any]) -> list[str | None] | None:
    """The result; None where it is blocked by its charge."""
    try:
        result: list[str | None] = await handle.result()
    except AmbiguousEffect:
        assert await handle.status() is Status.BLOCKED
        return None
    return result


def is_guarded(line: str) -> bool:
    return line.split(maxsplit=1)[0] in GUARDED
