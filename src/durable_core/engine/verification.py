"""Checks whole journals, and condenses them into one digest that can be kept elsewhere.

The digest is BLAKE3 over `field(execution_id) | field(anchor_mac)` of every stamped execution, by
execution id. Rolling a whole database back cannot be seen from inside it; a digest that was kept
outside shows it.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen
from blake3 import blake3

from durable_core.contracts.exchange import InboxRow
from durable_core.engine.requests import CANCEL, RESUME, SETTLE
from durable_core.engine.resolving import RESOLVE, read_resolution
from durable_core.engine.signals import SIGNAL, read_signal
from durable_core.engine.stored import ReadingParts, reader_of, successor_of
from durable_core.errors import ExecutionNotFound, IntegrityError, PayloadError
from durable_core.ids import ExecutionId, execution_id_of, shown_id
from durable_core.model.entries import EntryKind
from durable_core.model.execution import ExecutionRow
from durable_core.wire.fields import field

__all__ = ["VerifyReport", "verify"]

_PAGE: Final = 500
_REQUESTS: Final = 10_000
_RESTORE: Final = "the journal was changed outside durable-core; restore it from a backup"


@frozen
class VerifyReport:
    """What was checked: executions, entries, those that carry no stamps, and the digest (hex)."""

    executions: int
    entries: int
    unstamped: int
    digest: str


async def verify(parts: ReadingParts, execution_id: ExecutionId | None = None) -> VerifyReport:
    """Verify one execution or all of them; the first damage found is raised as `IntegrityError`.

    Also checked is that nothing stands in the tables that no execution accounts for: entries beyond
    the last, rows and requests of an execution that is not there, keys that lead elsewhere. May run
    beside appends and pruning: each execution is checked as it stood when its row was read.
    """
    only = None if execution_id is None else execution_id_of(execution_id).bytes
    digest = blake3()
    executions = entries = unstamped = 0
    after: bytes | None = None
    await _check_strays(parts, only)
    while True:
        rows = await _page(parts, execution_id, after)
        for row in rows:
            try:
                entries += await _verify_one(parts, row)
            except IntegrityError:
                if await parts.backend.load(row.execution_id) is None:
                    continue  # pruned since its row was read
                raise
            executions += 1
            unstamped += not row.stamped
            if row.stamped:
                digest.update(field(row.execution_id) + field(row.anchor_mac))
        if execution_id is not None or len(rows) < _PAGE:
            break
        after = rows[-1].execution_id
    await _check_requests(parts, only)
    return VerifyReport(executions, entries, unstamped, digest.hexdigest())


async def _page(
    parts: ReadingParts,
    execution_id: ExecutionId | None,
    after: bytes | None,
) -> list[ExecutionRow]:
    if execution_id is None:
        return await parts.backend.list_executions(after=after, limit=_PAGE)
    row = await parts.backend.load(execution_id.bytes)
    if row is None:
        message = f"no execution {execution_id} in this journal"
        raise ExecutionNotFound(message)
    return [row]


async def _check_strays(parts: ReadingParts, only: bytes | None) -> None:
    for stray in await parts.backend.strays(only, 1):
        message = (
            f"the table of {stray.kind.value} names execution {shown_id(stray.execution_id)} where "
            f"the execution's own record does not account for it: {_RESTORE}"
        )
        raise IntegrityError(message)


async def _verify_one(parts: ReadingParts, row: ExecutionRow) -> int:
    await reader_of(parts, row).each(lambda _: None)
    beyond = await parts.backend.journal.read_execution_range(
        row.execution_id,
        row.entry_count,
        1,
    )
    if beyond:
        now = await parts.backend.load(row.execution_id)
        if now is not None and now.entry_count < beyond[0].entry_no:
            name = shown_id(row.execution_id)
            message = f"execution {name} holds an entry beyond its last one: {_RESTORE}"
            raise IntegrityError(message)
    await _check_key(parts, row)
    return row.entry_count


async def _check_key(parts: ReadingParts, row: ExecutionRow) -> None:
    """The table of keys leads to the execution whose record, under its anchor, has the key.

    Of those that continue each other it is the last one that it leads to.
    """
    if row.execution_key is None:
        return
    found = await parts.backend.find(row.workflow, row.execution_key)
    if (found == row.execution_id) == (await successor_of(parts, row) is not None):
        now = await parts.backend.load(row.execution_id)
        if now is not None and now.entry_count != row.entry_count:
            await _check_key(parts, now)  # it has gone on since its row was read
            return
        message = (
            f"the table of keys does not lead to execution {shown_id(row.execution_id)}, which has "
            f"the key: {_RESTORE}"
        )
        raise IntegrityError(message)


async def _check_requests(parts: ReadingParts, only: bytes | None) -> None:
    """Each request is one that can be filed, and a value in it was sealed for its place."""
    for request in await parts.backend.read_inbox(limit=_REQUESTS):
        if only is not None and request.execution_id != only:
            continue
        row = await parts.backend.load(request.execution_id)
        if row is None:
            continue  # pruned since, with its requests
        _check_request(parts, row, request)


def _check_request(parts: ReadingParts, row: ExecutionRow, request: InboxRow) -> None:
    name = shown_id(request.execution_id)
    bare = request.slot == request.kind and request.payload is None
    if request.kind in {CANCEL, RESUME} and bare:
        return
    try:
        if request.kind == SETTLE and request.slot.startswith(f"{SETTLE}:"):
            sealed = (request.slot, EntryKind.INTENT_SETTLED, request.payload)
            envelope = parts.wire.verified(row)
            envelope.open_request(*sealed)
            return
        if request.kind == RESOLVE and request.slot.startswith(f"{RESOLVE}:"):
            parts.wire.verified(row)
            read_resolution(parts.wire, row, request)
            return
        if request.kind == SIGNAL and request.slot.startswith(f"{SIGNAL}:"):
            parts.wire.verified(row)
            read_signal(parts.wire, row, request)
            return
    except PayloadError as error:
        message = f"a request to execution {name} cannot be read: {_RESTORE}"
        raise IntegrityError(message) from error
    message = f"a request to execution {name} is none that anybody files: {_RESTORE}"
    raise IntegrityError(message)
