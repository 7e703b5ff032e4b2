"""What an audit sink must do."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

__all__ = ["AuditRecord", "AuditSink"]


@frozen
class AuditRecord:
    """One resolution of an ambiguous effect. Holds names and codes, never values (INV-5)."""

    execution_id: str
    step: str
    step_id: str
    sub_class: str
    idempotency_key: str
    policy: str
    resolution: str
    at_ms: int


class AuditSink(Protocol):
    """Receives one record for each resolution of an ambiguous guarded effect."""

    async def record(self, record: AuditRecord) -> None:
        """Keep `record`. Awaited before the resolution takes effect.

        If it raises, the effect is not resolved: the execution stops with `JournalUnavailable`
        and meets the same ambiguity, and the same sink, when it is resumed.
        """
        ...

    async def close(self) -> None:
        """Called once, when the engine closes."""
        ...
