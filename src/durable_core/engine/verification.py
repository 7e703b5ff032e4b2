"""Checks whole journals, and condenses them into one digest that can be kept elsewhere.

The digest is BLAKE3 over `field(execution_id) | field(anchor_mac)` of every stamped execution, by
execution id. Rolling a whole database back cannot be seen from inside it; a digest that was kept
outside shows it.
"""

from __future__ import annotations

from attrs import frozen
from blake3 import blake3

from durable_core.engine.stored import ReadingParts, reader_of
from durable_core.errors import ExecutionNotFound, IntegrityError
from durable_core.ids import ExecutionId
from durable_core.model.execution import ExecutionRow
from durable_core.wire.fields import field

__all__ = ["VerifyReport", "verify"]

_PAGE = 500


@frozen
class VerifyReport:
    """What was checked: executions, entries, those that carry no stamps, and the digest (hex)."""

    executions: int
    entries: int
    unstamped: int
    digest: str


async def verify(parts: ReadingParts, execution_id: ExecutionId | None = None) -> VerifyReport:
    """Verify one execution or all of them; the first damage found is raised as `IntegrityError`.

    May run beside appends and pruning: each execution is checked as it stood when its row was read.
    """
    digest = blake3()
    executions = entries = unstamped = 0
    after: bytes | None = None
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
            return VerifyReport(executions, entries, unstamped, digest.hexdigest())
        after = rows[-1].execution_id


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
            message = (
                f"execution {ExecutionId(bytes=row.execution_id)} holds an entry beyond its last "
                "one: the journal was changed outside durable-core; restore it from a backup"
            )
            raise IntegrityError(message)
    await _check_key(parts, row)
    return row.entry_count


async def _check_key(parts: ReadingParts, row: ExecutionRow) -> None:
    """The table of keys leads to the execution whose record, under its anchor, has the key."""
    if row.execution_key is None:
        return
    if await parts.backend.find(row.workflow, row.execution_key) != row.execution_id:
        message = (
            f"the table of keys does not lead to execution {ExecutionId(bytes=row.execution_id)}, "
            "which has the key: the journal was changed outside durable-core; restore it from a "
            "backup"
        )
        raise IntegrityError(message)
