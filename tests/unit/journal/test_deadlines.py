"""One timer ends the waits of all acknowledged appends, each at its own time."""

from __future__ import annotations

import asyncio

import pytest

from durable_core.errors import CommitOutcomeUnknown
from durable_core.journal.deadlines import Deadlines

LIMIT_MS = 30


def future() -> asyncio.Future[int]:
    return asyncio.get_running_loop().create_future()


def spend(seconds: float) -> None:
    """Let time pass while the loop can do nothing."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        pass


async def test_inv_12_each_wait_ends_at_its_own_limit() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(LIMIT_MS)
    first, second = future(), future()
    deadlines.watch(first)
    spend(LIMIT_MS / 2000)
    began = loop.time()
    deadlines.watch(second)
    with pytest.raises(CommitOutcomeUnknown, match=f"{LIMIT_MS} ms"):
        await first
    with pytest.raises(CommitOutcomeUnknown):
        await second
    assert loop.time() - began >= LIMIT_MS / 1000


async def test_what_was_acknowledged_or_given_up_keeps_its_own_outcome() -> None:
    deadlines = Deadlines(LIMIT_MS)
    acknowledged, given_up, late = future(), future(), future()
    for each in (acknowledged, given_up, late):
        deadlines.watch(each)
    acknowledged.set_result(7)
    given_up.cancel()
    with pytest.raises(CommitOutcomeUnknown):
        await late
    assert acknowledged.result() == 7
    assert given_up.cancelled()


async def test_a_wait_of_which_a_part_is_over_ends_at_its_own_deadline() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(60_000)
    acknowledged, late = future(), future()
    for each in (acknowledged, late):
        deadlines.watch_until(loop.time() + LIMIT_MS / 1000, each)
    acknowledged.set_result(7)
    with pytest.raises(CommitOutcomeUnknown, match="60000 ms"):
        await late
    assert acknowledged.result() == 7


async def test_a_wait_after_an_idle_time_is_watched_again() -> None:
    deadlines = Deadlines(LIMIT_MS)
    for _ in range(2):
        waiting = future()
        deadlines.watch(waiting)
        with pytest.raises(CommitOutcomeUnknown):
            await waiting


async def test_what_is_done_is_forgotten_before_its_limit() -> None:
    deadlines = Deadlines(60_000)
    for number in range(1000):
        waiting = future()
        deadlines.watch(waiting)
        waiting.set_result(number)
    assert len(deadlines._waiting) == 1
    deadlines.cancel()


async def test_nothing_is_watched_after_a_cancel() -> None:
    deadlines = Deadlines(1)
    waiting, other = future(), future()
    deadlines.watch(waiting)
    deadlines.cancel()
    deadlines.cancel()
    Deadlines(LIMIT_MS).watch(other)
    with pytest.raises(CommitOutcomeUnknown):
        await other
    assert not waiting.done()
