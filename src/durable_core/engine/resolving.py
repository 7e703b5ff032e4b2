"""Resolves promises from outside: the token is checked, then a request is filed, once (INV-9).

Nobody but the owner writes to a journal. The request's slot decides who is first; the mark that the
owner leaves with the journaled resolution says later what it was, so that whoever comes too late
learns whether it was the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from attrs import field, frozen

from durable_core.clock import Clock
from durable_core.contracts.backend import ExecutionBackend
from durable_core.contracts.exchange import InboxRow, PromiseRow
from durable_core.engine.insisting import insist
from durable_core.engine.outcome import Failure, finished_error, finished_value
from durable_core.errors import (
    ConfigError,
    EntryRejected,
    ExecutionTerminal,
    InvalidResolverToken,
    JournalUnavailable,
    PromiseAlreadyResolved,
    PromiseNotFound,
)
from durable_core.ids import ExecutionId, PromiseId
from durable_core.model.entries import EntryKind
from durable_core.model.execution import TERMINAL, ExecutionRow, status_of
from durable_core.wire.envelope import WireFormat
from durable_core.wire.payload import PayloadCodec
from durable_core.wire.promises import TOKEN_BYTES, fits, outcome_mark

__all__ = ["REJECTED", "RESOLVE", "Resolver", "read_resolution", "resolved_by"]

RESOLVE: Final = "resolve"
REJECTED: Final = "PromiseRejected"
"""The error type of the `StepFailed` that a rejection is to the workflow."""

_EVERYTHING: Final = 10_000
_LONGEST_REASON: Final = 1000
_PAUSE_S: Final = 0.05


@frozen
class Resolver:
    """Files resolutions in one database. For any task of the event loop."""

    backend: ExecutionBackend
    wire: WireFormat = field(repr=False)
    codec: PayloadCodec
    clock: Clock
    patience_ms: int
    check: Callable[[PromiseRow, bytes], None] = lambda _promise, _payload: None
    """Raises `PayloadError` for a value of which it is known here that it does not fit."""

    async def resolve(self, promise_id: PromiseId, token: bytes, value: object) -> None:
        """See `DurableEngine.resolve`."""
        encoded = self.codec.encode_by_class(value, f"the value for promise {promise_id}")
        await self._file(promise_id, token, finished_value(encoded))

    async def reject(self, promise_id: PromiseId, token: bytes, reason: object) -> None:
        """See `DurableEngine.reject`."""
        if not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
            message = f"the reason of a rejection is a text of at most {_LONGEST_REASON} characters"
            raise ConfigError(message)
        clean = reason.encode("utf-8", "replace").decode()
        await self._file(promise_id, token, finished_error(Failure(REJECTED, clean, 1)))

    async def _file(self, promise_id: PromiseId, token: bytes, payload: bytes) -> None:
        self.wire.guard(payload)
        promise = await self._checked(promise_id, token)
        self.check(promise, payload)
        row = await self._execution_of(promise)
        envelope = self.wire.verified(row)
        mark = outcome_mark(envelope.keys, row.execution_id, promise.promise_id, payload)
        slot = f"{RESOLVE}:{promise.promise_id.hex()}"
        sealed = envelope.seal_request(slot, EntryKind.PROMISE_RESOLVED, payload)
        request = InboxRow(row.execution_id, slot, RESOLVE, sealed, self.clock.now_ms())
        deadline = time.monotonic() + self.patience_ms / 1000
        while True:
            # Read behind the execution's row: in one that has ended nothing is resolved any more.
            promise = await self._checked(promise_id, token)
            if _is_decided(promise, mark):
                return
            _require_going_on(row, promise_id)
            filed = await self._post(request)
            waiting = payload if filed else await self._waiting(row, slot)
            if waiting not in {payload, None}:
                raise _too_late(promise_id)
            # Where the slot is empty its request was journaled in this instant, or refused. And
            # what was filed now comes too late if another one was journaled before.
            promise = await self._checked(promise_id, token)
            if waiting is not None and promise.outcome is None:
                return
            if waiting is None and time.monotonic() > deadline:
                message = f"the resolution of promise {promise_id} could not be filed; try again"
                raise JournalUnavailable(message)
            await asyncio.sleep(0 if waiting is not None else _PAUSE_S)
            row = await self._execution_of(promise)

    async def _checked(self, promise_id: PromiseId, token: object) -> PromiseRow:
        """The promise, for who has its token: nothing else is said before (EC-34)."""
        promise = await self.backend.find_promise(promise_id.bytes)
        if promise is None:
            message = f"promise {promise_id} is not in this journal, or not any more"
            raise PromiseNotFound(message)
        given = token if isinstance(token, bytes) else b""
        fitting = fits(given, promise.token_hash, promise.execution_id, promise.promise_id)
        if not fitting or len(given) != TOKEN_BYTES:
            message = (
                f"that is not the token of promise {promise_id}: it has {TOKEN_BYTES} bytes, and "
                "the workflow that made the promise hands it out"
            )
            raise InvalidResolverToken(message)
        return promise

    async def _execution_of(self, promise: PromiseRow) -> ExecutionRow:
        row = await self.backend.load(promise.execution_id)
        if row is None:
            raise _pruned()
        return row

    async def _post(self, request: InboxRow) -> bool:
        try:
            filed, _ = await insist(lambda: self.backend.post_inbox(request), self.patience_ms)
        except EntryRejected as error:
            raise _pruned() from error  # in this instant: nothing refers to it any more
        return filed

    async def _waiting(self, row: ExecutionRow, slot: str) -> bytes | None:
        """The resolution that waits in the slot for the owner."""
        for other in await self.backend.read_inbox(limit=_EVERYTHING):
            if (other.execution_id, other.slot) == (row.execution_id, slot):
                return read_resolution(self.wire, row, other)
        return None


def read_resolution(wire: WireFormat, row: ExecutionRow, request: InboxRow) -> bytes:
    """The plain payload of a resolution; `IntegrityError` if it was not sealed for its slot."""
    envelope = wire.envelope(row)
    return envelope.open_request(request.slot, EntryKind.PROMISE_RESOLVED, request.payload)


def resolved_by(request: InboxRow) -> bytes:
    """The id of the promise that a request resolves."""
    return bytes.fromhex(request.slot.removeprefix(f"{RESOLVE}:"))


def _require_going_on(row: ExecutionRow, promise_id: PromiseId) -> None:
    if status_of(row.status) in TERMINAL:
        message = (
            f"execution {ExecutionId(bytes=row.execution_id)} is {row.status}: nobody waits for "
            f"promise {promise_id} any more"
        )
        raise ExecutionTerminal(message)


def _is_decided(promise: PromiseRow, mark: bytes) -> bool:
    """Whether it is resolved in just that way; `PromiseAlreadyResolved` where in another one."""
    if promise.outcome is None:
        return False
    if promise.outcome != mark:
        raise _too_late(PromiseId(bytes=promise.promise_id))
    return True


def _pruned() -> PromiseNotFound:
    message = "the execution that made the promise is not in this journal any more"
    return PromiseNotFound(message)


def _too_late(promise_id: PromiseId) -> PromiseAlreadyResolved:
    return PromiseAlreadyResolved(f"promise {promise_id} is resolved already, with another value")
