"""Buffered appends are committed when their interval is over, and not sooner for no reason."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import pytest

from durable_core.journal.batching import Pending
from durable_core.journal.intake import Intake
from durable_core.journal.settings import WriterSettings
from durable_core.journal.urgency import Urgency

SETTINGS = WriterSettings(flush_interval_ms=40, prompt_interval_ms=20)
SECONDS = {False: 0.04, True: 0.02}


def spend(seconds: float) -> None:
    """Let time pass while the loop can do nothing."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        pass


def offer(intake: Intake, urgency: Urgency, *, prompt: bool = False) -> None:
    intake.put(cast("Pending", SimpleNamespace(future=None, settled=False)))
    urgency.arm(prompt=prompt)


async def urged(intake: Intake) -> float:
    """Wait until something is urgent; when that was."""
    intake.wanted.clear()
    await intake.wanted.wait()
    return asyncio.get_running_loop().time()


@contextmanager
def urging_before(intake: Intake, moment: float) -> Iterator[None]:
    """Demand that something becomes urgent ahead of a timer of the loop that is set for `moment`.

    However late a slow machine is, it comes to its timers in their order.
    """
    order: list[str] = []

    class Watched(asyncio.Event):
        def set(self) -> None:
            order.append("urged")
            super().set()

    intake.wanted = Watched()
    timer = asyncio.get_running_loop().call_at(moment, order.append, "too late")
    yield
    timer.cancel()
    assert order[:1] == ["urged"]


@pytest.mark.parametrize("prompt", [False, True])
async def test_the_oldest_append_decides_when_all_are_committed(*, prompt: bool) -> None:
    intake = Intake(SETTINGS)
    urgency = Urgency(SETTINGS, intake)
    began = asyncio.get_running_loop().time()
    offer(intake, urgency, prompt=prompt)
    spend(SECONDS[prompt] / 2)
    offer(intake, urgency, prompt=prompt)
    with urging_before(intake, began + SECONDS[prompt] * 1.5):
        assert await urged(intake) - began >= SECONDS[prompt]
    assert intake.urgent == intake.accepted


async def test_an_append_behind_one_that_was_taken_along_has_its_whole_interval() -> None:
    intake = Intake(SETTINGS)
    urgency = Urgency(SETTINGS, intake)
    offer(intake, urgency, prompt=True)
    intake.urge(intake.accepted)
    spend(SECONDS[True] / 2)
    began = asyncio.get_running_loop().time()
    offer(intake, urgency, prompt=True)
    assert await urged(intake) - began >= SECONDS[True]


@pytest.mark.parametrize("prompt", [False, True])
async def test_an_append_that_a_batch_left_behind_is_not_forgotten(*, prompt: bool) -> None:
    """The batch took the oldest along, since it was there already, and not the one behind it."""
    intake = Intake(SETTINGS)
    urgency = Urgency(SETTINGS, intake)
    began = asyncio.get_running_loop().time()
    offer(intake, urgency, prompt=prompt)
    (taken,) = intake.take(1)
    offer(intake, urgency, prompt=prompt)
    intake.settle(taken)
    assert (intake.settled, intake.urgent, len(intake)) == (1, 0, 1)
    with urging_before(intake, began + SECONDS[prompt] * 1.5):
        await urged(intake)
    assert intake.urgent == intake.accepted


async def test_nothing_is_urged_when_all_was_taken_along() -> None:
    intake = Intake(SETTINGS)
    urgency = Urgency(SETTINGS, intake)
    offer(intake, urgency, prompt=True)
    intake.urge(intake.accepted)
    offer(intake, urgency)
    moment = await urged(intake)
    assert intake.urgent == 2
    assert urgency._timers[True]._handle is None
    assert moment


async def test_a_prompt_append_does_not_wait_for_an_ordinary_one() -> None:
    intake = Intake(SETTINGS)
    urgency = Urgency(SETTINGS, intake)
    began = asyncio.get_running_loop().time()
    offer(intake, urgency)
    offer(intake, urgency, prompt=True)
    assert await urged(intake) - began < SECONDS[False]


async def test_after_a_cancel_no_timer_is_left() -> None:
    intake = Intake(SETTINGS)
    urgency = Urgency(SETTINGS, intake)
    urgency.cancel()
    offer(intake, urgency)
    offer(intake, urgency, prompt=True)
    urgency.cancel()
    assert urgency._timers[False]._handle is None
    assert urgency._timers[True]._handle is None


async def test_while_the_commit_loop_is_at_work_no_timer_is_set() -> None:
    intake = Intake(SETTINGS)
    urgency = Urgency(SETTINGS, intake)
    urgency.at_work()
    offer(intake, urgency, prompt=True)
    offer(intake, urgency)
    intake.urge(intake.accepted)
    urgency.at_rest()
    assert [timer._handle for timer in urgency._timers] == [None, None]


@pytest.mark.parametrize("prompt", [False, True])
async def test_what_the_commit_loop_leaves_is_committed_when_its_interval_is_over(
    *, prompt: bool
) -> None:
    intake = Intake(SETTINGS)
    urgency = Urgency(SETTINGS, intake)
    urgency.at_work()
    began = asyncio.get_running_loop().time()
    offer(intake, urgency, prompt=prompt)
    spend(SECONDS[prompt] / 2)
    urgency.at_rest()
    with urging_before(intake, began + SECONDS[prompt] * 1.5):
        assert await urged(intake) - began >= SECONDS[prompt]
    assert intake.urgent == intake.accepted
