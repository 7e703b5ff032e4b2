"""The commit loop and its supervisor: the one task that carries appends into the database.

Group commit is natural: what arrives while a commit is under way is the next batch. Carries INV-12
(supervision, fail-stop, a restart that goes on from what is stored) and INV-17.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Final

from durable_core.clock import Clock
from durable_core.contracts.backend import ExecutionBackend
from durable_core.errors import DurableError, EntryRejected, JournalUnavailable, KeyTaken
from durable_core.journal.batching import Pending, form
from durable_core.journal.committing import Committer, StoreFailure
from durable_core.journal.intake import Intake
from durable_core.journal.lane import Lane
from durable_core.journal.losses import Losses
from durable_core.journal.settings import Health, WriterSettings
from durable_core.telemetry import Recorder

__all__ = ["Actor"]

_LOG: Final = logging.getLogger("durable_core.journal")
_CRASHES_BEFORE_DEATH: Final = 3
_FIRST_PROBE: Final = 0.05
_LONGEST_PROBE: Final = 1.0
_METRIC: Final = "durable.journal.writer."


class Actor:
    """Takes batches from the intake, commits them, and settles every append in them."""

    def __init__(
        self,
        backend: ExecutionBackend,
        settings: WriterSettings,
        intake: Intake,
        losses: Losses,
        clock: Clock,
        metrics: Recorder,
    ) -> None:
        self.state = Health.CLOSED
        self.down: JournalUnavailable | None = None
        self.busy_since: float | None = None
        self.appended = 0
        self.restarts = 0
        self.max_seq = 0
        self._backend = backend
        self._settings = settings
        self._intake = intake
        self._losses = losses
        self._clock = clock
        self._metrics = metrics
        self._committer = Committer(
            backend,
            clock,
            settings.ack_timeout_ms / 1000,
            metrics,
            self._settle,
        )
        self._inflight: list[Pending] = []
        self._counted = 0
        self._closing = False

    @property
    def under_way(self) -> int:
        """How many appends the batch in hand holds."""
        return len(self._inflight)

    async def start(self) -> None:
        """Learn where the database stands; appends may be accepted then."""
        self.max_seq = await self._backend.max_seq()
        self.state = Health.HEALTHY

    async def supervise(self) -> None:
        """Run the commit loop, restarting it when it dies, until `finish` and an empty queue."""
        crashes, progress = 0, -1
        while True:
            task = asyncio.create_task(self._run(), name="durable-journal-writer")
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                task.cancel()
                await asyncio.wait({task})
                raise
            if not task.cancelled() and task.exception() is None:
                return
            error = None if task.cancelled() else task.exception()
            crashes = crashes + 1 if progress == self._intake.settled else 1
            progress = self._intake.settled
            self.restarts += 1
            self._metrics.record(_METRIC + "restarts", 1)
            _LOG.error("the journal writer stopped (%s) and is restarted", type(error).__name__)
            if crashes >= _CRASHES_BEFORE_DEATH:
                dead = JournalUnavailable("the journal writer crashes on every start; reopen")
                dead.__cause__ = error
                self.state = Health.DEAD
                self.stop_with(dead)
                return

    def finish(self) -> None:
        """Let `supervise` return once the queue is empty."""
        self._closing = True
        self._intake.urge(self._intake.accepted)
        self._intake.wanted.set()

    def stop_with(self, cause: JournalUnavailable) -> None:
        """Accept nothing more, and fail everything that waits, at once."""
        self.down = cause
        for pending in (*self._inflight, *self._intake.take(len(self._intake))):
            if not pending.settled:
                pending.lane.failure = pending.lane.failure or cause
                self._settle(pending, None, pending.lane.failure)
        self._inflight = []
        self._announce()
        self._intake.turn_away()

    async def _run(self) -> None:
        if self._inflight:
            await self._attempt(self._take_up_again())
        self.max_seq = max(self.max_seq, await self._backend.max_seq())
        while True:
            while self._intake.due:
                await self._attempt(self._carry_next())
            if self._closing and not self._intake:
                return
            await self._intake.wanted.wait()
            self._intake.wanted.clear()

    async def _attempt(self, work: Coroutine[None, None, None]) -> None:
        self.busy_since = time.monotonic()
        try:
            await work
        except StoreFailure as failure:
            await self._wait_out(failure.cause)
        finally:
            self.busy_since = None

    async def _carry_next(self) -> None:
        self._inflight = self._intake.take(self._settings.batch_limit)
        await self._commit_inflight()

    async def _commit_inflight(self) -> None:
        now = self._clock.now_ms()
        formed = [pending for pending in self._inflight if _formed(pending, now)]
        if formed:
            self._metrics.record(_METRIC + "batch_size", len(formed))
            await self._committer.commit(formed)
        for pending in self._inflight:
            if not pending.settled:
                self._settle(pending, None, pending.lane.failure)
        self._inflight = []
        self._announce()

    async def _take_up_again(self) -> None:
        """After a crash: settle what the lost commit wrote after all, then send the rest again."""
        waiting: dict[Lane, list[Pending]] = {}
        for pending in self._inflight:
            if not pending.settled and pending.lane.failure is None:
                waiting.setdefault(pending.lane, []).append(pending)
        for lane, appends in waiting.items():
            formed = [pending for pending in appends if pending.formed]
            try:
                await self._committer.landed(lane, formed)
            except JournalUnavailable as error:
                raise StoreFailure(error) from error
            lane.formed = lane.committed
        await self._commit_inflight()

    async def _wait_out(self, cause: JournalUnavailable) -> None:
        """Fail everything that waits, refuse appends, and probe until the store commits again."""
        self.state = Health.DEGRADED
        _LOG.error("the journal is degraded, appends are refused: %s", cause)
        self.stop_with(cause)
        pause = _FIRST_PROBE
        while not self._closing:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PROBE)
            try:
                await self._backend.probe()
            except JournalUnavailable as error:
                _LOG.debug("the store still takes no commits: %s", error)
            else:
                self.state, self.down = Health.HEALTHY, None
                _LOG.warning("the journal commits again")
                return

    def _settle(self, pending: Pending, seq: int | None, error: DurableError | None) -> None:
        self._intake.settle(pending)
        future = pending.future
        if error is None and seq is not None:
            pending.lane.committed = pending.after
            pending.lane.stored = True
            self.appended += 1
            self.max_seq = max(self.max_seq, seq)
            if future is None:
                return
            if future.done():
                self._losses.acknowledge_late()
            else:
                future.set_result(seq)
            return
        error = error or JournalUnavailable("the entry was not committed")
        if not isinstance(error, KeyTaken):
            # A start that finds its key taken is answered, not lost.
            self._losses.fail(error)
        if future is not None and not future.done():
            future.set_exception(error)

    def _announce(self) -> None:
        if self.appended > self._counted:
            self._metrics.record(_METRIC + "appended", self.appended - self._counted)
            self._counted = self.appended
        self._metrics.record(_METRIC + "queue_depth", len(self._intake))
        self._intake.announce()


def _formed(pending: Pending, now_ms: int) -> bool:
    """Form an append; False if its lane has failed, or fails because it cannot be sealed (EC-04).

    Whatever a cipher raises that is not ours is told by its type alone, unchained: its text and
    its traceback may show what was to be sealed (INV-5).
    """
    if pending.settled or pending.lane.failure is not None:
        return False
    try:
        form(pending, now_ms)
    except DurableError as error:
        pending.lane.failure = error
        return False
    except Exception as error:  # noqa: BLE001 - ciphers are foreign code
        pending.lane.failure = EntryRejected(
            f"an entry could not be sealed: {type(error).__name__}; it and the later entries of "
            "its execution are not written",
        )
        return False
    return True
