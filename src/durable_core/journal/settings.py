"""The writer's bounds and its health, as values."""

from __future__ import annotations

import enum
from typing import Any, Final, Self

from attrs import field, fields, frozen

from durable_core.config import DurableConfig
from durable_core.errors import JournalUnavailable

__all__ = ["Health", "WriterHealth", "WriterSettings"]

_OF: Final = fields(DurableConfig)


def _as(setting: str) -> Any:  # noqa: ANN401 - as of attrs' own `field`
    """A bound with the default and the range of that setting."""
    its = getattr(_OF, setting)
    return field(default=its.default, validator=its.validator)


@frozen
class WriterSettings:
    """Bounds of one writer; times in milliseconds, sizes in entries.

    `ConfigError` for one that no writer can keep to, as `DurableConfig` raises it.
    """

    flush_interval_ms: int = _as("journal_flush_interval_ms")
    prompt_interval_ms: int = field(default=1, validator=_OF.journal_flush_interval_ms.validator)
    ack_timeout_ms: int = _as("journal_ack_timeout_ms")
    queue_capacity: int = _as("journal_queue_capacity")
    acked_capacity: int = field(default=4096, validator=_OF.journal_queue_capacity.validator)
    batch_limit: int = _as("journal_batch_limit")
    close_timeout_ms: int = _as("close_timeout_ms")

    @classmethod
    def of(cls, config: DurableConfig) -> Self:
        """The writer's share of an engine's configuration."""
        return cls(
            flush_interval_ms=config.journal_flush_interval_ms,
            ack_timeout_ms=config.journal_ack_timeout_ms,
            queue_capacity=config.journal_queue_capacity,
            batch_limit=config.journal_batch_limit,
            close_timeout_ms=config.close_timeout_ms,
        )


class Health(enum.Enum):
    """Whether the journal can be relied on right now."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """The store refuses commits or does not answer; appends fail until a probe commit succeeds."""
    DEAD = "dead"
    """The writer's task was cancelled, or crashed again and again without progress: given up."""
    CLOSED = "closed"


@frozen
class WriterHealth:
    """A snapshot. Counts are totals since the writer was started (INV-17)."""

    state: Health
    cause: str | None
    queue_depth: int
    appended: int
    dropped: int
    failed: int
    acknowledged_late: int
    restarts: int
    max_seq: int

    def require(self) -> None:
        """`JournalUnavailable` unless the state is HEALTHY."""
        if self.state is not Health.HEALTHY:
            message = f"the journal is {self.state.value}: {self.cause or 'no cause is known'}"
            raise JournalUnavailable(message)
