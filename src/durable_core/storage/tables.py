"""The tables of a journal and their columns, in the order of spec/journal-format.md."""

from __future__ import annotations

from typing import Final

from durable_core.contracts.exchange import InboxRow
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow

__all__ = ["ENTRY", "EXECUTION", "REQUEST", "SCHEMA", "TABLES"]

EXECUTION: Final = ", ".join(ExecutionRow._fields)
ENTRY: Final = ", ".join(JournalRow._fields)
REQUEST: Final = ", ".join(InboxRow._fields)

SCHEMA: Final = "durable_schema"
TABLES: Final = frozenset(
    {
        SCHEMA,
        "durable_executions",
        "durable_execution_keys",
        "durable_journal",
        "durable_inbox",
        "durable_keys",
    },
)
"""What a journal of the newest version has."""
