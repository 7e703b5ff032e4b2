"""What a batch meets in a file: foreign keys, locks, full disks."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from durable_core.contracts import CommitBatch
from durable_core.errors import EntryRejected, JournalUnavailable, TransientStoreError
from durable_core.storage.answers import Answer
from durable_core.storage.turns import Turns
from durable_sqlite import LocalBackend

if TYPE_CHECKING:
    from conftest import Opener

    from durable_core.conformance.rows import Rows


async def test_a_row_without_its_execution_is_refused(backend: LocalBackend, rows: Rows) -> None:
    """No writer makes such a batch; the foreign key holds all the same."""
    with pytest.raises(EntryRejected):
        await backend.journal.append(CommitBatch((), (), (rows.entry(1, 1),)))
    assert await backend.strays() == []


async def test_a_busy_database_is_worth_a_retry(opener: Opener, rows: Rows) -> None:
    backend = await opener(ack_timeout_ms=100)
    await backend.journal.append(rows.start(1))
    with closing(sqlite3.connect(opener.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for work in (backend.journal.append(rows.advance(2, 1)), backend.probe()):
            with pytest.raises(TransientStoreError) as caught:
                await work
            assert not caught.value.landed_unknown
        assert len(await backend.journal.read_execution(rows.execution_id(1))) == 1
        other.execute("COMMIT")
    outcome = await backend.journal.append(rows.advance(2, 1))
    assert list(outcome.seqs) == [2]


async def test_a_full_database_says_what_to_do_and_recovers(
    backend: LocalBackend,
    opener: Opener,
    rows: Rows,
) -> None:
    await backend.journal.append(rows.start(1))
    used = await backend._writer.call(
        lambda connection: connection.execute("PRAGMA page_count").fetchone()[0],
    )
    await _limit_pages(backend, used)
    big = CommitBatch((), (rows.change(1, 2),), (rows.entry(1, 2, payload=b"s" * 100_000),))
    with pytest.raises(JournalUnavailable, match="free disk space") as caught:
        await backend.journal.append(big)
    assert str(opener.path) in str(caught.value)
    assert await backend.load(rows.execution_id(1)) == rows.execution(1)
    await _limit_pages(backend, 1_000_000)
    await backend.probe()
    assert list((await backend.journal.append(big)).seqs) == [2]


async def test_a_full_disk_loses_nothing_that_was_acknowledged(
    opener: Opener,
    child: Any,
) -> None:
    """A child meets a real limit on file sizes, whose errors are those of a full disk."""
    process = child("fill", opener.url)
    out, err = await asyncio.to_thread(process.communicate)
    first, second, intact = out.splitlines()
    assert not err
    assert first.startswith("JournalUnavailable: cannot use sqlite:///")
    assert "free" in first
    assert second == "JournalUnavailable"
    assert intact == "True"


async def test_a_cancelled_caller_stops_nothing(opener: Opener, rows: Rows) -> None:
    backend = await opener()
    await backend.journal.append(rows.start(1))
    with closing(sqlite3.connect(opener.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        appending = asyncio.ensure_future(backend.journal.append(rows.advance(2, 1)))
        await asyncio.sleep(0)
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
        other.execute("COMMIT")
    (head,) = await backend.heads([rows.execution_id(1)])
    assert head.entry_count == 2
    assert list((await backend.journal.append(rows.advance(3, 1))).seqs) == [3]


@pytest.mark.parametrize(("size", "times"), [(31, 0), (32, 1)])
async def test_of_a_large_batch_the_event_loop_is_told_when_it_has_time(
    backend: LocalBackend, rows: Rows, size: int, times: int
) -> None:
    await backend.journal.append(rows.start(1))
    done: list[threading.Thread] = []
    entries = tuple(rows.entry(1, number) for number in range(2, size + 2))
    batch = CommitBatch(
        (),
        (rows.change(1, size + 1, expected_count=1),),
        entries,
        meanwhile=lambda: done.append(threading.current_thread()),
    )
    outcome = await backend.journal.append(batch)
    assert list(outcome.seqs) == list(range(2, size + 2))
    assert done == [threading.current_thread()] * times


async def test_a_job_that_does_not_begin_holds_nobody_up(backend: LocalBackend) -> None:
    turns = Turns(asyncio.get_running_loop(), None)
    done = threading.Event()
    waiting = asyncio.create_task(backend._writer.call(lambda _: done.wait(), turns))
    await asyncio.sleep(0)
    assert not waiting.done()
    done.set()
    assert await waiting


async def test_with_the_first_long_statement_the_event_loop_goes_on_with_the_second_ahead() -> None:
    ahead: list[int] = []
    turns = Turns(asyncio.get_running_loop(), lambda: ahead.append(1))
    for rows, free, times in ((31, False, 0), (32, True, 0), (31, False, 0), (32, False, 1)):
        turns.give(rows)
        assert turns._begun.acquire(blocking=False) is free
        await asyncio.sleep(0)
        assert len(ahead) == times
    turns.give(32)
    await asyncio.sleep(0)
    assert len(ahead) == 1


def test_a_turn_for_an_event_loop_that_is_closed_fails_no_batch() -> None:
    loop, done = asyncio.new_event_loop(), list[str]()
    turns = Turns(loop, lambda: done.append("ahead"))
    loop.close()
    turns.give(32)
    turns.give(32)
    assert done == []


async def _limit_pages(backend: LocalBackend, pages: int) -> None:
    await backend._writer.call(
        lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone(),
    )


async def test_an_outcome_is_told_once_before_it_is_returned(
    backend: LocalBackend, rows: Rows
) -> None:
    order: list[object] = []
    batch = evolve(rows.start(1), told=order.append)
    appending = asyncio.create_task(backend.journal.append(batch))
    appending.add_done_callback(lambda _: order.append("returned"))
    outcome = await appending
    await asyncio.sleep(0)
    assert order == [outcome, "returned"]
    again = await backend.journal.append(evolve(rows.advance(3, 1), told=order.append))
    assert again.unmatched
    assert order[2:] == [again]


async def test_of_trouble_and_behind_a_cancelled_caller_nothing_is_told(
    backend: LocalBackend, rows: Rows
) -> None:
    told: list[object] = []
    with pytest.raises(EntryRejected):
        await backend.journal.append(CommitBatch((), (), (rows.entry(1, 1),), told=told.append))
    begun = threading.Event()
    ended = asyncio.create_task(backend._writer.call(lambda _: begun.wait()))
    cancelled = asyncio.create_task(backend.journal.append(evolve(rows.start(1), told=told.append)))
    await asyncio.sleep(0)
    cancelled.cancel()
    begun.set()
    assert await ended
    assert list((await backend.journal.append(rows.advance(2, 1))).seqs) == [2]
    assert told == []


async def test_who_waits_is_woken_although_the_telling_fails() -> None:
    loop = asyncio.get_running_loop()
    answer: Answer[int] = Answer(lambda _: 1 / 0, loop)
    with pytest.raises(ZeroDivisionError):
        answer.set_result(7)
    assert await answer == 7
