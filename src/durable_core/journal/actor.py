"""The commit loop and its supervisor: the one task that carries appends into the database.

Group commit is natural: what arrives while a commit is under way is the next batch. Carries INV-12
(supervision, fail-stop, a restart that goes on from what is stored) and INV-17.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence
from typing import Final

from durable_core.clock import Clock
from durable_core.contracts.backend import ExecutionBackend
from durable_core.errors import (
    CommitOutcomeUnknown,
    DurableError,
    JournalUnavailable,
    KeyTaken,
)
from durable_core.journal.asking import Asking, StoreFailure
from durable_core.journal.batching import Pending, form_ahead, form_all
from durable_core.journal.committing import Committer
from durable_core.journal.intake import Intake
from durable_core.journal.lane import Lane
from durable_core.journal.losses import Losses
from durable_core.journal.settings import Health, WriterSettings
from durable_core.journal.supervising import supervised
from durable_core.journal.urgency import Urgency
from durable_core.telemetry import Recorder

__all__ = ["Actor"]

_LOG: Final = logging.getLogger("durable_core.journal")
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
        urgency: Urgency,
    ) -> None:
        self.state = Health.CLOSED
        self.down: JournalUnavailable | None = None
        self.appended = 0
        self.restarts = 0
        self.max_seq = 0
        self._backend = backend
        self._settings = settings
        self._intake = intake
        self._losses = losses
        self._clock = clock
        self._metrics = metrics
        self._asking = Asking(settings.ack_timeout_ms / 1000)
        self._committer = Committer(
            backend,
            clock,
            self._asking,
            metrics,
            self._written,
            self._lost,
            self._form_ahead,
            self._is_free,
        )
        self._urgency = urgency
        self._inflight: list[Pending] = []
        self._counted = 0
        self._answers = 0  # of the store, other than those that settle an append
        self._closing = False
        self._committing = False

    @property
    def under_way(self) -> int:
        """How many appends the batch in hand holds."""
        return len(self._inflight)

    @property
    def owing(self) -> float:
        """For how many seconds the store has owed an answer; 0 where it owes none."""
        return self._asking.owing

    async def start(self) -> None:
        """Learn where the database stands; appends may be accepted then."""
        self.max_seq = await self._backend.max_seq()
        self.state = Health.HEALTHY

    async def supervise(self) -> None:
        """Run the commit loop, restarting it when it dies, until `finish` and an empty queue.

        It is given up when it dies again and again before it gets anywhere: before it has settled
        an append, begun to wait for appends, or heard from a store that was down.
        """
        try:
            await supervised(self._run, lambda: self._progress, self._note_crash)
        except JournalUnavailable as dead:
            self._die(dead)
        except asyncio.CancelledError:
            self._die(JournalUnavailable("the journal writer was cancelled; reopen"))
            raise

    def finish(self) -> None:
        """Let `supervise` return once the queue is empty."""
        self._closing = True
        self._intake.urge(self._intake.accepted)
        self._intake.wanted.set()

    def shut(self) -> None:
        """Accept nothing more, where nothing is left to carry; whoever waits for room is told."""
        self.state = Health.CLOSED
        self.down = JournalUnavailable("the journal is closed")
        self._intake.turn_away()

    def stop_with(self, cause: JournalUnavailable, *, answered: bool = False) -> None:
        """Accept nothing more, and fail everything that waits, at once.

        Unless the store has `answered`, what is under way may still land, and is told so.
        """
        self.down = cause
        under_way = cause if answered else _unknown(cause)
        waiting = self._intake.take(len(self._intake))
        for error, appends in ((under_way, self._inflight), (cause, waiting)):
            for pending in appends:
                if not pending.settled:
                    pending.lane.failure = pending.lane.failure or error
                    self._lost(pending, pending.lane.failure)
        self._inflight = []
        self._announce()
        self._intake.turn_away()

    def _note_crash(self, error: BaseException | None) -> None:
        self.restarts += 1
        self._metrics.record(_METRIC + "restarts", 1)
        how = "was cancelled" if error is None else f"crashed: {type(error).__name__}"
        _LOG.error("the journal writer stopped and is restarted; it %s", how)

    def _die(self, cause: JournalUnavailable) -> None:
        self.state = Health.DEAD
        self.stop_with(cause)

    @property
    def _progress(self) -> int:
        """Grows whenever the loop gets somewhere."""
        return self._intake.settled + self._answers

    async def _run(self) -> None:
        if self.state is Health.DEGRADED:
            await self._probe_until_it_commits()
        await self._attempt(self._take_up_again(), answered=False)
        self._answers += 1
        while True:
            while self._intake.due or (self._closing and self._intake):
                await self._attempt(self._carry_next())
            if self._closing:
                self.shut()  # at once: what is accepted from here on would be carried by nobody
                return
            self._urgency.at_rest()
            await self._intake.wanted.wait()
            self._urgency.at_work()
            self._intake.wanted.clear()

    async def _attempt(
        self,
        work: Coroutine[None, None, None],
        *,
        answered: bool = True,
    ) -> None:
        try:
            await work
        except StoreFailure as failure:
            self.state = Health.DEGRADED
            _LOG.error("the journal is degraded, appends are refused: %s", failure.cause)
            self.stop_with(failure.cause, answered=answered)
            await self._probe_until_it_commits()

    async def _carry_next(self) -> None:
        self._inflight = self._intake.take(self._intake.share(self._settings.batch_limit))
        await self._commit_inflight()

    async def _commit_inflight(self) -> None:
        formed = form_all(self._inflight, self._clock.now_ms())
        if formed:
            self._metrics.record(_METRIC + "batch_size", len(formed))
            self._committing = True
            try:
                await self._committer.commit(formed)
            finally:
                self._committing = False
        for pending in self._inflight:
            if not pending.settled:
                self._lost(pending, pending.lane.failure)
        self._inflight = []
        self._announce()

    def _form_ahead(self) -> None:
        """Form what the next batch takes; not where it is unclear what the formed ones follow."""
        if self._committing:
            upcoming = self._intake.upcoming(self._settings.batch_limit)
            form_ahead(upcoming, self._clock.now_ms())

    def _is_free(self) -> bool:
        """Whether nothing is due behind the batch in hand: its callers come first then."""
        return self._intake.settled + len(self._inflight) >= self._intake.urgent

    async def _take_up_again(self) -> None:
        """Go on from what is stored: settle what a lost commit wrote, and send the rest again."""
        waiting: dict[Lane, list[Pending]] = {}
        for pending in self._inflight:
            if not pending.settled and pending.lane.failure is None:
                waiting.setdefault(pending.lane, []).append(pending)
        for lane, appends in waiting.items():
            formed = [pending for pending in appends if pending.formed]
            await self._committer.settle_landed(lane, formed)
            lane.formed = lane.committed
        await self._commit_inflight()
        self.max_seq = max(self.max_seq, await self._asking.ask(self._backend.max_seq))

    async def _probe_until_it_commits(self) -> None:
        """Until then appends are refused; `finish` ends it too."""
        pause = _FIRST_PROBE
        while not self._closing:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PROBE)
            try:
                await self._backend.probe()
            except JournalUnavailable as error:
                self._answers += 1
                _LOG.debug("the store still takes no commits: %s", error)
            else:
                self.state, self.down = Health.HEALTHY, None
                _LOG.warning("the journal commits again")
                return

    def _written(self, written: Iterable[tuple[Pending, int | None]]) -> None:
        """Settle appends under their seqs, in one loop of few calls: a batch may have thousands."""
        settled = acked = highest = 0
        try:
            for pending, seq in written:
                if seq is None:
                    self._lost(pending, None)
                    continue
                settled += 1
                pending.settled = True
                lane, future = pending.lane, pending.future
                lane.committed, lane.stored = pending.after, True
                if pending.heirs:
                    self._inherited(pending.heirs)
                if seq > highest:  # noqa: PLR1730 - a call for each append
                    highest = seq
                if future is None:
                    continue
                acked += 1
                if future.done():
                    self._losses.acknowledge_late()
                else:
                    future.set_result(seq)
        finally:
            self._intake.count(settled, acked)
            self.appended += settled
            self.max_seq = max(self.max_seq, highest)

    def _inherited(self, heirs: Sequence[Pending]) -> None:
        """The first entries of what continues an execution have been committed with its end."""
        for heir in heirs:
            heir.lane.committed, heir.lane.stored = heir.after, True
        self.appended += len(heirs)

    def _lost(self, pending: Pending, error: DurableError | None) -> None:
        """Settle an append that was not committed."""
        self._intake.settle(pending)
        future = pending.future
        error = error or JournalUnavailable("the entry was not committed")
        if not isinstance(error, KeyTaken):
            # A start that finds its key taken is answered, not lost.
            self._losses.fail(error, answered=future is not None and not future.cancelled())
        if future is not None and not future.done():
            future.set_exception(error)

    def _announce(self) -> None:
        if self.appended > self._counted:
            self._metrics.record(_METRIC + "appended", self.appended - self._counted)
            self._counted = self.appended
        self._metrics.record(_METRIC + "queue_depth", len(self._intake))
        self._intake.announce()


def _unknown(cause: JournalUnavailable) -> CommitOutcomeUnknown:
    unknown = CommitOutcomeUnknown(f"{cause}; what was under way may still be committed")
    unknown.__cause__ = cause
    return unknown
