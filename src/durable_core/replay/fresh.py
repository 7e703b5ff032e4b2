"""The cursor of executions that begin: nothing is journaled, and nothing is to be read."""

from __future__ import annotations

from typing import Final

from durable_core.contracts.backend import Journal
from durable_core.model.execution import NOBODY, ExecutionRow, Status
from durable_core.replay.cursor import ReplayCursor
from durable_core.replay.reader import ChainReader
from durable_core.telemetry import Tracing
from durable_core.wire.envelope import WireFormat

__all__ = ["fresh_cursor"]

_NOTHING: Final = ExecutionRow(
    execution_id=bytes(16),
    workflow="",
    execution_key=None,
    kind="workflow",
    status=Status.RUNNING.label,
    generation=0,
    key_id=None,
    sealed=False,
    stamped=False,
    owner_id=NOBODY,
    owner_epoch=0,
    entry_count=0,
    head_hmac=None,
    anchor_mac=None,
    created_at=0,
    updated_at=0,
    finalized_at=None,
)


def fresh_cursor(journal: Journal, wire: WireFormat, tracing: Tracing) -> ReplayCursor:
    """A cursor for whom each step is fresh. It holds nothing, so that one serves all who begin.

    What it is not to be asked is what only an entry gives cause for.
    """
    return ReplayCursor(ChainReader(journal, _NOTHING, wire.envelope(_NOTHING), tracing))
