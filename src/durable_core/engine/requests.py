"""Requests between engines: cancel, settle and resume, filed in the inbox, journaled by the owner.

Those who do not own an execution never append to its journal. A value in a request is sealed like
a payload, its location bound to the request's slot.
"""

from __future__ import annotations

from typing import Final

from durable_core.contracts.exchange import InboxRow
from durable_core.engine.insisting import insist
from durable_core.engine.parts import EngineParts
from durable_core.model.entries import EntryKind
from durable_core.model.execution import ExecutionRow

__all__ = [
    "CANCEL",
    "RESUME",
    "SETTLE",
    "file_cancel",
    "file_resume",
    "file_settle",
    "read_settle",
    "settle_slot",
    "settle_step",
    "stands",
]

CANCEL: Final = "cancel"
RESUME: Final = "resume"
SETTLE: Final = "settle"
_EVERYTHING: Final = 10_000


async def file_cancel(parts: EngineParts, row: ExecutionRow) -> bool:
    """Ask the owner to cancel; False if that was asked before. Needs no key."""
    now = parts.clock.now_ms()
    return await _file(parts, InboxRow(row.execution_id, CANCEL, CANCEL, None, now))


async def file_resume(parts: EngineParts, row: ExecutionRow) -> bool:
    """Ask the owner to resume; False if that was asked before. Needs no key."""
    now = parts.clock.now_ms()
    return await _file(parts, InboxRow(row.execution_id, RESUME, RESUME, None, now))


async def file_settle(
    parts: EngineParts,
    row: ExecutionRow,
    step_id: str,
    payload: bytes,
) -> bool:
    """Tell the owner an operator's word on a step; False if another word is waiting."""
    slot = settle_slot(step_id)
    sealed = parts.wire.envelope(row).seal_request(slot, EntryKind.INTENT_SETTLED, payload)
    now = parts.clock.now_ms()
    return await _file(parts, InboxRow(row.execution_id, slot, SETTLE, sealed, now))


async def _file(parts: EngineParts, request: InboxRow) -> bool:
    """File it, asked again after transient trouble; an attempt without an answer counts."""
    patience = parts.config.journal_ack_timeout_ms
    filed, unseen = await insist(lambda: parts.backend.post_inbox(request), patience)
    return filed or (unseen and await stands(parts, request))


async def stands(parts: EngineParts, request: InboxRow) -> bool:
    """Whether that very request is in the inbox; one that came after it in its slot is another."""
    return request in await parts.backend.read_inbox(limit=_EVERYTHING)


def settle_slot(step_id: str) -> str:
    """Where a word on that step waits."""
    return f"{SETTLE}:{step_id}"


def settle_step(request: InboxRow) -> str:
    """The step id that a settle request speaks of."""
    return request.slot.removeprefix(f"{SETTLE}:")


def read_settle(parts: EngineParts, row: ExecutionRow, request: InboxRow) -> bytes:
    """The plain payload of a settle request; `IntegrityError` if it was not sealed for it."""
    return parts.wire.envelope(row).open_request(
        request.slot,
        EntryKind.INTENT_SETTLED,
        request.payload,
    )
