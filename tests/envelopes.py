"""An execution that no database holds, and envelopes, rows and refusals around it."""

from __future__ import annotations

import pytest

from durable_core.errors import (
    ConfigError,
    PayloadError,
)
from durable_core.model.entries import (
    JournalRow,
)
from durable_core.model.execution import ExecutionRow
from durable_core.wire.chain import GENESIS
from durable_core.wire.envelope import ExecutionEnvelope, WireFormat
from tests.journals import (
    counted_id,
    result_of,
    wire_format,
)

EXECUTION = counted_id(1)
NOW = 1_700_000_000_000


def execution(key_id: int | None = 1, *, sealed: bool = True) -> ExecutionRow:
    return ExecutionRow(
        execution_id=EXECUTION.bytes,
        workflow="checkout",
        execution_key=None,
        kind="workflow",
        status="running",
        generation=0,
        key_id=key_id,
        sealed=sealed,
        stamped=key_id is not None,
        owner_id="owner-a",
        owner_epoch=1,
        entry_count=0,
        head_hmac=None,
        anchor_mac=None,
        created_at=NOW,
        updated_at=NOW,
        finalized_at=None,
    )


def sealing(wire: WireFormat | None = None) -> ExecutionEnvelope:
    return (wire or wire_format()).envelope(execution())


def sealed_row(payload: bytes = b"\x00value") -> JournalRow:
    return sealing().row_of(result_of(EXECUTION, 3, payload), 7, GENESIS, NOW)


def refusal(row: JournalRow, envelope: ExecutionEnvelope | None = None) -> Exception:
    with pytest.raises((PayloadError, ConfigError)) as raised:
        (envelope or sealing()).open(row)
    return raised.value
