"""The JournalWriter: accepts appends and changes of status, and answers for their commits.

Callers append through `JournalWriterHandle`; the commit loop behind it is `Actor`. Carries INV-4
(one ordered queue), INV-12, INV-17 and the prompt commits of INV-20.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from durable_core.clock import Clock, SystemClock
from durable_core.contracts.backend import ExecutionBackend
from durable_core.errors import CommitOutcomeUnknown, JournalUnavailable
from durable_core.journal.actor import Actor
from durable_core.journal.admission import check_entry, is_usual
from durable_core.journal.batching import accepted
from durable_core.journal.intake import Intake
from durable_core.journal.lane import Lane
from durable_core.journal.lookups import LOOKED_UP, check_looked_up
from durable_core.journal.losses import Losses
from durable_core.journal.settings import Health, WriterHealth, WriterSettings
from durable_core.journal.urgency import Urgency
from durable_core.model.entries import Entry, ExecutionFinished
from durable_core.model.execution import Status
from durable_core.telemetry import NO_METRICS, Recorder
from durable_core.wire.envelope import WireFormat

__all__ = ["JournalWriter"]


class JournalWriter:
    """One writer per backend, used from one event loop."""

    def __init__(
        self,
        backend: ExecutionBackend,
        wire: WireFormat,
        settings: WriterSettings | None = None,
        *,
        clock: Clock | None = None,
        metrics: Recorder = NO_METRICS,
    ) -> None:
        self._backend = backend
        self.wire = wire
        self._max_payload_bytes = wire.max_payload_bytes
        self.settings = settings or WriterSettings()
        self.clock = clock or SystemClock()
        self._losses = Losses(metrics)
        self._intake = Intake(self.settings)
        self._urgency = Urgency(self.settings, self._intake)
        self._actor = Actor(
            backend,
            self.settings,
            self._intake,
            self._losses,
            self.clock,
            metrics,
            self._urgency,
        )
        self._supervisor: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop
        """The one that the writer was started in: what it is asked for there needs no look-up."""

    async def start(self) -> None:
        """Begin to carry appends; goes on from `MAX(seq)` of the database.

        The database learns the check of the current key with what is first written under it.
        """
        self._loop = asyncio.get_running_loop()
        current = self.wire.keyring.current
        if current is not None:
            self._backend.announce_key(current, self.wire.keyring.check(current))
        await self._actor.start()
        self._supervisor = asyncio.create_task(
            self._actor.supervise(),
            name="durable-journal-supervisor",
        )

    async def close(self) -> None:
        """Commit what was accepted, then stop; bounded by `close_timeout_ms`.

        `JournalUnavailable` for losses that nobody was told of: buffered appends, and those whose
        caller was cancelled, that were not committed and that no flush has reported. Not for an
        execution that another owner took over or ended, whose journal is no longer written from
        here. Whatever was lost is counted, logged and shown by `health`.

        May be called again, also while another call waits: each returns when nothing runs any more,
        and the first to do so tells of the losses. A cancelled one leaves the writer committing
        what was accepted; nobody bounds that until the next call.
        """
        supervisor = self._supervisor
        if supervisor is None:
            return
        self._actor.finish()
        done, _ = await asyncio.wait({supervisor}, timeout=self.settings.close_timeout_ms / 1000)
        if not done:
            if not supervisor.cancelling():  # by another call; again would cut its ending off
                self._actor.stop_with(
                    JournalUnavailable("the journal was closed before it could commit"),
                )
                supervisor.cancel()
            await asyncio.wait({supervisor})
        self._supervisor = None
        self._urgency.cancel()
        self._actor.shut()
        self._losses.raise_if_untold()

    def health(self) -> WriterHealth:
        """A snapshot; DEGRADED also while a commit takes longer than the ack timeout."""
        actor = self._actor
        state, cause = actor.state, None if actor.down is None else str(actor.down)
        if state is Health.HEALTHY and actor.owing > self.settings.ack_timeout_ms / 1000:
            state, cause = Health.DEGRADED, "the store does not answer a commit"
        return WriterHealth(
            state,
            cause,
            len(self._intake) + actor.under_way,
            actor.appended,
            self._losses.dropped,
            self._losses.failed,
            self._losses.late,
            actor.restarts,
            actor.max_seq,
        )

    def offer(self, lane: Lane, entry: Entry, *, prompt: bool = False) -> bool:
        """Queue a buffered append; False, counted and logged, if there is no room or no store.

        A prompt one commits within 1 ms instead of the flush interval. Raises as `check_entry`,
        `check_looked_up` and `Lane.admit` do, and `PayloadTooLarge`. Never waits.
        """
        return self.take(lane, entry, prompt=prompt) or self.refuse()

    def refuse(self) -> bool:
        """False: count and log a buffered append that `take` has refused."""
        self._losses.drop(self._actor.down)
        return False

    def take(self, lane: Lane, entry: Entry, *, prompt: bool = False) -> bool:
        """As `offer`, for a caller that does without no entry: what is refused is no loss."""
        if self._actor.down is not None or not self._intake.takes_buffered:
            return False
        if not (is_usual(entry, self._max_payload_bytes) and lane.goes_on(entry.generation)):
            self._check(lane, entry)
            lane.admit(entry)
        self._intake.put(accepted(lane, entry))
        self._losses.burst = 0
        self._urgency.arm(prompt=prompt)
        return True

    def submit(self, lane: Lane, entry: Entry) -> asyncio.Future[int]:
        """Queue an acknowledged append and commit at once; the future is its true outcome.

        The future carries no deadline of its own. Raises as `offer` does, and
        `JournalUnavailable` if the store is down. Wait for `room` first.
        """
        if self._actor.down is not None:
            self._require_up()
        if not (is_usual(entry, self._max_payload_bytes) and lane.goes_on(entry.generation)):
            self._check(lane, entry)
            lane.admit(entry)
        future: asyncio.Future[int] = self._loop.create_future()
        self._intake.put(accepted(lane, entry, future))
        return future

    def hand_on(
        self, lane: Lane, end: ExecutionFinished, heir: Lane, beginning: Sequence[Entry]
    ) -> asyncio.Future[int]:
        """Queue the end of an execution as one with the first entries of what continues it.

        Both or neither are committed, in one transaction; the key, where they have one, leads to
        the heir from then on. The first has to be stored, and its heir not to be: wait for
        `barrier` where it was begun by a buffered append. Otherwise as `submit`.
        """
        self._require_up()
        entries = [(lane, end), *((heir, entry) for entry in beginning)]
        for its_lane, entry in entries:
            self._check(its_lane, entry)
        for its_lane, entry in entries:
            its_lane.admit(entry)
        future: asyncio.Future[int] = self._loop.create_future()
        heirs = [accepted(heir, entry) for entry in beginning]
        self._intake.put(accepted(lane, end, future, heirs))
        return future

    def change_status(self, lane: Lane, status: Status) -> asyncio.Future[int]:
        """Queue a change between running and blocked, without an entry; committed like `submit`.

        Raises as `Lane.change_status` does, the lane's own failure, and `JournalUnavailable`.
        """
        self._require_up()
        if lane.failure is not None:
            raise lane.failure
        lane.change_status(status)
        future: asyncio.Future[int] = self._loop.create_future()
        self._intake.put(accepted(lane, status, future))
        return future

    async def append(self, lane: Lane, entry: Entry) -> int:
        """`submit` once there is room, and wait; the entry stays if the caller is cancelled.

        Without a bound, as `barrier`; `JournalWriterHandle.append_bounded` has one.
        """
        await self.room()
        return await self.submit(lane, entry)

    async def room_to_start(self) -> None:
        """Return when an execution may be begun by a buffered append, at once.

        It may while an eighth of the queue is enough for all that waits there: so what was begun
        finds room for its steps, and a crowd is begun as fast as it is carried. In the order of
        the calls, and without a bound, as `room`. `JournalUnavailable` if nothing may be queued.
        """
        self._require_up()
        given, again = self._intake.entrance.open, False
        while not given:
            await self._intake.entrance.turn(again=again)
            self._require_up()
            given, again = self._intake.takes_buffered, True

    @property
    def has_room(self) -> bool:
        """Whether an acknowledged append would be queued now, without `room`."""
        return self._intake.takes_acknowledged

    def turn(self) -> asyncio.Future[bool]:
        """Done when it is one's turn, as `room` waits for it; without a task.

        False where it has to be asked for again. Whoever does not wait any more cancels it.
        `JournalUnavailable` if nothing may be queued.
        """
        self._require_up()
        return self._intake.turn()

    async def room(self) -> None:
        """Return when it is one's turn to queue an acknowledged append, at once.

        `JournalUnavailable` if none may be. Whoever waits comes before whoever has not waited: the
        room is kept for him until he has gone on, so that `has_room` may say no to himself too.
        """
        given = self.has_room
        self._require_up()
        while not given:
            turn = self._intake.turn()
            try:
                given = await turn
            finally:
                turn.cancel()  # for a caller that was closed
            self._require_up()

    async def flush(self) -> None:
        """Return once everything accepted before is committed.

        `JournalUnavailable` if anything accepted since the last flush was not committed, told to
        its caller or not; of several flushes at once each says so. `CommitOutcomeUnknown` if
        the store does not answer within the ack timeout while this waits; a long queue that moves
        is waited for, however long it takes.
        """
        told = self._losses.flushed
        settlement = self._intake.settlement()
        began, limit_ms = time.monotonic(), self.settings.ack_timeout_ms
        while not settlement.done():
            unanswered = min(self._actor.owing, time.monotonic() - began)
            if unanswered >= limit_ms / 1000:
                settlement.cancel()
                message = f"no answer of the store within {limit_ms} ms; its commit may still land"
                raise CommitOutcomeUnknown(message)
            await asyncio.wait({settlement}, timeout=limit_ms / 1000 - unanswered)
        self._losses.raise_if_any(told)

    async def barrier(self, lane: Lane) -> None:
        """Return once everything that `lane` accepted is committed; raises the lane's failure.

        Without a bound: it waits until the outcome is known, as a workflow does that must not go
        on before (INV-20). Where the store does not answer, `health` says DEGRADED meanwhile.
        """
        if lane.waiting and lane.failure is None:
            await self._intake.settlement()
        if lane.failure is not None:
            raise lane.failure

    def nudge(self) -> None:
        """Commit what waits now: its execution is about to do something slow."""
        self._intake.urge(self._intake.accepted)

    def _check(self, lane: Lane, entry: Entry) -> None:
        check_entry(entry)
        payload = getattr(entry, "payload", None)
        if payload is not None:
            self.wire.guard(payload)
        if entry.kind in LOOKED_UP:
            check_looked_up(lane, entry)

    def _require_up(self) -> None:
        down = self._actor.down
        if down is not None:
            message = f"the journal takes no appends: {down}"
            raise JournalUnavailable(message) from down
