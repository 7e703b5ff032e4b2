"""An execution's record and the states it may pass through. The transitions are the table below."""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple

from durable_core.errors import ConfigError, IntegrityError

__all__ = [
    "ANYONE",
    "LEGAL_TRANSITIONS",
    "NOBODY",
    "TERMINAL",
    "ExecutionRow",
    "Status",
    "check_kind",
    "status_of",
]


NOBODY: Final = ""
"""The owner id of an execution that was given up; no lock can have that name, so it never lives."""

ANYONE: Final = "*"
"""The owner id of an execution that was started for whichever worker claims it first."""


class Status(enum.IntEnum):
    """Where an execution stands. The value is the wire code; the database holds `label`."""

    RUNNING = 1
    BLOCKED = 2
    COMPLETED = 3
    FAILED = 4
    ABORTED = 5
    CANCELLED = 6

    def __init__(self, _code: int) -> None:
        self.label = self.name.lower()
        """The lower-case word that stands in the `status` column."""


_BY_LABEL: Final = {status.label: status for status in Status}


def status_of(label: str) -> Status:
    """The status that a stored word names; `IntegrityError` for any other word."""
    status = _BY_LABEL.get(label)
    if status is None:
        message = (
            "an execution is stored with a status that no journal writes: it was changed outside "
            "durable-core; restore it from a backup"
        )
        raise IntegrityError(message)
    return status


TERMINAL: Final = frozenset(
    {Status.COMPLETED, Status.FAILED, Status.ABORTED, Status.CANCELLED},
)
"""The states that accept no entries. A failed execution can be resumed in a new generation."""

LEGAL_TRANSITIONS: Final = {
    Status.RUNNING: frozenset(Status) - {Status.RUNNING},
    Status.BLOCKED: frozenset({Status.RUNNING, Status.CANCELLED}),
    Status.FAILED: frozenset({Status.RUNNING}),
    Status.COMPLETED: frozenset[Status](),
    Status.ABORTED: frozenset[Status](),
    Status.CANCELLED: frozenset[Status](),
}
"""Every change of status that is allowed; anything else is refused."""

_KIND: Final = re.compile(r"workflow|agent_turn|dag_run|scheduled_job|subagent_session|custom:\S+")


def check_kind(kind: str) -> str:
    """`kind` itself where it is one that the schema knows; `ConfigError` otherwise."""
    if kind != "workflow" and _KIND.fullmatch(kind) is None:
        message = (
            f"execution kind {kind!r} is unknown; use workflow, agent_turn, dag_run, "
            "scheduled_job, subagent_session or custom:<name>"
        )
        raise ConfigError(message)
    return kind


class ExecutionRow(NamedTuple):
    """One row of `durable_executions`, columns in table order.

    Times are milliseconds since 1970 UTC. `key_id`, `sealed` and `stamped` are fixed at creation.
    """

    execution_id: bytes
    workflow: str
    execution_key: str | None
    kind: str
    status: str
    generation: int
    key_id: int | None
    sealed: bool
    stamped: bool
    owner_id: str
    owner_epoch: int
    entry_count: int
    head_hmac: bytes | None
    anchor_mac: bytes | None
    created_at: int
    updated_at: int
    finalized_at: int | None
