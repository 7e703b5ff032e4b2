"""NFR-13: a million seals through the envelope, and no nonce twice."""

from __future__ import annotations

from bench.figures import Bar, Figure, Unit
from bench.journals import result, wire_format
from bench.rounds import Plan
from durable_core.ids import RandomIds
from durable_core.model.execution import ExecutionRow

__all__ = ["measure"]

_FRAME = 2
_NONCE = 24


async def measure(plan: Plan) -> list[Figure]:
    """Seal one entry again and again, as a writer does, and count the different nonces."""
    seals = plan.size(1_000_000, 50_000)
    execution_id = RandomIds().execution_id()
    row = ExecutionRow(
        execution_id=execution_id.bytes,
        workflow="bench",
        execution_key=None,
        kind="workflow",
        status="running",
        generation=0,
        key_id=1,
        sealed=True,
        stamped=True,
        owner_id="bench",
        owner_epoch=1,
        entry_count=0,
        head_hmac=None,
        anchor_mac=None,
        created_at=0,
        updated_at=0,
        finalized_at=None,
    )
    envelope = wire_format().envelope(row)
    entry = result(execution_id, 0)
    nonces = set()
    for _ in range(seals):
        blob = envelope.row_of(entry, 1, envelope.genesis, 0).payload
        assert blob is not None, "an entry was written without its payload"
        nonces.add(blob[_FRAME : _FRAME + _NONCE])
    what = f"different nonces in {seals:,} seals"
    bar = Bar(seals, at_least=True)
    return [Figure("NFR-13", what, Unit.NONCES, len(nonces), len(nonces), bar=bar)]
