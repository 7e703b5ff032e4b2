"""Folds of what is stored, without the workflow that wrote it: by what an engine is composed of."""

from __future__ import annotations

from attrs import frozen

from durable_core.clock import SystemClock
from durable_core.config import DurableConfig
from durable_core.contracts import ExecutionBackend, Fold
from durable_core.engine.gathering import Gathering, gather
from durable_core.ids import ExecutionId
from durable_core.wire.envelope import WireFormat
from tests.journals import wire_format

__all__ = ["fold_stored"]


@frozen
class _Parts:
    """What gathering asks an engine for."""

    backend: ExecutionBackend
    config: DurableConfig
    clock: SystemClock


async def fold_stored(
    backend: ExecutionBackend,
    execution_id: ExecutionId,
    *,
    upto: int | None = None,
    part: int = 1 << 20,
    wire: WireFormat | None = None,
) -> int:
    """Fold an execution up to that entry, into parts of so many bytes; how many ranges it had."""
    row = await backend.load(execution_id.bytes)
    assert row is not None
    envelope = (wire or wire_format()).verified(row)
    done, count = Gathering.begin(envelope), 0
    upto = row.entry_count if upto is None else upto
    config = DurableConfig(max_payload_bytes=part, replay_segment=3)
    while done.read_to < upto:
        done = await gather(
            _Parts(backend, config, SystemClock()),
            envelope,
            done,
            upto,
            row.generation,
            lambda _: False,
        )
        count += len(done.ranges)
        if done.ranges:
            fold = Fold(row.execution_id, row.owner_epoch, row.status, done.ranges)
            assert await backend.journal.fold(fold)
    return count
