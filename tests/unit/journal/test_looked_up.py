"""Entries of promises and timers without an engine: refused when offered, or kept to be found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from durable_core.errors import ConfigError, EntryRejected
from durable_core.ids import NO_STEP, StepId
from durable_core.journal import Health
from durable_core.model.entries import (
    Entry,
    PromiseCreated,
    PromiseResolved,
    TimerArmed,
    TimerFired,
)
from durable_core.wire.promises import promise_id, signal_id
from durable_core.wire.waits import CreatedPromise, Signal, Timer, fired_detail, resolved_detail
from tests.journals import begun, fresh_id, opened, result_of, wire_format, writing

Make = Callable[..., Entry]

EXECUTION = fresh_id()
PROMISE = promise_id(EXECUTION.bytes, "", "approval", 0).bytes
SIGNAL = Signal(signal_id(EXECUTION.bytes, "number", 0).bytes, "number", b"request")
CREATED = CreatedPromise(PROMISE, "approval").detail()
RESOLVED = resolved_detail(PROMISE)
ARMED = Timer("t0", 7).detail()
FIRED = fired_detail("t0")
SECRET = b"secret-text"
NO_DETAIL = [b"", b"\xf6", b"\xff", b"\x81", b"\x80", SECRET, b"\x82\x01\x02"]


def created(detail: bytes = CREATED) -> Entry:
    return PromiseCreated(EXECUTION, 0, StepId("0"), detail)


def resolved(detail: bytes = RESOLVED) -> Entry:
    return PromiseResolved(EXECUTION, 0, NO_STEP, detail, b"\x00\xf6")


def armed(detail: bytes = ARMED) -> Entry:
    return TimerArmed(EXECUTION, 0, StepId("1"), detail)


def fired(detail: bytes = FIRED) -> Entry:
    return TimerFired(EXECUTION, 0, StepId("1"), detail)


@pytest.mark.parametrize("make", [created, resolved])
async def test_a_promise_without_a_key_is_refused_to_its_caller_and_harms_nobody(
    url: str, make: Make
) -> None:
    async with opened(url) as backend, writing(backend, wire_format(None)) as journal:
        await begun(journal, EXECUTION)
        with pytest.raises(ConfigError, match="a promise needs a key"):
            journal.append_buffered(make())
        with pytest.raises(ConfigError, match="a promise needs a key"):
            await journal.append_acked(make())
        await journal.append_acked(armed())
        await journal.append_acked(resolved(SIGNAL.detail()))
        await journal.append_acked(result_of(EXECUTION, 2))
        assert journal.health().state is Health.HEALTHY
        assert (journal.health().restarts, journal.health().failed) == (0, 0)
        assert await backend.promises_of(EXECUTION.bytes) == []


@pytest.mark.parametrize("make", [created, resolved, armed, fired])
async def test_a_detail_that_says_nothing_is_refused_to_its_caller_and_harms_nobody(
    url: str, make: Make
) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        await begun(journal, EXECUTION)
        for detail in NO_DETAIL:
            with pytest.raises(EntryRejected, match="does not follow the format") as caught:
                journal.append_buffered(make(detail))
            assert SECRET.decode() not in str(caught.value)
            with pytest.raises(EntryRejected, match="nothing was written"):
                await journal.append_acked(make(detail))
        await journal.append_acked(result_of(EXECUTION, 2))
        assert len(await backend.journal.read_execution(EXECUTION.bytes)) == 2
        assert (journal.health().restarts, journal.health().failed) == (0, 0)


async def test_what_is_whole_is_found_in_the_tables(url: str) -> None:
    """All in one batch, and then each by itself."""
    async with opened(url) as backend, writing(backend) as journal:
        await begun(journal, EXECUTION)
        for make in (created, resolved, armed, fired, armed):
            assert journal.append_buffered(make())
        await journal.flush()
        (promise,) = await backend.promises_of(EXECUTION.bytes)
        assert (promise.promise_id, promise.name) == (PROMISE, "approval")
        assert promise.outcome is not None
        (timer,) = await backend.timers_of(EXECUTION.bytes)
        assert (timer.timer_id, timer.due_at) == ("t0", 7)
        await journal.append_acked(fired())
        assert await backend.timers_of(EXECUTION.bytes) == []
