"""`ctx.sleep` and `ctx.sleep_until`: a wait whose due time is journaled (EC-37).

The due time that the journal holds counts, in whichever run, and a timer whose time came while
nothing ran fires at once. A wait that the workflow cancels is closed like a cancelled step.
"""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import define, field

from durable_core.engine.outcome import CANCELLED
from durable_core.engine.perform import called_or, look_up
from durable_core.engine.recorded import cancelled_again
from durable_core.engine.replaying import NOT_AT_HAND, closed_at_hand
from durable_core.errors import ConfigError
from durable_core.ids import StepId
from durable_core.model.entries import EntryKind, StepFailure, TimerArmed, TimerFired
from durable_core.replay.detail import detail_prefix, encode_detail
from durable_core.replay.lookup import Armed, Found, Recorded
from durable_core.replay.waits import WantedTimer
from durable_core.wire.fingerprint import call_key, wait_fingerprint
from durable_core.wire.waits import LATEST_MS, Timer, fired_detail

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from durable_core.engine.run import Run

__all__ = ["SLEEP", "Wait", "delay_ms", "due_time", "sleep"]

SLEEP: Final = "durable.sleep"

_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = _EPOCH + LATEST_MS * _MILLISECOND


@define(eq=False)
class Wait:
    """One place at which the workflow waits for a time, alone or beside something else.

    Never changed.
    """

    run: Run = field(repr=False)
    wanted: WantedTimer
    _key_prefix: bytes
    _occurrence: int

    @classmethod
    def take(cls, run: Run, name: str) -> Wait:
        """Take the next place; the wait is called `name` in accounts of a divergence."""
        step_id, branch = run.take_place(name)
        fingerprint = wait_fingerprint(run.lane.envelope.keys, name)
        wanted = WantedTimer.make(step_id, name, fingerprint, branch.next_timer())
        return cls(run, wanted, *branch.key_of_wait(fingerprint))

    @property
    def idem_key(self) -> bytes:
        """The idempotency key, for the entry of a wait that was cancelled."""
        return call_key(self._key_prefix, self.wanted.fingerprint, self._occurrence)

    @property
    def timer_id(self) -> str:
        """What the entries and the look-up table call it."""
        return self.wanted.timer_id

    async def arm(
        self, found: Found, due_at: int, *, in_turn: bool = False
    ) -> asyncio.Future[None]:
        """The future of its due time: the stored one where there is one, else `due_at` from now on.

        What is armed now is journaled promptly, together with all that was issued before; at once
        where the caller is `in_turn`, as `Run.journal` says. Raises `CancelledError` where the
        workflow cancelled while that waited for room.
        """
        run = self.run
        if isinstance(found, Armed):
            due_at = Timer.decode(found.row.detail).due_at
        else:
            earlier = run.cursor.prior.due_time(self.timer_id)
            due_at = due_at if earlier is None else earlier
            due_at = min(due_at, LATEST_MS)
            detail = Timer(self.timer_id, due_at).detail()
            cancelled = await run.journal(
                TimerArmed(run.execution_id, run.generation, StepId(self.wanted.step_id), detail),
                prompt=True,
                in_turn=in_turn,
            )
            run.parts.failpoints.reach("engine.timer.armed")
            if cancelled:
                raise asyncio.CancelledError
        return run.parts.timers.at(due_at)

    async def fire(self) -> None:
        """Journal that its time has come; told in the order of the journal."""
        run = self.run
        run.parts.failpoints.reach("engine.timer.due")
        await run.complete(self._fired())
        run.parts.failpoints.reach("engine.timer.fired")

    async def fire_unless(self, too_late: Callable[[], bool]) -> bool:
        """`fire`, unless `too_late()` in the instant in which it would be; whether it was done."""
        run = self.run
        await run.room()
        if too_late():
            return False
        run.parts.failpoints.reach("engine.timer.due")
        place, committed = run.submit(self._fired())
        await run.activity.outlast(committed)
        committed.result()
        run.parts.failpoints.reach("engine.timer.fired")
        await run.told(place)
        return True

    async def note_cancelled(self, *, in_turn: bool = False) -> None:
        """Journal that the workflow cancelled the wait, unless its run has ended; told in order.

        At once where the caller is `in_turn`, as `Run.journal` says.
        """
        run, wanted = self.run, self.wanted
        if not run.ended:
            await run.complete(
                StepFailure(
                    run.execution_id,
                    run.generation,
                    StepId(wanted.step_id),
                    wanted.fingerprint,
                    self.idem_key,
                    wanted.effect,
                    CANCELLED.encode(),
                    encode_detail(detail_prefix(wanted.name), b"", 0, 0),
                ),
                in_turn=in_turn,
            )

    def _fired(self) -> TimerFired:
        run = self.run
        detail = fired_detail(self.timer_id)
        return TimerFired(run.execution_id, run.generation, StepId(self.wanted.step_id), detail)


def sleep(run: Run, due_at: int | None, delay_ms: int = 0) -> Coroutine[object, object, None]:
    """Take a place now; the coroutine waits until `due_at`, or `delay_ms` from when it begins."""
    wait = Wait.take(run, SLEEP)
    step_id = wait.wanted.step_id
    return called_or(run, step_id, partial(_fired, run, wait), _sleep, wait, due_at, delay_ms)


def _fired(run: Run, wait: Wait) -> object:
    return NOT_AT_HAND if closed_at_hand(run, wait.wanted) is None else None


async def _sleep(run: Run, wait: Wait, due_at: int | None, delay_ms: int) -> None:
    found, cancelled = await look_up(run, wait.wanted)
    if isinstance(found, Recorded):
        if found.row.entry_kind == EntryKind.STEP_FAILED:
            await cancelled_again(cancelled=cancelled)
        return
    if cancelled:
        await wait.note_cancelled()
        raise asyncio.CancelledError
    now = run.parts.clock.now_ms()
    timer = None
    try:
        timer = await wait.arm(found, now + delay_ms if due_at is None else due_at)
        run.commit_prompt_results()
        async with run.waiting():
            await timer
    except asyncio.CancelledError:
        await wait.note_cancelled()
        raise
    finally:
        if timer is not None:
            timer.cancel()  # the run may be closed here
    if run.ended:
        await run.halted()
    await wait.fire()


def delay_ms(run: Run, delta: object) -> int:
    """A span of time in milliseconds, zero or more; `ConfigError` for anything else.

    Also for one that would end beyond the year 9999, reckoned from when the execution began, so
    that every run of it says the same.
    """
    seconds = delta.total_seconds() if isinstance(delta, timedelta) else delta
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        message = f"a time to wait is a number of seconds or a timedelta, not {_kind(delta)}"
        raise ConfigError(message)
    if not 0 <= seconds <= (LATEST_MS - run.lane.row.created_at) / 1000:
        message = "a time to wait is zero or more seconds, and ends before the year 10000"
        raise ConfigError(message)
    return math.ceil(seconds * 1000)


def due_time(run: Run, when: object) -> int:
    """A point in time in milliseconds since 1970 UTC; `ConfigError` for one that cannot be meant.

    A time that has passed is none of these, since it may have passed while nothing ran; but one
    before the execution began is.
    """
    if not isinstance(when, datetime) or when.utcoffset() is None:
        message = f"a point in time is a datetime with a time zone, not {_kind(when)}"
        raise ConfigError(message)
    due_at = -((_EPOCH - when) // _MILLISECOND)
    if due_at < run.lane.row.created_at:
        message = "a point in time to wait for lies before the execution began; check its date"
        raise ConfigError(message)
    if when - _LATEST >= _MILLISECOND:
        message = "a point in time to wait for lies beyond the year 9999 (UTC); check its date"
        raise ConfigError(message)
    return due_at


def _kind(given: object) -> str:
    return "one without" if isinstance(given, datetime) else type(given).__name__
