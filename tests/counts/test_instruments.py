"""What counts, counts right: each instrument beside something that is known."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from durable_core.engine.eager import start_at_once
from durable_core.wire.keys import ExecutionKeys
from tests.counts.calls import Calls
from tests.counts.loops import CountingLoop, run_counted
from tests.counts.syncs import counted_syncs
from tests.counts.writeahead import commits_in


@pytest.mark.parametrize(("synchronous", "of_each"), [("FULL", 1), ("NORMAL", 0)])
def test_syncs_and_commits_are_those_of_sqlite(
    synchronous: str, of_each: int, tmp_path: Path
) -> None:
    path = tmp_path / "plain.db"
    with counted_syncs() as syncs, closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("PRAGMA journal_mode = WAL")
        plain.execute(f"PRAGMA synchronous = {synchronous}")
        plain.execute("CREATE TABLE numbers (number)")
        before, committed = syncs.of.copy(), commits_in(path)
        for number in range(3):
            plain.execute("INSERT INTO numbers VALUES (?)", (number,))
        plain.execute("BEGIN")
        plain.execute("INSERT INTO numbers VALUES (4), (5)")
        plain.execute("COMMIT")
        plain.execute("BEGIN")
        plain.execute("INSERT INTO numbers VALUES (6)")
        plain.execute("ROLLBACK")
        assert commits_in(path) - committed == 4
        assert syncs.of - before == ({"plain.db-wal": 4} if of_each else {})
    total = syncs.total
    with closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("PRAGMA synchronous = FULL")
        plain.execute("INSERT INTO numbers VALUES (7)")
    assert syncs.total == total, "behind the block nothing is counted"


def answered_by_a_thread(loop: CountingLoop) -> asyncio.Future[None]:
    """A future whose answer a thread has handed over by now."""
    future = loop.create_future()
    thread = Thread(target=loop.call_soon_threadsafe, args=(future.set_result, None))
    thread.start()
    thread.join()
    return future


def test_turns_are_those_of_the_loop() -> None:
    async def work(loop: CountingLoop) -> None:
        before = loop.turns
        for _ in range(5):
            await asyncio.sleep(0)
        assert loop.turns - before == 5
        await answered_by_a_thread(loop)
        assert loop.turns - before == 7, "one has the answer, in the next one its task goes on"
        assert loop.hops == 1

    run_counted(work)


def test_tasks_are_counted_however_they_are_made() -> None:
    async def work(loop: CountingLoop) -> None:
        before = loop.tasks
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))
        await asyncio.create_task(asyncio.sleep(0))
        await asyncio.Task(asyncio.sleep(0), loop=loop)
        task, returned = start_at_once(asyncio.sleep(0, "value"), "name")
        assert returned is None
        assert await task == "value"
        assert loop.tasks - before == 6

    run_counted(work)


def test_an_answer_waits_until_the_loop_has_nothing_else_to_do() -> None:
    async def work(loop: CountingLoop) -> None:
        answered = answered_by_a_thread(loop)
        for _ in range(100):
            await asyncio.sleep(0)
            assert not answered.done()
        await answered

    run_counted(work)


def test_no_timer_fires_and_who_waits_for_one_hears_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.counts.loops._LONGEST_S", 0.0)

    async def work(_: CountingLoop) -> None:
        await asyncio.sleep(0.001)

    with pytest.raises(RuntimeError, match="only a timer would go on"):
        run_counted(work)


def test_hashes_are_counted_by_what_they_are_for() -> None:
    keys = ExecutionKeys(1, bytes(32), bytes(32), bytes(32))
    hashed: Callable[[bytes], bytes] = keys.fingerprint
    with Calls() as calls:
        hashed(b"one")
        hashed(b"two")
        hashlib.blake2b(b"not ours").digest()
    assert calls.hashes["fingerprint hashes"] == 2
    assert calls.of == {"durable_core.wire.keys.ExecutionKeys.fingerprint": 2}
    before = calls.total
    hashed(b"three")
    assert calls.total == before, "behind the block nothing is counted"
