"""What did not make it into the journal: counted, logged, and told to whoever has to know (INV-17).

Every loss is told to the next `flush()`. Closing the writer is no question about what was accepted,
so it raises only for losses that nobody has been told of: those of buffered appends, unless the
execution itself went on elsewhere or ended, and its new owner writes what is left to write.
"""

from __future__ import annotations

import logging
from typing import Final

from attrs import define

from durable_core.errors import DurableError, ExecutionFenced, ExecutionTerminal, JournalUnavailable
from durable_core.telemetry import Recorder

__all__ = ["Losses"]

_LOG: Final = logging.getLogger("durable_core.journal")
_METRIC: Final = "durable.journal.writer."
_LOGGED_AGAIN_AFTER: Final = 1000


@define
class _Tally:
    """Losses that somebody has still to be told of."""

    count: int = 0
    cause: DurableError | None = None

    def add(self, cause: DurableError) -> None:
        self.count += 1
        self.cause = self.cause or cause

    def tell(self) -> None:
        if self.count:
            message = (
                f"{self.count} accepted entries were not committed; the first cause: {self.cause}"
            )
            raise JournalUnavailable(message) from self.cause


class Losses:
    """Totals since the writer was started, and the losses that are still to be told."""

    def __init__(self, metrics: Recorder) -> None:
        self.dropped = 0
        self.failed = 0
        self.late = 0
        self.burst = 0
        """Drops since a buffered append was last accepted; whoever accepts one sets it to 0."""

        self._metrics = metrics
        self._flushed = 0
        """How many of `failed` a flush has told of."""

        self._first: DurableError | None = None
        self._untold = _Tally()

    def drop(self, down: DurableError | None) -> None:
        """A buffered append was refused: no room, or no store. Each burst is logged."""
        self.dropped += 1
        self._metrics.record(_METRIC + "dropped", 1)
        if self.burst % _LOGGED_AGAIN_AFTER == 0:
            reason = "its queue is full" if down is None else str(down)
            message = "the journal refuses buffered appends, %d so far: %s"
            _LOG.warning(message, self.dropped, reason)
        self.burst += 1

    def fail(self, cause: DurableError, *, answered: bool) -> None:
        """An accepted append was not committed; `answered`: its caller waits, and is told."""
        self.failed += 1
        if self._flushed == self.failed - 1:
            self._first = cause
        if not answered and not isinstance(cause, ExecutionFenced | ExecutionTerminal):
            self._untold.add(cause)
        self._metrics.record(_METRIC + "failed", 1)
        _LOG.warning("an accepted entry was not committed: %s", type(cause).__name__)

    def acknowledge_late(self) -> None:
        """An entry was committed after its caller had given up."""
        self.late += 1
        self._metrics.record(_METRIC + "acknowledged_late", 1)

    @property
    def flushed(self) -> int:
        """What `raise_if_any` is to be given by a flush that begins now."""
        return self._flushed

    def raise_if_any(self, since: int) -> None:
        """`JournalUnavailable` if anything was lost that no flush had told of when this one began.

        So of several flushes at once each tells of a loss, and none that begins later does.
        """
        if self.failed == since:
            return
        losses = _Tally(self.failed - since, self._first)
        if self._flushed < self.failed:
            self._flushed, self._untold = self.failed, _Tally()
        losses.tell()

    def raise_if_untold(self) -> None:
        """`JournalUnavailable` if something was lost that nobody has been told of; told by this."""
        losses, self._untold = self._untold, _Tally()
        losses.tell()
