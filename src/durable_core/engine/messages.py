"""Signals as they are sent: filed with whoever owns the execution; see `receiving`."""

from __future__ import annotations

from typing import Final

from durable_core.contracts.exchange import InboxRow
from durable_core.engine.insisting import insist
from durable_core.engine.outcome import finished_value
from durable_core.engine.parts import EngineParts
from durable_core.engine.receiving import checked_name
from durable_core.engine.signals import SIGNAL
from durable_core.engine.takeover import require_not_terminal
from durable_core.model.entries import EntryKind
from durable_core.model.execution import ExecutionRow
from durable_core.wire.payload import dump

__all__ = ["Sender"]

_COUNTER: Final = 8
_COUNTED: Final = 16
"""So many bits count within a millisecond."""


class Sender:
    """Files the signals of one engine, in the order of the calls. For any task of its loop."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._last = 0

    async def send(self, row: ExecutionRow, name: object, value: object) -> None:
        """File a signal with the owner; durable at return. Raises as `DurableEngine.signal`."""
        parts = self._parts
        name = checked_name(name)
        require_not_terminal(row)
        encoded = parts.codec.encode_by_class(value, f"the value of signal {name!r}")
        now_ms, request_id = self._next()
        slot = f"{SIGNAL}:{request_id.hex()}"
        plain = dump([name, finished_value(encoded)])
        envelope = parts.wire.verified(row)
        sealed = envelope.seal_request(slot, EntryKind.PROMISE_RESOLVED, plain)
        request = InboxRow(row.execution_id, slot, SIGNAL, sealed, now_ms)
        # Its slot is its own: where an answer was lost, it was filed once all the same.
        await insist(lambda: parts.backend.post_inbox(request), parts.config.journal_ack_timeout_ms)
        parts.failpoints.reach("engine.signal.filed")

    def _next(self) -> tuple[int, bytes]:
        """The time (ms) and the id of the next request: both sort behind all earlier ones."""
        self._last = max(self._last + 1, self._parts.clock.now_ms() << _COUNTED)
        unlike = self._parts.ids.execution_id().bytes[_COUNTER:]
        return self._last >> _COUNTED, self._last.to_bytes(_COUNTER, "big") + unlike
