"""One record for each resolution of an ambiguous effect: the WARN log, then every sink."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from durable_core.contracts.audit import AuditRecord, AuditSink
from durable_core.errors import JournalUnavailable

__all__ = ["AuditTrail"]

_LOG: Final = logging.getLogger("durable_core.audit")


class AuditTrail:
    """Fans records out to the configured sinks, in order."""

    def __init__(self, sinks: Sequence[AuditSink] = ()) -> None:
        self._sinks = tuple(sinks)

    async def record(self, record: AuditRecord) -> None:
        """Log `record` and hand it to every sink; `JournalUnavailable` if a sink refuses it."""
        _LOG.warning(
            "ambiguous effect: execution %s, step %s %s (%s), key %s, policy %s: %s",
            record.execution_id,
            record.step_id,
            record.step,
            record.sub_class,
            record.idempotency_key,
            record.policy,
            record.resolution,
        )
        for sink in self._sinks:
            try:
                await sink.record(record)
            except Exception as error:
                message = (
                    f"audit sink {type(sink).__name__} refused a record ({type(error).__name__}); "
                    "the ambiguous effect is left as it is"
                )
                raise JournalUnavailable(message) from error

    async def close(self) -> None:
        """Close every sink; one that fails is logged and does not stop the others."""
        for sink in self._sinks:
            try:
                await sink.close()
            except Exception as error:  # noqa: BLE001 - a sink is foreign code
                _LOG.warning("audit sink did not close: %s", type(error).__name__)
