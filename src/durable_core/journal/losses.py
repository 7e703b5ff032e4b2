"""What did not make it into the journal: counted, logged, and told to the next flush (INV-17)."""

from __future__ import annotations

import logging
from typing import Final

from durable_core.errors import DurableError, JournalUnavailable
from durable_core.telemetry import Recorder

__all__ = ["Losses"]

_LOG: Final = logging.getLogger("durable_core.journal")
_METRIC: Final = "durable.journal.writer."


class Losses:
    """Totals since the writer was started, and the losses that no flush has reported yet."""

    def __init__(self, metrics: Recorder) -> None:
        self.dropped = 0
        self.failed = 0
        self.late = 0
        self._metrics = metrics
        self._unreported = 0
        self._cause: DurableError | None = None

    def drop(self, down: DurableError | None) -> None:
        """A buffered append was refused: no room, or no store."""
        self.dropped += 1
        self._metrics.record(_METRIC + "dropped", 1)
        if self.dropped == 1 or self.dropped % 1000 == 0:
            reason = "its queue is full" if down is None else str(down)
            _LOG.warning("the journal refused %d buffered appends: %s", self.dropped, reason)

    def fail(self, cause: DurableError) -> None:
        """An accepted append was not committed."""
        self.failed += 1
        self._unreported += 1
        self._cause = self._cause or cause
        self._metrics.record(_METRIC + "failed", 1)
        _LOG.warning("an accepted entry was not committed: %s", type(cause).__name__)

    def acknowledge_late(self) -> None:
        """An entry was committed after its caller had given up."""
        self.late += 1
        self._metrics.record(_METRIC + "acknowledged_late", 1)

    def raise_if_any(self) -> None:
        """`JournalUnavailable` if something was lost since the last call, and start afresh."""
        if self._unreported:
            count, cause = self._unreported, self._cause
            self._unreported, self._cause = 0, None
            message = f"{count} accepted entries were not committed; the first cause: {cause}"
            raise JournalUnavailable(message) from cause
