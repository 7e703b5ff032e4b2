"""The tables of a journal and their columns, in the order of spec/journal-format.md."""

from __future__ import annotations

from typing import Final

from durable_core.contracts.exchange import InboxRow, PromiseRow, TimerRow
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow

__all__ = [
    "ENTRY",
    "EXECUTION",
    "OWNED",
    "PROMISE",
    "REQUEST",
    "SCHEMA",
    "SINCE",
    "TABLES",
    "TIMER",
]

EXECUTION: Final = ", ".join(ExecutionRow._fields)
ENTRY: Final = ", ".join(JournalRow._fields)
REQUEST: Final = ", ".join(InboxRow._fields)
PROMISE: Final = ", ".join(PromiseRow._fields)
TIMER: Final = ", ".join(TimerRow._fields)

SCHEMA: Final = "durable_schema"
OWNED: Final = ("durable_inbox", "durable_promises", "durable_timers")
"""What an execution has besides its entries and its key, and takes with it."""

SINCE: Final = {
    SCHEMA: 1,
    "durable_executions": 1,
    "durable_execution_keys": 1,
    "durable_journal": 1,
    "durable_inbox": 1,
    "durable_keys": 1,
    "durable_promises": 2,
    "durable_timers": 2,
}
"""In which version of the schema each table came."""

TABLES: Final = frozenset(SINCE)
"""What a journal of the newest version has."""
