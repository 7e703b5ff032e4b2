"""The requests by which signals travel: what they are called, and what is in them."""

from __future__ import annotations

from typing import Final

from durable_core.contracts.backend import ExecutionBackend
from durable_core.contracts.exchange import InboxRow
from durable_core.errors import DecodeError
from durable_core.model.entries import EntryKind
from durable_core.model.execution import ExecutionRow
from durable_core.wire.envelope import WireFormat
from durable_core.wire.payload import load

__all__ = ["SIGNAL", "read_signal", "request_id_of", "resealed", "waiting_signals"]

SIGNAL: Final = "signal"

_EVERYTHING: Final = 10_000


async def waiting_signals(backend: ExecutionBackend) -> list[InboxRow]:
    """The requests of signals that wait, of whatever execution, in the order of sending."""
    requests = await backend.read_inbox(limit=_EVERYTHING)
    return sorted((one for one in requests if one.kind == SIGNAL), key=lambda one: one.slot)


def read_signal(wire: WireFormat, row: ExecutionRow, request: InboxRow) -> tuple[bytes, str, bytes]:
    """The id of a signal's request, its name and its payload; `DecodeError` for anything else."""
    match load(_plain(wire, row, request)):
        case [str() as name, bytes() as payload]:
            return request_id_of(request), name, payload
        case _:
            message = "the request of a signal does not follow the format"
            raise DecodeError(message)


def request_id_of(request: InboxRow) -> bytes:
    """What tells a signal's request from every other one, wherever it is filed.

    `DecodeError` for a slot that nobody files.
    """
    try:
        return bytes.fromhex(request.slot.removeprefix(f"{SIGNAL}:"))
    except ValueError:
        message = "the request of a signal has a slot that nobody files"
        raise DecodeError(message) from None


def resealed(
    wire: WireFormat, row: ExecutionRow, request: InboxRow, onto: ExecutionRow
) -> InboxRow:
    """A signal's request as it is filed with another execution; `IntegrityError` for damage."""
    plain = _plain(wire, row, request)
    envelope = wire.verified(onto)
    sealed = envelope.seal_request(request.slot, EntryKind.PROMISE_RESOLVED, plain)
    return request._replace(execution_id=onto.execution_id, payload=sealed)


def _plain(wire: WireFormat, row: ExecutionRow, request: InboxRow) -> bytes:
    envelope = wire.envelope(row)
    return envelope.open_request(request.slot, EntryKind.PROMISE_RESOLVED, request.payload)
